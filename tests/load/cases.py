"""Many scripted behaviours in one run: which request met which, its row beside the server's log.

Each case is a fault of the script that holds for a block of arrivals. Rows and log meet by request
id, so that nothing depends on the order in which requests reach the server.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from harness.analysis import PointMeta, PointSummary, analyse_point
from harness.analysis.frame import Frame, read_frame
from harness.load import LoadProcess
from harness.records import read_spool
from harness.records.schema import REQUEST_SCHEMA
from harness.testing import RequestLog, ScriptedServer

from .conftest import FAST, Point, drive, make_plan, open_load, scenario_of, undisturbed
from .conftest import MS as MS  # for those who read cases

EARLY_NS = 50_000  # how far a mapped kernel stamp may lie before the send it was taken inside


@dataclass
class Seen:
    """What one case left: rows and logs of its requests, in order of arrival."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    logs: list[RequestLog] = field(default_factory=list)

    @property
    def row(self) -> dict[str, Any]:
        return self.rows[0]

    @property
    def sent(self) -> list[int]:
        """ns at which the server sent each stamped event of the first request."""
        return list(self.logs[0].send_ns)


@dataclass
class Run:
    """A point, its cases by name, and what analysis makes of any of its rows."""

    point: Point
    cases: dict[str, Seen]
    logs: list[RequestLog]

    def __getitem__(self, name: str) -> Seen:
        return self.cases[name]

    def rows(self, *names: str) -> list[dict[str, Any]]:
        """Rows of these cases; of all when none is named."""
        return [row for name in names or self.cases for row in self.cases[name].rows]

    def analyse(self, *names: str, is_quiet: bool = False, **meta: Any) -> PointSummary:
        """Of these cases alone. is_quiet: as if the client had not been busy: no stamp in doubt."""
        rows = self.rows(*names)
        if is_quiet:
            rows = [
                row | {"chunk_uncertain": [False] * len(row["chunk_ns"]), "first_uncertain": False}
                for row in rows
            ]
        return summary_of(self.point, rows, **meta)

    def frame(self, *names: str) -> Frame:
        """These requests as analysis sees them: for values that a noisy machine would withhold."""
        stage = self.point.stages[0]
        table = pa.Table.from_pylist(self.rows(*names), schema=REQUEST_SCHEMA)
        return read_frame(table, stage["t0_ns"], stage["t1_ns"])

    def sample(self, name: str) -> str:
        """The visible text of a case's first answer, where samples were asked for."""
        lines = (self.point.folder / "samples.jsonl").read_text("utf-8").splitlines()
        texts = {row["request_id"]: row["visible"] for row in map(json.loads, lines)}
        return str(texts[self.cases[name].row["request_id"]])


def summary_of(point: Point, rows: list[dict[str, Any]], **meta: Any) -> PointSummary:
    """The analysis of these rows in the window of the point's only stage."""
    stage = point.stages[0]
    given = {
        "index": 0, "label": "main", "target": "it", "kind": "open", "classes": ("chat",),
        "t0_ns": stage["t0_ns"], "t1_ns": stage["t1_ns"],
    } | meta  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=REQUEST_SCHEMA)
    return analyse_point(table, read_spool(point.folder).clients, PointMeta(**given))


def run_cases(
    process: LoadProcess,
    folder: Path,
    cases: Mapping[str, tuple[int, Mapping[str, Any]]],
    rate: int = 40,
    script: Mapping[str, Any] | None = None,
    **more: Any,
) -> Run:
    """cases: name -> (number of requests, what differs from the plain script)."""
    faults, first = [], 0
    for count, then in cases.values():
        faults.append({"first": first, "last": first + count - 1, "then": dict(then)})
        first += count
    plan = {k: more.pop(k) for k in ("facts", "samples", "token_plan") if k in more}
    whole = {"timing": FAST, "faults": faults} | dict(script or {})
    host = {"host": more.pop("host")} if "host" in more else {}
    load = open_load(rate, first, **more.pop("load", {}))

    def act(folder: Path) -> tuple[Point, list[RequestLog]]:
        with ScriptedServer(whole, **host) as server:
            scenario = scenario_of(server.base_url, load, **({"out": 12} | more))
            point = drive(process, make_plan(folder, scenario, **plan))
            return point, list(server.requests)

    point, logs = undisturbed(folder, act)
    rows = {row["request_id"]: row for row in point.rows}
    seen = {name: Seen() for name in cases}
    names = list(cases)
    for log in logs:
        if log.fault is not None and log.request_id in rows:
            seen[names[log.fault]].rows.append(rows[log.request_id])
            seen[names[log.fault]].logs.append(log)
    assert {name: len(case.rows) for name, case in seen.items()} == {
        name: count for name, (count, _) in cases.items()
    }
    return Run(point, seen, logs)


LAUNCHER = """
import locust, sys  # locust patches the process, so it comes first
%s
sys.argv = ["harness.load", *sys.argv[3:]]
from harness.load.__main__ import main
main()
"""


@contextmanager
def launched(folder: Path, patches: str, patch: pytest.MonkeyPatch) -> Iterator[LoadProcess]:
    """A load process of its own in which this code ran before it started."""
    script, python = folder / "launcher.py", folder / "python"
    script.write_text(LAUNCHER % patches, "utf-8")
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n', "utf-8")
    python.chmod(0o755)
    with patch.context() as scope:
        scope.setattr(sys, "executable", str(python))
        process = LoadProcess()
    with process:
        yield process


def statuses(summary: PointSummary) -> dict[str, str]:
    """Each check's status by its code."""
    return {check.code: check.status for check in summary.checks}
