"""Points driven by the real load process against the scripted endpoint.

locust patches the process that imports it, so it only ever runs in the children that LoadProcess
spawns; one such process serves the whole session.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Any, TypeVar

import pytest
from ruamel.yaml import YAML

from harness.load import Done, LoadEvent, LoadProcess, PointPlan, TargetFacts
from harness.records import read_spool
from harness.testing import ScriptedServer
from harness.traffic import TokenPlan

FAST = {"ttft": "10ms", "gap": "2ms"}
MS = 1_000_000
MOST_HELD_UP_NS = 250 * MS
NUM_TRIES = 3
T = TypeVar("T")


def scenario_of(base_url: str, load: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A scenario of one chat class: 30 words in, 8 tokens out."""
    target = {"kind": "openai", "url": base_url} | more.pop("target", {})
    chat = {
        "kind": "chat",
        "input_tokens": {"kind": "fixed", "value": 30},
        "output_tokens": {"kind": "fixed", "value": more.pop("out", 8)},
    }
    phases = {"warmup": "0s", "cooldown": "5s", "drain": "1s"}
    given = {
        "schema": "harness/v1",
        "name": "load-test",
        "seed": 7,
        "targets": {"it": target},
        "traffic": [{"name": "chat", "workload": chat}],
        "load": phases | dict(load),
    }
    return given | more


def open_load(rate: int, requests: int, **more: Any) -> dict[str, Any]:
    arrival = {"kind": "constant"}
    return {
        "kind": "open", "arrival": arrival, "rate": f"{rate}/s", "requests": requests, **more,
    }  # fmt: skip


@dataclass
class Point:
    """What one point left behind."""

    folder: Path
    done: Done
    events: list[LoadEvent]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """By ordinal."""
        found = read_spool(self.folder).requests.to_pylist()
        return sorted(found, key=lambda row: (row["stage"], row["ordinal"]))

    @property
    def clients(self) -> list[dict[str, Any]]:
        return read_spool(self.folder).clients.to_pylist()

    @property
    def stages(self) -> list[dict[str, Any]]:
        return json.loads((self.folder / "stages.json").read_text())

    @property
    def held_up_ns(self) -> int:
        """The longest that the load process stood still between the start and the end."""
        start_ns = self.stages[0]["start_ns"]
        rows = [row for row in self.clients if row["t_ns"] > start_ns]
        return max((row["hub_lag_max_ns"] or 0 for row in rows), default=0)


def make_plan(
    folder: Path, scenario: Mapping[str, Any], facts: TargetFacts | None = None, **more: Any
) -> PointPlan:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scenario.resolved.yaml"
    with path.open("w") as file:
        YAML().dump(dict(scenario), file)
    base_url = scenario["targets"]["it"]["url"]
    known = facts or TargetFacts(base_url, "scripted", takes_continuous_usage=True)
    defaults: dict[str, Any] = {
        "run_id": "run", "run_dir": str(folder), "point_dir": str(folder),
        "resolved_scenario": str(path), "point_index": 0, "base_url": base_url,
        "model": "scripted", "api_key_env": None, "facts": known,
        "token_plan": TokenPlan("calibrated", 1.0, 0.0),
    }  # fmt: skip
    return PointPlan(**(defaults | more))


def drive(process: LoadProcess, plan: PointPlan) -> Point:
    events = list(process.run(plan))
    assert isinstance(events[-1], Done)
    return Point(Path(plan.point_dir), events[-1], events)


@contextmanager
def watch() -> Iterator[Callable[[], int]]:
    """How long this process, in which the endpoint runs, stood still at most; ns."""
    is_over, longest = threading.Event(), [0]

    def look() -> None:
        before_ns = monotonic_ns()
        while not is_over.wait(0.005):
            now_ns = monotonic_ns()
            longest[0], before_ns = max(longest[0], now_ns - before_ns), now_ns

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield lambda: longest[0]
    finally:
        is_over.set()
        thread.join()


def undisturbed(folder: Path, act: Callable[[Path], tuple[Point, T]]) -> tuple[Point, T]:
    """What act measured, by the first of three tries in which neither end was held up.

    A machine that others use stops a process now and then, and limits of some 700 ms, which let a
    test end in seconds, then cut answers that nothing was wrong with. Both ends tell that it was
    so: the load process in its rows, this one by a thread. A defect that holds up either is met by
    every try, and the last one counts whatever it was.
    """
    for number in range(NUM_TRIES):
        with watch() as longest_ns:
            point, more = act(folder / f"try-{number}" if number else folder)
            if max(longest_ns(), point.held_up_ns) < MOST_HELD_UP_NS:
                break
    return point, more


@pytest.fixture(scope="session")
def load_process() -> Iterator[LoadProcess]:
    with LoadProcess() as process:
        yield process


Measure = Callable[..., Point]


@pytest.fixture
def measure(load_process: LoadProcess, tmp_path: Path) -> Measure:
    """measure(script, load, ...): one point of one worker against a scripted endpoint."""

    points = itertools.count()

    def run(script: Mapping[str, Any], load: Mapping[str, Any], **more: Any) -> Point:
        plan = {k: more.pop(k) for k in ("facts", "samples", "token_plan") if k in more}

        def act(folder: Path) -> tuple[Point, None]:
            with ScriptedServer({"timing": FAST} | dict(script)) as server:
                scenario = scenario_of(server.base_url, load, **more)
                return drive(load_process, make_plan(folder, scenario, **plan)), None

        return undisturbed(tmp_path / f"{next(points)}", act)[0]

    return run


def _openssl(folder: Path, *arguments: str) -> None:
    command = ["openssl", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and server.pem / server.key for 127.0.0.1 signed by it."""
    folder = tmp_path_factory.mktemp("ca")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(
        folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
        "-subj", "/CN=test authority",
    )  # fmt: skip
    _openssl(
        folder, "req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=it",
    )  # fmt: skip
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl(
        folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-out", "server.pem", "-days", "2", "-extfile", "ext",
    )  # fmt: skip
    return folder
