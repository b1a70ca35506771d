"""Compilation is told while it happens, and not where the disk has the result."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from harness.cli._compiling import WARNING, telling_compilation
from harness.cli._options import Voice

SOURCE = """\
import numba

@numba.njit
def inner(x):
    return x + 1

@numba.njit("int64(int64)", cache=True)
def outer(x):
    return inner(x) * 2
"""
LOUD = Voice(0, False, "never", "none")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compiled_here", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_told_once_and_only_where_something_compiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "compiled_here.py"
    path.write_text(SOURCE)
    with telling_compilation(LOUD):
        assert load(path).outer(3) == 8
    first, last = capsys.readouterr().err.splitlines()  # what it calls is compiled with it
    assert first == WARNING
    assert last.startswith("compiled in ")
    with telling_compilation(LOUD):
        assert load(path).outer(4) == 10  # from the disk
    assert capsys.readouterr().err == ""


def test_quiet_is_quiet_and_an_error_is_not_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "compiled_here.py"
    path.write_text(SOURCE + "\n1 / 0\n")
    with (
        pytest.raises(ZeroDivisionError),
        telling_compilation(Voice(-1, False, "never", "none")),
    ):
        load(path)
    assert capsys.readouterr().err == ""
