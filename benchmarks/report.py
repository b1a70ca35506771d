"""python -m benchmarks.report [POINTS [FILE]]

CPU seconds of a report's two steps, view and HTML, and the bytes of the page, for a sweep of POINTS
rates (10) of 200 requests each, analysed for real. Importing and analysing are told apart:
`harness run` has both behind it when it renders.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from harness.analysis import PointMeta, PointSummary, analyse_point
from harness.decisions import headlines, judge_slo
from harness.estimate import Outcome
from harness.records.schema import CLIENT_SCHEMA, REQUEST_SCHEMA
from harness.scenario.slo import Slo

NUM_REQUESTS, NUM_CHUNKS, SEED = 200, 60, 3
SLO = Slo.model_validate({
    "ttft": {"p50": "300ms", "p95": "800ms"}, "good_request": {"ttft": "500ms", "tpot": "50ms"},
    "attainment": "95%",
})  # fmt: skip


def point(index: int, rate: float) -> PointSummary:
    """Waits and gaps that grow with the rate; one request in fifty fails."""
    rng = np.random.default_rng([SEED, index])
    starts = np.cumsum(rng.exponential(1 / rate, NUM_REQUESTS))
    waits = rng.lognormal(np.log(0.05 * (1 + rate / 8)), 0.5, NUM_REQUESTS)
    rows = [
        _row(k, float(s), float(w), rng) for k, (s, w) in enumerate(zip(starts, waits, strict=True))
    ]
    meta = PointMeta(
        index, f"rate-{rate:g}", "main", "open", 0, int(starts[-1] * 1e9), ("chat",),
        {"load.rate": f"{rate:g}/s"}, offered_req_per_s=rate, slo=SLO,
    )  # fmt: skip
    requests = pa.Table.from_pylist(rows, schema=REQUEST_SCHEMA)
    clients = pa.Table.from_pylist([], schema=CLIENT_SCHEMA)
    return analyse_point(requests, clients, meta)


def _row(k: int, start: float, wait: float, rng: np.random.Generator) -> dict[str, object]:
    is_lost = k % 50 == 49
    chunks = [] if is_lost else list(start + wait + np.cumsum(rng.gamma(4, 0.005, NUM_CHUNKS)))
    at = {
        "intended_ns": start, "released_ns": start, "sent_ns": start + 1e-4,
        "first_token_ns": chunks[0] if chunks else None,
        "first_visible_ns": chunks[0] if chunks else None,
        "last_token_ns": chunks[-1] if chunks else None,
        "end_ns": chunks[-1] if chunks else start + 1.0,
    }  # fmt: skip
    return dict.fromkeys(REQUEST_SCHEMA.names) | {
        "stage": 0, "ordinal": k, "attempt": 0, "class": "chat",
        "error_class": "timeout" if is_lost else "", "n_in": 200,
        "n_out": len(chunks) or None, "tok_source": "usage",
        "chunk_ns": [int(c * 1e9) for c in chunks], "chunk_tok": [1.0] * len(chunks),
        "chunk_uncertain": [False] * len(chunks),
        **{name: None if value is None else int(value * 1e9) for name, value in at.items()},
    }  # fmt: skip


@contextmanager
def told(what: str) -> Iterator[None]:
    begin = time.process_time()
    yield
    print(f"{what:<24}{time.process_time() - begin:6.2f} CPU s")


def main(num_points: int) -> None:
    with told("import of matplotlib"):
        import reports.html
    import reports

    with told(f"analysis, {num_points} points"):
        rates = np.geomspace(2, 40, num_points)
        summaries = [point(k, float(f"{rate:.3g}")) for k, rate in enumerate(rates)]
        verdicts = [v for s in summaries for v in judge_slo(s, s.meta.slo)]
    facts = reports.RunFacts(
        "20260101T000000Z-bench-abcdef", "bench", "", "complete", "2026-01-01T00:00:00+00:00", {},
        "", "", (("main", "m", "http://127.0.0.1:1/v1"),), 60.0, "python -m benchmarks.report",
    )  # fmt: skip
    said = headlines(summaries, verdicts)
    with told("view"):
        view = reports.build_view(facts, summaries, verdicts, Outcome.PASS, said)
    with told("page"):
        page = reports.render_html(view)
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(page, encoding="utf-8")
    again = reports.render_html(replace(view))
    print(f"{'size':<24}{len(page.encode()) / 1e6:6.2f} MB, {page.count('<svg')} charts,"
          f" same bytes again: {page == again}")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
