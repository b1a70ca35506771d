"""What requests cost those who decode: by hand, and from a server whose law is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from harness.analysis import turnovers as module
from harness.analysis.frame import Frame, read_frame
from harness.analysis.steps import IDLE_S, point_steps
from harness.analysis.turnovers import Turnover, turnovers
from harness.decisions.hinge import Hinge
from harness.decisions.step_fit import step_times, turnover_times

LAW = Hinge(
    a0=1e-3, b=1e-3, a1=6e-5, d=1e-4, c=7e-7, e=5e-8, o=0.0, loss=0.0, corner=0, r=1.3e-3, g=9e-6
)


def frame_of(*requests: tuple[float, list[float], int]) -> Frame:
    """Of each: sent, its tokens' stamps, prompt tokens. Times in ms."""
    rows = [
        {
            "intended_ns": round(sent * 1e6), "sent_ns": round(sent * 1e6),
            "first_token_ns": round(tokens[0] * 1e6), "last_token_ns": round(tokens[-1] * 1e6),
            "end_ns": round(tokens[-1] * 1e6), "error_class": "", "n_in": n_in, "cached_tok": 0,
            "chunk_ns": [round(t * 1e6) for t in tokens], "chunk_tok": [1.0] * len(tokens),
        }
        for sent, tokens, n_in in requests
    ]  # fmt: skip
    types = {"chunk_ns": pa.list_(pa.int64()), "chunk_tok": pa.list_(pa.float32()),
             "error_class": pa.string()}  # fmt: skip
    columns = {k: pa.array([row[k] for row in rows], types.get(k, pa.int64())) for k in rows[0]}
    return read_frame(pa.table(columns), 0, 10**9)


def test_one_request_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """b is sent at 21 into a step of a that ends at 23, and read by the step that ends at 60."""
    monkeypatch.setattr(module, "LEAST_REQUESTS", 1)
    a = (0.0, [10.0, 12, 14, 16, 18, 20, 23, 60, 63, 66, 69], 50)
    b = (21.0, [60.3, 63.2, 66.2, 69.2], 70)
    (row,) = turnovers(frame_of(a, b), 4)
    assert row == Turnover(
        point=4, seconds=pytest.approx(0.040), num_steps=2, num_mixed=1,
        # a decodes in both, behind 6 and 7 tokens of its answer; b's first token is no decode
        seq_steps=2, context_tok=50 + 6 + 50 + 7, prompt_tok=70, area=70 * 35, num_requests=1,
    )  # fmt: skip


def test_nothing_is_said_where_nobody_saw_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_REQUESTS", 1)
    short = (0.0, [10.0, 12, 14, 30], 50)  # its last token is that of the step that read b
    b = (13.0, [30.0, 32, 34], 70)
    assert turnovers(frame_of(short, b), 0) == []
    assert turnovers(frame_of(b), 0) == []  # alone, it kept nobody waiting


def served(num: int, seed: int) -> Frame:
    """A server that steps by LAW: everybody who is there is in the step, new ones cost r, the step
    after them g, the first after idleness h."""
    rng = np.random.default_rng(seed)
    sent_s = np.cumsum(rng.exponential(0.02, num))
    n_in, n_out = rng.integers(20, 200, num), rng.integers(2, 60, num)
    stamps: list[list[float]] = [[] for _ in range(num)]
    now_s, line, running, after = -1.0, list(range(num)), list[int](), 0.0
    cold: set[bool] = set()  # kinds of steps that have not run since it was idle
    while line or running:
        if not running:
            if sent_s[line[0]] - now_s >= IDLE_S:
                cold = {True, False}
            now_s = max(now_s, float(sent_s[line[0]]))
        new = [i for i in line if sent_s[i] <= now_s]
        line = line[len(new) :]
        p = np.array([n_in[i] for i in new], np.float64)
        context = sum(int(n_in[i]) + len(stamps[i]) for i in running)
        size = len(running) + p.sum()
        now_s += max(LAW.a0, LAW.b + LAW.a1 * size) + LAW.d * len(running) + LAW.c * context
        now_s += LAW.e * float((p * p / 2).sum()) + LAW.r * len(new)
        now_s += (0.0 if new else LAW.g * after) + LAW.h * (bool(new) in cold)
        cold.discard(bool(new))
        after = after + p.sum() if new else 0.0
        running += new
        for i in running:
            stamps[i].append(now_s * 1e3)
        running = [i for i in running if len(stamps[i]) < n_out[i]]
    rows = zip(sent_s * 1e3, stamps, n_in, strict=True)
    return frame_of(*((float(s), tokens, int(n)) for s, tokens, n in rows))


@pytest.mark.parametrize("seed", range(4))
def test_the_law_explains_every_row_and_only_with_r(seed: int) -> None:
    """Stamps are whole nanoseconds, so rows agree to that; without r each request lacks its own."""
    frame = served(400, seed)
    rows = turnovers(frame, 0)
    assert sum(row.num_requests for row in rows) > 150
    told = LAW.predict(turnover_times(rows, 10**6))
    seconds = np.array([row.seconds for row in rows])
    np.testing.assert_allclose(told, seconds, atol=1e-7)
    without = replace(LAW, r=0.0).predict(turnover_times(rows, 10**6))
    num = np.array([row.num_requests for row in rows])
    np.testing.assert_allclose((seconds - without) / num, LAW.r, atol=1e-7)
    steps = point_steps(frame, 0)
    assert steps.turnovers == tuple(rows)
    clean = [row for row in steps.rows if row.kind == "decode"]
    assert len(clean) > 3
    assert max(row.after_tok for row in clean) > 1
    assert max(row.num_cold for row in clean) > 0
    seconds = np.array([row.seconds for row in clean])
    np.testing.assert_allclose(LAW.predict(step_times(clean, 10**6)), seconds, rtol=1e-6)
