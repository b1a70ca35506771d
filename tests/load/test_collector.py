"""The collector stays out of the way, and requests give it nothing to do."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.load.collector import Collector

MIB = 1024 * 1024


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector(allowed_growth_bytes=10 * MIB)
    yield made
    made.release()


def test_held_means_no_pass_by_itself_and_released_means_passes_again(collector: Collector) -> None:
    collector.hold()
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 0
    collector.release()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_growth_beyond_the_allowed_is_worth_one_pass_each_time(collector: Collector) -> None:
    collector.hold()
    seen = [collector.look(MIB * size) for size in (100, 105, 110, 111, 115, 121, 122)]
    assert seen == [False, False, False, True, False, False, True]


def test_a_pass_finds_the_cycles_made_while_held(collector: Collector) -> None:
    class Node:
        freed = 0

        def __del__(self) -> None:
            Node.freed += 1

    collector.hold()
    collector.look(0)
    for _ in range(5):
        node = Node()
        node.__dict__["me"] = node
    del node
    assert Node.freed == 0
    assert collector.look(11 * MIB)
    assert Node.freed == 5


# Takes the place of gc.disable in the load process: passes go on, and tell what they find.
WATCHER = """
import gc, sys
if "harness.load" in sys.orig_argv:
    def watch():
        log = open({log!r}, "w", buffering=1)
        gc.callbacks.append(
            lambda phase, info: phase == "stop" and log.write(str(info["collected"]) + chr(10)))
        gc.set_threshold(200, 2, 2)
    gc.disable = watch
"""
NUM_REQUESTS = 100


def test_requests_leave_no_cycles(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        WATCHER.format(log=str(tmp_path / "found")), encoding="utf-8"
    )
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "schema: harness/v1\nname: cycles\n"
        "targets:\n  main: {kind: scripted, script: {timing: {ttft: 10ms, gap: 2ms}}}\n"
        "traffic:\n  - name: a\n    workload: {kind: chat, input_tokens: {kind: fixed, value: 20},"
        " output_tokens: {kind: fixed, value: 10}}\n"
        "load: {kind: open, arrival: {kind: constant}, rate: 50/s, warmup: 0s, duration: 2s}\n",
        encoding="utf-8",
    )
    subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", "run", scenario,
         "--out", tmp_path, "--workers", "1"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}"}, timeout=120,
        check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    found = [int(line) for line in (tmp_path / "found").read_text(encoding="utf-8").split()]
    assert len(found) > NUM_REQUESTS / 10  # it looked
    # start and end of a point leave a few; a cycle a request would show in nearly every pass
    assert np.percentile(found, 70) == 0
