"""Drivers by the kind of a stage."""

from __future__ import annotations

from harness.load.drivers.base import Driver, Release
from harness.load.drivers.closed import ClosedDriver
from harness.load.drivers.open import OpenDriver

DRIVERS: dict[str, type[OpenDriver] | type[ClosedDriver]] = {
    "open": OpenDriver,
    "closed": ClosedDriver,
}

__all__ = ["DRIVERS", "Driver", "Release"]
