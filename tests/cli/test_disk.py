"""A disk that fills in mid-run: a message that names the file, and every whole frame kept."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOM_KIB = 256  # a run's first files take 70, each second of its load 25: it lasts some seconds


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 1 MiB with little room left."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount here")
    if done.returncode:
        pytest.skip("mounting is not permitted here")
    free = os.statvfs(folder)
    filler = free.f_bavail * free.f_frsize - ROOM_KIB * 1024
    (folder / "filler").write_bytes(b"\0" * filler)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_is_told_and_what_was_written_is_kept(cli: Any, small_disk: Path) -> None:
    path = cli.scenario(
        load={
            "kind": "open", "arrival": {"kind": "constant"}, "rate": "50/s", "duration": "60s",
            "warmup": "1s", "cooldown": "2s", "drain": "2s",
        },
    )  # fmt: skip
    done = cli("run", path, "-o", str(small_disk))
    assert (done.code, done.out) == (2, "")
    assert "error: the disk is full\n  where: " in done.err
    assert str(small_disk) in done.err
    assert "harness report" in done.err
    assert done.has_no_traceback()

    (small_disk / "filler").unlink()
    again = cli.here("report", str(small_disk / "latest"), "--format", "junit")
    assert again.code == 4, again.err
    assert "PARTIAL: no verdict." in again.out
    assert "req/s" in again.out  # figures of what was kept


@pytest.mark.parametrize("kind", ["file", "full"])
def test_a_folder_that_takes_no_run_is_2_and_is_named(
    cli: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "file":
        out = cli.folder / "taken"
        out.write_text("not a folder", "utf-8")
    else:
        out = request.getfixturevalue("small_disk")
        (out / "more").write_bytes(b"\0" * (ROOM_KIB * 1024 - 8192))
    done = cli.here("run", cli.scenario(), "-o", str(out))
    assert (done.code, done.out) == (2, "")
    assert str(out) in done.err
    assert "  do:    " in done.err
    assert done.has_no_traceback()
