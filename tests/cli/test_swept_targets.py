"""A sweep may change the target itself: each point is measured on the one it names."""

from __future__ import annotations

import json
import signal
from itertools import pairwise
from typing import Any

import pytest

from harness.cli._interruption import Interruption

SWEEP = {"kind": "list", "repeat": 2, "over": {"targets.t.script.timing.ttft": ["5ms", "9ms"]}}


def test_each_point_meets_its_own_target(cli: Any) -> None:
    path = cli.scenario(sweep=SWEEP, load={"duration": "300ms", "warmup": "200ms"})
    done = cli.here("run", path, "--no-report")
    assert done.has_no_traceback()
    metas = [
        json.loads(p.read_text("utf-8")) for p in sorted(cli.latest.glob("points/*/point.json"))
    ]
    assert [m["swept"]["targets.t.script.timing.ttft"] for m in metas] == ["5ms", "9ms"] * 2
    urls = [m["base_url"] for m in metas]
    assert all(now != next_ for now, next_ in pairwise(urls)), urls
    assert done.err.count("target t: ") == 4


def test_a_target_that_refuses_one_point_does_so_before_any_load(cli: Any) -> None:
    target = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "model": "m"}
    sweep = {"kind": "list", "over": {"targets.t.model": ["m", "n"]}}
    done = cli.here("run", cli.scenario(targets={"t": target}, sweep=sweep))
    assert done.code == 5
    assert not cli.runs.exists()


def test_a_signal_while_a_target_starts_ends_the_wait() -> None:
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt), interruption.raising():
            signal.raise_signal(signal.SIGINT)
        assert interruption.is_asked
        signal.raise_signal(signal.SIGTERM)  # only counted again
