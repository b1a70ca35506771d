"""Points of a sweep with known latencies, analysed for real."""

from __future__ import annotations

from types import ModuleType

from harness.analysis import PointSummary, analyse_point
from harness.scenario.slo import Slo

SLO = Slo.model_validate({"good_request": {"ttft": "300ms", "tpot": "50ms"}, "attainment": "95%"})


def point(
    rows: ModuleType,
    rate: float,
    ttft_s: float,
    gap_s: float = 0.02,
    index: int = 0,
    **columns: object,
) -> PointSummary:
    """200 requests at `rate`, one in ten of which takes three times as long to begin.

    rows: tests/analysis/rows.py.
    """
    made = []
    for i in range(200):
        start = i / rate
        first = start + ttft_s * (3 if i % 10 == 0 else 1)
        made.append(rows.row(start, [first + gap_s * k for k in range(10)], **columns))
    meta = rows.meta(
        200 / rate, slo=SLO, swept={"load.rate": f"{rate}/s"}, index=index, label=f"rate-{rate}",
        offered_req_per_s=float(rate),
    )  # fmt: skip
    return analyse_point(rows.requests(made), rows.clients(int(200 / rate)), meta)
