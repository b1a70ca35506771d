"""Prompts of two points of one run: the same text, other salts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.load.exchange import Arrival
from harness.load.load import Load
from harness.traffic.vocabulary import SALT_WORDS

from .conftest import make_plan, scenario_of

ARRIVAL = Arrival(stage=0, row=0, ordinal=0, intended_ns=0, phase="measured")


def opening(folder: Path, **more: Any) -> bytes:
    """The salt of the first arrival under a plan; the bodies' own part is left out."""
    scenario = scenario_of("http://127.0.0.1:1/v1", {"kind": "closed", "concurrency": 1})
    bodies = SimpleNamespace(body=lambda stage, row, salt: salt.encode())
    plan = make_plan(folder, scenario, **more)
    load: Any = SimpleNamespace(
        shard=SimpleNamespace(plan=plan, bodies=bodies, salt_words=SALT_WORDS)
    )
    return Load.body_of(load, ARRIVAL)


def test_points_of_a_sweep_share_no_prompt(tmp_path: Path) -> None:
    """They replay one schedule; were the salt one too, a prefix cache would know every prompt."""
    openings = {opening(tmp_path, point_index=index) for index in range(50)}
    assert len(openings) == 50
    assert opening(tmp_path, point_index=7) == opening(tmp_path, point_index=7)
