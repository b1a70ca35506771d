"""A run directory is readable at every moment and proves what it holds."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import harness.records._atomic as atomic
from harness.errors import UsageError
from harness.records import (
    REQUEST_SCHEMA,
    Run,
    RunDirectory,
    find_run,
    read_manifest,
    read_schedule,
    require_folder,
    write_bytes,
    write_schedule,
)


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(
        tmp_path / "runs",
        "quick",
        given_text="name: quick # mine\n",
        resolved_yaml="name: quick\n",
        provenance={"python": "3"},
    )


def test_a_whole_run_reads_back(run, schedule, requests_batch, clients_batch) -> None:
    point = run.add_point(0, "rate-8")
    point.write_schedule(schedule)
    point.update_meta(target="main")
    point.spool.append_requests(requests_batch(0, 4))
    point.spool.append_clients(clients_batch(9))
    point.write_json("stages.json", [{"index": 0, "t0_ns": 1}])
    point.merge()
    run.finish("complete")
    read = Run.open(run.path)
    assert not read.is_partial
    assert (read.given_text, read.resolved_yaml) == ("name: quick # mine\n", "name: quick\n")
    assert read.manifest.status == "complete"
    assert read.manifest.provenance == {"python": "3"}
    (records,) = read.points
    assert (records.index, records.label, records.is_partial) == (0, "rate-8", False)
    assert records.meta["target"] == "main"
    assert records.meta["stages"] == [{"index": 0, "t0_ns": 1}]
    assert records.meta["schedule_sha256"] == schedule.sha256() == records.schedule().sha256()
    assert records.requests().column("row").to_pylist() == [0, 1, 2, 3]
    assert len(records.clients()) == 1
    assert not (point.path / "spool").exists()
    metadata = pq.read_metadata(point.path / "requests.parquet")
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_manifest_lists_every_file_with_its_digest(run, requests_batch) -> None:
    point = run.add_point(0, "main")
    point.spool.append_requests(requests_batch(0, 1))
    point.merge()
    run.finish("complete")
    files = json.loads((run.path / "manifest.json").read_text())["files"]
    on_disk = {
        p.relative_to(run.path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in run.path.rglob("*")
        if p.is_file() and p.name != "manifest.json"
    }
    assert {name: entry["sha256"] for name, entry in files.items()} == on_disk
    assert "points/000-main/requests.parquet" in files
    # reports come later: finishing again takes them in
    write_bytes(run.path / "report.html", b"<html>")
    RunDirectory.open(run.path).finish("complete")
    assert read_manifest(run.path).files["report.html"]["bytes"] == 6


def test_a_killed_run_shows_what_was_measured(run, requests_batch) -> None:
    done = run.add_point(0, "a")
    done.spool.append_requests(requests_batch(0, 1))
    done.merge()
    killed = run.add_point(1, "b")
    killed.spool.append_requests(requests_batch(0, 3))
    frames = killed.path / "spool" / "requests.frames"
    frames.write_bytes(frames.read_bytes() + b"torn")
    read = Run.open(run.path)
    assert read.is_partial
    assert read.manifest.status == "running"
    assert [p.is_partial for p in read.points] == [False, True]
    assert len(read.points[1].requests()) == 3
    assert read.points[1].num_torn_bytes == 4
    assert [p.is_complete for p in RunDirectory.open(run.path).points] == [True, False]
    assert read.points[1].schedule() is None


def test_an_interrupted_point_is_merged_and_repeated_by_resume(run, requests_batch) -> None:
    point = run.add_point(0, "a")
    point.spool.append_requests(requests_batch(0, 2))
    point.merge("interrupted")
    assert not point.is_complete
    assert Run.open(run.path).points[0].is_partial
    again = RunDirectory.open(run.path).add_point(0, "a")
    assert again.path == point.path
    again.clear()
    again.spool.append_requests(requests_batch(5, 1))
    again.merge()
    assert again.is_complete
    assert Run.open(run.path).points[0].requests().column("row").to_pylist() == [5]


def test_a_former_attempt_is_kept_beside_the_next(run, requests_batch) -> None:
    point = run.add_point(0, "a")
    assert point.is_fresh
    point.update_meta(attempt=0)
    point.spool.append_requests(requests_batch(0, 3))  # killed: nothing is merged
    point = RunDirectory.open(run.path).points[0]
    assert not point.is_fresh
    point.set_aside()
    assert (point.is_fresh, point.last_attempt) == (False, 0)
    for attempt, status in ((1, "interrupted"), (2, "complete")):
        point.update_meta(attempt=attempt)
        point.spool.append_requests(requests_batch(attempt, 2))
        point.merge(status)
        if attempt == 1:  # the one that is cut short twice: while it was put aside
            aside = point.path / "before-1"
            aside.mkdir()
            (point.path / "requests.parquet").rename(aside / "requests.parquet")
            point.set_aside()
    records = Run.open(run.path).points[0]
    assert not records.is_partial
    rows = [r.requests().column("row").to_pylist() for r in (*records.before, records)]
    assert rows == [[0, 1, 2], [1, 2], [2, 3]]
    assert [r.is_partial for r in records.before] == [True, True]
    run.finish("complete")

    # a kept record that was altered makes the point miss; only its own attempt goes
    (point.path / "before-0" / "requests.parquet").write_bytes(b"")
    opened = RunDirectory.open(run.path)
    assert opened.whole_points == ()
    opened.reopen()
    opened.points[0].set_aside(opened.lost)
    kept = Run.open(run.path).points[0].before
    assert [r.path.name for r in kept] == ["before-1", "before-2"]
    assert [r.requests().column("row").to_pylist() for r in kept] == [[1, 2], [2, 3]]
    # and of one whose own records were lost nothing is kept
    opened.points[0].update_meta(attempt=3)
    opened.points[0].set_aside([point.path / "requests.parquet"])
    assert sorted(p.name for p in point.path.iterdir()) == ["before-1", "before-2"]


def test_merging_after_a_kill_between_its_steps_loses_nothing(run, requests_batch) -> None:
    point = run.add_point(0, "a")
    point.spool.append_requests(requests_batch(0, 2))
    point.close()
    kept = point.path.with_name("kept")
    shutil.copytree(point.path / "spool", kept)
    point.merge()
    shutil.copytree(kept, point.path / "spool")  # as if killed before the spool went
    shutil.rmtree(kept)
    assert len(Run.open(run.path).points[0].requests()) == 2
    point.merge()
    point.merge()
    assert len(Run.open(run.path).points[0].requests()) == 2
    assert not (point.path / "spool").exists()


def test_names_and_latest(run, tmp_path, monkeypatch) -> None:
    assert re.fullmatch(r"\d{8}T\d{6}Z-quick-[0-9a-f]{6}", run.run_id)
    root = tmp_path / "runs"
    assert (root / "latest").is_symlink()
    assert find_run("latest", root) == run.path.resolve()
    assert find_run(run.run_id, root) == find_run(run.path, Path("nowhere")) == run.path.resolve()

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EPERM, "links are not allowed here")

    monkeypatch.setattr(os, "symlink", refuse)
    other = RunDirectory.create(root, "other", given_text="", resolved_yaml="", provenance={})
    assert not (root / "latest").is_symlink()
    assert Run.open("latest", root).manifest.run_id == other.run_id
    assert find_run(root / "latest", Path("nowhere")) == other.path.resolve()


def test_no_run_there_says_what_to_do(tmp_path) -> None:
    with pytest.raises(UsageError) as caught:
        Run.open("latest", tmp_path)
    assert "there is no run 'latest'" in caught.value.render()
    assert "harness run quickstart" in caught.value.render()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{half")
    with pytest.raises(UsageError, match="manifest cannot be read"):
        Run.open("broken", tmp_path)


def test_a_status_unknown_to_tools_is_refused(run) -> None:
    with pytest.raises(ValueError, match="'splendid'"):
        run.finish("splendid")


def test_older_and_newer_manifests_are_read(run) -> None:
    row = json.loads((run.path / "manifest.json").read_text())
    del row["provenance"], row["files"]
    (run.path / "manifest.json").write_text(json.dumps(row | {"schema_version": 7, "new": 1}))
    read = read_manifest(run.path)
    assert (read.schema_version, read.provenance, read.run_id) == (7, {}, run.run_id)


def test_older_parquet_rows_get_nulls(run) -> None:
    point = run.add_point(0, "a")
    pq.write_table(pa.table({"row": pa.array([1], pa.int32())}), point.path / "requests.parquet")
    table = Run.open(run.path).points[0].requests()
    assert table.schema.equals(REQUEST_SCHEMA)
    assert table.column("row").to_pylist() == [1]
    assert table.column("chunk_ns").to_pylist() == [None]


def test_a_broken_parquet_names_its_path(run) -> None:
    point = run.add_point(0, "a")
    (point.path / "requests.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UsageError) as caught:
        Run.open(run.path).points[0].requests()
    assert caught.value.where == str(run.path / "points/000-a/requests.parquet")
    assert "harness run --resume" in caught.value.do


def test_schedules_read_back_to_the_byte(tmp_path, schedule) -> None:
    write_schedule(tmp_path / "s.parquet", schedule)
    read = read_schedule(tmp_path / "s.parquet")
    assert read.sha256() == schedule.sha256()
    assert read.stages[0].law == schedule.stages[0].law
    assert read.stages[1].law is None
    assert read.stages[1].num_measured == 4
    assert read.stages[0].intended_ns.dtype.name == "int64"
    assert read.stages[0].class_id.dtype.name == "int32"


def test_a_failed_write_leaves_the_former_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "manifest.json"
    write_bytes(path, b"former")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(UsageError) as caught:
        write_bytes(path, b"next")
    assert caught.value.where == str(path)
    assert "the disk is full" in caught.value.render()
    assert path.read_bytes() == b"former"
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_a_clear_fault(tmp_path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(UsageError) as caught:
        RunDirectory.create(tmp_path / "r", "x", given_text="", resolved_yaml="", provenance={})
    assert "choose another" in caught.value.do


def test_an_output_folder_that_is_a_file_is_a_clear_fault(tmp_path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError) as caught:
        RunDirectory.create(tmp_path / "runs", "x", given_text="", resolved_yaml="", provenance={})
    assert "choose another" in caught.value.do


def test_a_folder_that_cannot_hold_runs_is_told_without_making_it(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/runs"):
        with pytest.raises(UsageError, match="cannot be written") as error:
            require_folder(tmp_path / place)
        assert "file is not a folder" in error.value.why
    require_folder(tmp_path / "new" / "runs")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which refuses root too")
def test_a_file_system_that_refuses_even_root_is_told_beforehand() -> None:
    with pytest.raises(UsageError, match="cannot be written") as error:
        require_folder(Path("/proc/nope"))
    assert error.value.why == "/proc cannot be written"


GOOD = {"run_id": "r", "scenario": "s", "status": "complete", "created_utc": "2026-11-23T00:00:00"}
POINT = {"index": 0, "label": "a", "path": "points/000-a"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is no JSON, or cut off: "),
        (json.dumps(GOOD)[:40], "it is no JSON, or cut off: "),
        ("\udcff", "can't decode byte"),
        ("[" * 100_000, "recursion"),
        ("[]", "it is no object with keys"),
        ('{"schema": "harness/plan/v1"}', "it has no 'run_id'"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "status"}), "it has no 'status'"),
        (json.dumps(GOOD | {"status": "splendid"}), "its status is none of running, complete"),
        (json.dumps(GOOD | {"run_id": 7}), "'run_id' of it is a int"),
        (json.dumps(GOOD | {"schema_version": True}), "'schema_version' of it is a bool"),
        (json.dumps(GOOD | {"files": []}), "'files' of it is a list"),
        (json.dumps(GOOD | {"files": {"a": "b"}}), "files: a is no object"),
        (json.dumps(GOOD | {"points": {"a": 1}}), "'points' of it is a dict"),
        (json.dumps(GOOD | {"points": ["a"]}), "points[0] is no object"),
        (json.dumps(GOOD | {"points": [{"index": 0}]}), "points[0] has no 'label'"),
        (json.dumps(GOOD | {"points": [POINT | {"index": "0"}]}), "'index' of points[0] is a str"),
        (json.dumps(GOOD | {"points": [POINT | {"path": "../other"}]}), "'path' leaves the run"),
        (json.dumps(GOOD | {"points": [POINT | {"path": "/etc"}]}), "'path' leaves the run"),
    ],
)
def test_a_broken_manifest_says_what_where_why_and_what_to_do(tmp_path, text, why) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as caught:
        Run.open(tmp_path)
    error = caught.value
    assert (error.what, error.where) == ("the run's manifest cannot be read", str(path))
    assert why in error.why
    assert error.do.startswith("restore it from a copy of the run")
    assert len(error.render().splitlines()) == 4  # one screen


def test_a_whole_manifest_is_read(tmp_path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(GOOD | {"points": [POINT]}))
    assert Run.open(tmp_path).points[0].path == tmp_path / "points/000-a"
