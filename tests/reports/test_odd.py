"""What no run should hold and some do: hostile names, nothing but failures, one request, forty
rates, a microsecond and a day, answers without usage. Nothing unescaped, nothing broken."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from harness.analysis import PointSummary, analyse_point
from harness.decisions import headlines, judge_slo
from harness.estimate import Outcome
from harness.scenario.slo import Slo
from reports import RunFacts, View, build_view, render_html, render_junit, render_markdown
from tests.analysis import rows
from tests.decisions.rates import point
from tests.reports.test_many import copies
from tests.reports.test_reports import Page
from tests.reports.test_words import UGLY, Seen

NAME = (
    "<img src=x onerror=alert(1)></script>&\"'`|$\\frac{1}{0}$ #c0ffee \u202e\x1b[31m"
    " \u0645\u0631\u062d\u0628\u0627 \U0001f680 " + "endless" * 30
)
SLO = Slo.model_validate({
    "ttft": {"p50": "300ms"}, "good_request": {"ttft": "300ms", "tpot": "50ms"},
    "attainment": "95%", "error_rate": {"max": "1%"},
})  # fmt: skip


def load(made: list[dict[str, object]], window_s: float = 10.0, **meta: object) -> PointSummary:
    given = rows.meta(window_s, slo=SLO, offered_req_per_s=len(made) / window_s, **meta)
    return analyse_point(rows.requests(made), rows.clients(int(min(window_s, 60))), given)


def answered(num: int, ttft_s: float = 0.05, gap_s: float = 0.02, every_s: float = 0.1,
             **columns: object) -> list[dict[str, object]]:  # fmt: skip
    return [
        rows.row(i * every_s, [i * every_s + ttft_s + gap_s * k for k in range(8)], **columns)
        for i in range(num)
    ]


def hostile() -> list[PointSummary]:
    """Two loads, told apart by a name, of two classes that tell their own lies."""

    def one(index: int, num: int) -> PointSummary:
        made = answered(num, class_name=NAME) + answered(num, class_name="_$x$")
        made += [rows.row(9, error="http_5xx", end=9.5, class_name=NAME)] * 3
        return load(made, index=index, label=f"{index}{NAME}", classes=(NAME, "_$x$"),
                    swept={NAME: index})  # fmt: skip

    points = [one(0, 90), one(1, 60)]
    return [replace(p, errors=tuple(replace(e, sample=NAME) for e in p.errors)) for p in points]


def forty() -> list[PointSummary]:
    points = copies(point(rows, 8, 0.09), 40)
    return [
        replace(p, meta=replace(p.meta, kind="open", concurrency=None, label=f"rate-{k + 1}",
                                offered_req_per_s=1.37**k, swept={"load.rate": f"{k}/s"}))
        for k, p in enumerate(points)
    ]  # fmt: skip


LOADS: dict[str, Callable[[], list[PointSummary]]] = {
    "hostile": hostile,
    "all failed": lambda: [load([rows.row(i / 10, error="timeout", end=i / 10 + 1)
                                 for i in range(90)])],
    "one request": lambda: [load(answered(1))],
    "nothing": lambda: [load([])],
    "forty": forty,
    "tiny": lambda: [load(answered(300, 2e-6, 3e-9, 1e-5), 0.01)],
    "huge": lambda: [load(answered(300, 9e4, 7e3, 400.0), 2e5)],
    "no usage": lambda: [load(answered(90, n_in=None, n_out=None, tok_source=""))],
}  # fmt: skip


@pytest.fixture(scope="module", params=LOADS)
def view(request: pytest.FixtureRequest) -> View:
    points = LOADS[request.param]()
    verdicts = [v for p in points for v in judge_slo(p, p.meta.slo)]
    facts = RunFacts(
        f"r-{request.param}", NAME, NAME, "complete", "2026-11-27T01:02:03+00:00",
        {"git": {"sha": "abc"}, NAME: NAME}, NAME, NAME, ((NAME, NAME, NAME),), 30.0, NAME,
    )  # fmt: skip
    return build_view(facts, points, verdicts, Outcome.FAIL, headlines(points, verdicts))


@pytest.fixture(scope="module")
def page(view: View) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of it is worth a word on anybody's terminal
        return render_html(view)


def test_no_name_becomes_markup_or_acts(page: str) -> None:
    assert {tag for tag, _ in Page(page).tags}.isdisjoint({"img", "iframe", "link", "object"})
    assert page.count("<script") == 2
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    assert "\U0001f680" in page  # words of every script stay


def test_every_id_is_unique_and_every_picture_whole(page: str) -> None:
    ids = Page(page).ids
    assert len(ids) == len(set(ids))
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(picture)


def test_every_number_is_one_a_person_would_write(page: str) -> None:
    seen = [text.replace(NAME, "") for text in Seen(page).texts]
    found = [f"{what}: {t!r}" for t in seen for what, ugly in UGLY.items() if ugly.search(t)]
    assert not found, "\n".join(found[:20])


def test_the_text_twins_stand_it_too(view: View) -> None:
    assert "<img" not in re.sub(r"`[^\n]*`", "", render_markdown(view))
    ElementTree.fromstring(render_junit(view))


def test_a_page_stays_small(page: str) -> None:
    assert len(page.encode()) <= 2_000_000
