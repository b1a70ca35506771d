"""One page of each kind, by name: what tests of words and looks read through.

python -m tests.reports.pages FOLDER     # writes them, to be looked at
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.cli._claims import judge_file, summary_of
from harness.decisions import headlines, judge_slo
from harness.estimate import Outcome
from reports import RunFacts, View, build_view, render_html
from reports.claims_view import claims_view
from tests.analysis import rows as analysis_rows
from tests.decisions.rates import point
from tests.reports import (
    sample,
    test_client_check,
    test_cost_section,
    test_gate_view,
    test_many,
    test_replicas_section,
    test_server_section,
    test_uptime,
)

DEPLOYMENT = {
    "max_batch": 64, "kv_tokens": 100_000, "gamma": 0, "tau": 1.0, "prefix_cache": False,
}  # fmt: skip
FACTS = RunFacts(
    "20261127T010203Z-page-ab12cd", "page", "A page to look at.", "complete",
    "2026-11-27T01:02:03+00:00", {"git": {"sha": "abc1234"}, "loadavg": [0.1, 0.2]}, "name: page\n",
    "name: page\n", (("main", "tiny", "http://127.0.0.1:1/v1"),), 30.0, "harness run page",
)  # fmt: skip


def capacity() -> View:
    """A sweep with a limit that breaks, two GPUs."""
    waits = {2: 0.05, 4: 0.08, 8: 0.09, 16: 0.4}
    points = [point(analysis_rows, r, wait, index=k) for k, (r, wait) in enumerate(waits.items())]
    verdicts = [v for s in points for v in judge_slo(s, s.meta.slo)]
    facts = replace(FACTS, gpus={"t": 2})
    return build_view(facts, points, verdicts, Outcome.FAIL, headlines(points, verdicts))


def money() -> View:
    summaries = test_cost_section.make_summaries()
    return test_cost_section.make_view(summaries, test_cost_section.make_answer(summaries))


def plan() -> View:
    part = test_replicas_section.part(deployment=DEPLOYMENT)
    part["capacity"]["sustained"] = {
        "metric": "max_goodput", "stat": "rate", "unit": "req/s", "value": 8.3, "low": 7.9,
        "high": 8.8,
    }  # fmt: skip
    return build_view(replace(FACTS, replicas=part), [sample.point(0, 2.0)], (), Outcome.PASS, ())


def many() -> View:
    points = test_many.copies(point(analysis_rows, 8, 0.09), 60)
    return build_view(FACTS, points, (), Outcome.PASS, ())


def claims() -> View:
    judged = judge_file("guide", (), (), None, None)
    return claims_view(
        judged.claims, judged.findings, judged.sheet, (), judged.to_json(),
        summary_of(judged.findings), "harness claims guide",
    )  # fmt: skip


PAGES: dict[str, Callable[[], View]] = {
    "one": lambda: sample.view(1),
    "sweep": lambda: sample.view(3),
    "capacity": capacity,
    "money": money,
    "plan": plan,
    "many": many,
    "gate": lambda: test_gate_view.make_view(test_gate_view.make_base()),
    "history": test_gate_view.make_history,
    "claims": claims,
    "server": lambda: test_server_section.view_of(sample, 1),
    "client": lambda: test_client_check.view(test_client_check.CHECK),
    "uptime": lambda: test_uptime.view(test_uptime.measured(120, range(30, 40))),
    "partial": lambda: build_view(replace(FACTS, status="running"), (), (), Outcome.INVALID, ()),
}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / f"{name}.html").write_text(render_html(make()), encoding="utf-8")
