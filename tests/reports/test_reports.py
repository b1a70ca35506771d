"""A report is one honest, accessible, deterministic file, and its text twins agree with it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from harness.estimate import Outcome
from reports import render_html, render_junit, render_markdown
from reports.svg import UnthemedColour, to_inline_svg

HERE = Path(__file__).parent


def _load_sample() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reports_sample", HERE / "sample.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reports_sample"] = module
    spec.loader.exec_module(module)
    return module


sample = _load_sample()


class Page(HTMLParser):
    """Ids, tags with attributes, and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    @property
    def ids(self) -> list[str]:
        return [a["id"] for _, a in self.tags if a.get("id")]  # type: ignore[misc]


@pytest.fixture(scope="module")
def html() -> str:
    return render_html(sample.view())


def test_no_request_leaves_the_file(html: str) -> None:
    namespaces = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
    for tag, attributes in Page(html).tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(name) or ""
            assert not value.startswith(("http:", "https:", "//")), (tag, value)
    assert "@import" not in html
    assert "<link" not in html
    assert all(u.startswith("#") for u in re.findall(r"url\(([^)]*)\)", html))
    for url in set(re.findall(r'"(https?://[^"]+)"', html.split("<script")[0])):
        assert url in namespaces


def test_policy_allows_exactly_the_one_script(html: str) -> None:
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert "default-src 'none'" in html
    assert len(script[0].encode()) <= 8 * 1024


def test_ids_are_unique_and_links_lead_somewhere(html: str) -> None:
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    for _, attributes in page.tags:
        for name in ("href", "xlink:href"):
            target = attributes.get(name) or ""
            if target.startswith("#") and len(target) > 1:
                assert target[1:] in page.ids, target


def test_every_chart_is_an_image_with_words(html: str) -> None:
    charts = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(charts) >= 6
    for chart in charts:
        assert 'role="img"' in chart
        assert re.search(r"<title [^>]*>\w+", chart)
        assert re.search(r"<desc [^>]*>\w+", chart)
        assert not re.search(r"#[0-9a-fA-F]{6}\b", chart), "a colour no theme can change"
        assert "<style" not in chart
    assert html.count("<summary>data</summary>") == len(charts)


def test_tables_name_their_headers(html: str) -> None:
    headers = [a for t, a in Page(html).tags if t == "th"]
    assert headers
    assert all(a.get("scope") in ("col", "row", "rowgroup") for a in headers)


def test_markup_in_data_stays_text(html: str) -> None:
    assert "<b>internal</b>" not in html
    assert "&lt;b&gt;internal" in html
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["outcome"] == "fail"
    assert len(data[1]) <= 1_000_000


def test_same_view_same_bytes(html: str) -> None:
    assert render_html(sample.view()) == html


def test_sections_without_data_are_absent() -> None:
    one = render_html(sample.view(1))
    assert 'id="capacity"' not in one
    assert 'href="#capacity"' not in one
    assert 'id="capacity"' in render_html(sample.view(2))


def test_ten_points_stay_small() -> None:
    assert len(render_html(sample.view(10)).encode()) <= 1_500_000


def test_withheld_quantile_says_so(html: str) -> None:
    assert "not reported" in html


def test_markdown_numbers_are_those_of_the_data() -> None:
    view = sample.view()
    text = render_markdown(view)
    assert len(text.encode()) <= 60 * 1024
    for verdict in view.data["verdicts"]:
        estimate = verdict["estimate"]
        if estimate["value"] is not None:
            shown = f"{estimate['value'] * 1e3:.3g}" if estimate["unit"] != "ratio" else (
                f"{estimate['value'] * 100:.3g}"
            )  # fmt: skip
            assert shown.rstrip("0").rstrip(".") in text, verdict["rule"]


def test_junit_tells_the_four_outcomes_apart() -> None:
    suite = ElementTree.fromstring(render_junit(sample.view()))[0]
    counts = {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    told = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert told["commit"] == "abc1234"
    kinds = {c.get("name"): [e.tag for e in c] for c in suite.iter("testcase")}
    assert kinds["slo-error_rate-max"] == ["failure"]
    assert kinds["slo-ttft-p99"] == ["skipped"]
    assert kinds["slo-tpot-p50"] == ["error"]
    assert kinds["slo-ttft-p50"] == ["system-out"]


@pytest.mark.parametrize("status", ["partial", "complete"])
@pytest.mark.parametrize("kept", [Outcome.PASS, None])
def test_junit_of_a_run_without_a_verdict_shows_no_green_alone(
    status: str, kept: Outcome | None
) -> None:
    """A reader of JUnit knows nothing of the rest: cut short, or invalid with no rule to say so."""
    view = replace(sample.view(), outcome="invalid", status=status)
    verdicts = tuple(v for v in view.verdicts if v.outcome is kept)
    suite = ElementTree.fromstring(render_junit(replace(view, verdicts=verdicts)))[0]
    assert (suite.get("errors"), suite.get("tests")) == ("1", str(1 + len(verdicts)))
    (case,) = (c for c in suite.iter("testcase") if c.get("name") == "run")
    assert case[0].tag == "error"
    assert case[0].get("message")


def test_a_caption_tells_the_estimates_of_the_tables_and_not_points_of_the_curve() -> None:
    view = sample.view(1)
    chart = view.lead
    assert chart is not None
    assert chart.id == "chart-nines-ttft"
    # 0.15 s x 1.2; the curve itself begins at p20, which is faster
    assert chart.caption == "TTFT: p50 180 ms (162 to 198 ms), p95 396 ms (356 to 436 ms)."


def test_a_colour_outside_the_theme_is_refused() -> None:
    figure = Figure()
    figure.subplots().plot([0, 1], [0, 1], color="#ff0000")
    with pytest.raises(UnthemedColour, match="not a sentinel"):
        to_inline_svg(figure, "x", "t", "d")


@pytest.mark.parametrize(
    ("name", "render"), [("summary.md", render_markdown), ("junit.xml", render_junit)]
)
def test_golden(name: str, render: object, regenerate: bool) -> None:
    path = HERE / "golden" / name
    text = render(sample.view())  # type: ignore[operator]
    if regenerate:
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
