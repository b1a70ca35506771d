"""Told before a gate starts: its length, what it sees, and limits that lie below the noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli._gate_plan import gate_plan, require_above_floor
from harness.cli._job import job_of
from harness.errors import UsageError
from harness.records import provenance, save_calibration
from harness.scenario import comparability_hash, load_scenario, read_materials


def plan(tmp_path: Path, *sets: str) -> Any:
    loaded = load_scenario("gate-reference", overrides=sets, env={})
    return gate_plan(
        loaded.document, read_materials(loaded.document, loaded.search_paths), tmp_path
    )


def calibrate(tmp_path: Path, sigma: float, host: str | None = None) -> None:
    document = load_scenario("gate-reference", env={}).document
    save_calibration(
        tmp_path,
        {
            "key": comparability_hash(document),
            "host": host or provenance()["machine"]["host_sha256"],
            "sigma": {"main/ttft/p50": sigma, "main/tpot/p50": sigma},
        },
    )


def test_length_and_reach_are_told(tmp_path: Path) -> None:
    told = "\n".join(plan(tmp_path).lines)
    assert "8 blocks, two runs each, alpha 0.05" in told
    assert "time: about" in told
    assert "ttft-p50: limit 10.0%; sees a change of 4.7%" in told  # sigma 4 %, 8 blocks
    assert "harness calibrate measures it" in told


def test_two_blocks_are_told_to_be_too_few(tmp_path: Path) -> None:
    told = "\n".join(plan(tmp_path, "gate.blocks=2").lines)
    assert "can only be inconclusive" in told


def test_against_stored_sessions_no_block_is_promised(tmp_path: Path) -> None:
    found = plan(tmp_path, "gate.baseline={kind: stored, name: main}", "gate.blocks=3")
    told = "\n".join(found.lines)
    assert "one run each, against stored ones" in told
    assert "below 5 of them every relative rule is inconclusive" in told
    assert found.seen == ()


def test_a_calibration_of_this_machine_is_used_and_another_is_not(tmp_path: Path) -> None:
    calibrate(tmp_path, 0.5, host="another")
    assert not plan(tmp_path).is_calibrated
    calibrate(tmp_path, 0.02)
    found = plan(tmp_path)
    assert found.is_calibrated
    assert [s.sigma for s in found.seen] == [0.02, 0.02]
    require_above_floor(found)


def test_a_limit_below_the_noise_floor_is_refused_with_the_blocks_it_takes(tmp_path: Path) -> None:
    """sigma 20 %: 8 blocks of the same thing differ by up to 14.9 %; the limit is 10 %."""
    calibrate(tmp_path, 0.20)
    with pytest.raises(UsageError) as error:
        require_above_floor(plan(tmp_path))
    assert error.value.exit_code == 2
    assert "gate.max_blocks to 17" in error.value.do  # (1.96 x .2 / ln 1.1)^2 = 16.9
    require_above_floor(plan(tmp_path, "gate.max_blocks=17"))


def test_a_half_measured_block_is_measured_again(tmp_path: Path) -> None:
    """Its two runs would lie apart in time: what --resume finds missing is the whole block."""
    loaded = load_scenario("gate-reference", env={})
    whole = [SimpleNamespace(index=i) for i in (0, 1, 2)]  # block 1 whole, one run of block 2
    job = job_of(loaded, tmp_path, SimpleNamespace(whole_points=whole))  # type: ignore[arg-type]
    assert [p.index for p in job.missing[:3]] == [2, 3, 4]
    assert replace(job, missing=()).points == job.points
