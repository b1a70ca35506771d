"""Records that were lost or altered after the end are found; one process at a time writes a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import MeasurementError, UsageError
from harness.records import Run, RunDirectory


@pytest.fixture
def run(tmp_path, requests_batch) -> RunDirectory:
    directory = RunDirectory.create(
        tmp_path / "runs", "quick", given_text="a: 1\n", resolved_yaml="a: 1\n", provenance={}
    )
    for index in range(2):
        point = directory.add_point(index, f"p{index}")
        point.spool.append_requests(requests_batch(0, 4))
        point.merge()
    directory.finish("complete")
    return directory


DAMAGE = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "altered": lambda path: path.write_bytes(path.read_bytes()[:-1] + b" "),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize(
    "name", ["scenario.resolved.yaml", *(f"points/001-p1/{n}" for n in (
        "point.json", "requests.parquet", "clients.parquet"))],
)  # fmt: skip
def test_damage_is_found_and_not_made_good_by_rendering(run, name: str, damage) -> None:
    Run.open(run.path).require_whole()
    damage(run.path / name)
    for _ in range(2):
        with pytest.raises(MeasurementError, match="not those it ended with") as error:
            Run.open(run.path).require_whole()
        assert error.value.why == f"gone or altered since: {name}"
        RunDirectory.open(run.path).refresh()


def test_reports_may_change(run) -> None:
    run.write_json("summary.json", {"a": 1})
    (run.path / "points/000-p0/summary.json").write_text("{}")
    Run.open(run.path).require_whole()
    run.refresh()
    assert "summary.json" in Run.open(run.path).manifest.files


def test_a_damaged_point_is_measured_again_and_the_others_keep_their_digests(run) -> None:
    (run.path / "points/001-p1/clients.parquet").unlink()
    again = RunDirectory.open(run.path)
    assert [p.index for p in again.whole_points] == [0]
    again.reopen()
    manifest = Run.open(run.path).manifest
    assert (manifest.status, manifest.finished_utc) == ("running", None)
    assert {Path(n).parts[1] for n in manifest.files if "/" in n} == {"000-p0"}
    (run.path / "points/000-p0/point.json").write_text("{}")
    with pytest.raises(MeasurementError):  # a run that goes on is still held to what it keeps
        Run.open(run.path).require_whole()


def test_a_point_whose_facts_are_unreadable_is_not_fresh(run) -> None:
    (run.path / "points/000-p0/point.json").write_text("[1")
    point, other = RunDirectory.open(run.path).points
    assert (point.meta, point.is_complete, point.is_fresh) == ({}, False, False)
    other.clear()
    assert other.is_fresh


def test_another_scenario_is_not_continued(run) -> None:
    (run.path / "scenario.resolved.yaml").write_text("a: 2\n")
    with pytest.raises(MeasurementError, match="not those"):
        RunDirectory.open(run.path).lock()


def test_one_writer_at_a_time_and_none_left_behind(tmp_path) -> None:
    folder = str(tmp_path / "runs")
    code = (
        "import sys, pathlib; from harness.records import RunDirectory;"
        f"r = RunDirectory.create(pathlib.Path({folder!r}), 'x', given_text='', resolved_yaml='',"
        " provenance={}); print(r.path, flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        path = Path(writer.stdout.readline().strip())
        with pytest.raises(UsageError, match="being measured right now"):
            RunDirectory.open(path).lock()
        Run.open(path)  # readers are free
        writer.kill()
        writer.wait()
        RunDirectory.open(path).lock()
    finally:
        writer.kill()
        writer.communicate()


def test_a_point_without_the_clients_own_figures_is_not_complete(run) -> None:
    """Also in a run that was killed, whose manifest has no digests yet."""
    (run.path / "points/001-p1/clients.parquet").unlink()
    assert [p.is_complete for p in RunDirectory.open(run.path).points] == [True, False]
    assert [p.is_partial for p in Run.open(run.path).points] == [False, True]
