"""Sends a Schedule and records what happened. This package itself never imports locust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.load.calibration import calibrate, check_hearing, with_embeddings
    from harness.load.facts import TargetFacts
    from harness.load.plan import Done, LoadEvent, PointPlan, Pulse
    from harness.load.probe import probe_target
    from harness.load.process import LoadProcess, check_bind
    from harness.load.remote import RemoteWorkers

__all__ = [
    "Done", "LoadEvent", "LoadProcess", "PointPlan", "Pulse", "RemoteWorkers", "TargetFacts",
    "calibrate", "check_bind", "check_hearing", "probe_target", "with_embeddings",
]  # fmt: skip

_HOMES = {
    "calibrate": "calibration",
    "check_hearing": "calibration",
    "with_embeddings": "calibration",
    "check_bind": "process",
    "TargetFacts": "facts",
    "Done": "plan",
    "LoadEvent": "plan",
    "PointPlan": "plan",
    "Pulse": "plan",
    "probe_target": "probe",
    "LoadProcess": "process",
    "RemoteWorkers": "remote",
}


def __getattr__(name: str) -> Any:
    """Public names load on first use."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"harness.load.{_HOMES[name]}"), name)
