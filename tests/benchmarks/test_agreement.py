"""The harness held against a server that shares no code with it: counts and medians agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.agreement import FROM_INTENDED, FROM_SEND, GAP, agreement, table

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
NOISE_S = 2e-3  # medians of differences, so only a machine starved all along comes near


def test_harness_and_an_independent_server_agree(tmp_path: Path) -> None:
    for number in range(3):  # a machine that is busy all along tells nothing of us; a bias stays
        folder = tmp_path / str(number)
        folder.mkdir()
        found = agreement(
            folder, num_requests=24, rate=8, num_tok=8, num_plain=5, ttft_s=0.05, warmup_s=0.0
        )
        known = [line for line in found.lines if line.quantity != FROM_INTENDED]
        if all(abs(line.error_s) < NOISE_S for line in known):
            break
    assert found.num_load == found.num_load_served >= 24  # load goes on until all have ended
    assert found.num_plain == 5
    lines = {(line.client, line.quantity): line for line in found.lines}
    assert lines["harness", GAP].n == 24 * 7
    assert lines["harness", FROM_SEND].n == 24
    assert 0 <= lines["harness", FROM_SEND].error_s < NOISE_S
    # our own lateness counts from the intended send; how late is this machine's business
    assert lines["harness", FROM_INTENDED].error_s >= lines["harness", FROM_SEND].error_s
    assert abs(lines["harness", GAP].error_s) < NOISE_S
    assert 0 <= lines["plain client", FROM_SEND].error_s < NOISE_S
    for line in found.lines[:3]:  # the summary is about the same requests
        assert line.said_s is None or line.said_s == pytest.approx(line.measured_s, abs=1e-9)
    assert "| harness | gap | 168 |" in table(found)
