"""The row builders as a fixture: test folders are no packages, so they cannot be imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "analysis_rows", Path(__file__).with_name("rows.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_ROWS = _load()


@pytest.fixture(scope="session")
def rows() -> ModuleType:
    return _ROWS
