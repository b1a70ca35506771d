"""The second run of failed tests by real pytest runs: what it forgives, and what it never does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rerun import MOST, main

# fails whenever its file is not there yet: at first, and never again
ONCE = """
from pathlib import Path
import pytest
@pytest.mark.parametrize("k", range({num}))
def test_once(k):
    seen = Path(f"seen {{k}}")
    is_first = not seen.exists()
    seen.touch()
    assert not is_first
"""
GOOD = "def test_good():\n    with open('runs', 'a') as file:\n        file.write('x')\n"
BAD = "def test_bad():\n    assert False\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a third of the time
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"):  # of the run that this test is part of
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    return tmp_path


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text, "utf-8")


def test_all_passing_is_one_run_and_0(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(folder, good=GOOD)
    # what failed in a run before this one is nobody's business
    cache = folder / ".pytest_cache/v/cache"
    cache.mkdir(parents=True)
    (cache / "lastfailed").write_text('{"test_gone.py::test_gone": true}', "utf-8")
    assert main([], folder) == 0
    assert (folder / "runs").read_text("utf-8") == "x"
    assert "!!" not in capfd.readouterr().out


def test_what_passes_alone_is_forgiven_and_named(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(folder, good=GOOD, once=ONCE.format(num=MOST))
    assert main([], folder) == 0
    last = capfd.readouterr().out.split("!! FAILED AT FIRST, PASSED ALONE")[1]
    assert [f"test_once.py::test_once[{k}]" in last for k in range(MOST)] == [True] * MOST
    assert (folder / "runs").read_text("utf-8") == "x"  # only what failed was run again


def test_one_more_than_a_few_are_not_asked_again(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(folder, once=ONCE.format(num=MOST + 1))
    assert main([], folder) == 1
    assert f"{MOST + 1} FAILED: more than {MOST}" in capfd.readouterr().out


def test_what_fails_again_is_red_whatever_else_passes(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(folder, once=ONCE.format(num=1), bad=BAD)
    assert main([], folder) == 1
    last = capfd.readouterr().out.split("!! FAILED ALONE TOO")[1]
    assert "test_bad.py::test_bad" in last
    assert "test_once" not in last


@pytest.mark.parametrize(
    ("files", "arguments", "status"),
    [
        ({}, (), 5),  # nothing was collected
        ({"good": GOOD}, ("--no-such-option",), 4),
        ({"broken": "import nowhere"}, (), 2),  # interrupted by an error while collecting
        ({"stop": "import pytest\ndef test(): pytest.exit('enough', 3)"}, (), 3),
    ],
)
def test_what_is_no_verdict_keeps_its_status(
    folder: Path, files: dict[str, str], arguments: tuple[str, ...], status: int
) -> None:
    write(folder, **files)
    assert main(arguments, folder) == status


def test_the_first_run_is_parallel_and_the_second_is_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    tell = "import os\ndef test_worker():\n    assert 'PYTEST_XDIST_WORKER' not in os.environ\n"
    write(folder, worker=tell, once=ONCE.format(num=1))
    assert main(["-n", "2", "--dist", "loadfile"], folder) == 0
    assert "test_worker.py::test_worker" in capfd.readouterr().out.split("PASSED ALONE")[1]


def test_a_worker_that_dies_with_a_test_is_a_failure_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    dies = "import os\ndef test_dies():\n    os._exit(9)\n"
    write(folder, dies=dies, good=GOOD)
    assert main(["-n", "2"], folder) != 0
