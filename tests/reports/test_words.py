"""No page shows a number that nobody would write: nan, None, seventeen digits, a bare exponent."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from reports import render_html, render_markdown
from tests.reports.pages import PAGES

# what a person reads; raw stays out: a scenario's own text, commands, embedded data
SILENT = ("script", "style", "pre", "code")
UGLY = {
    "not a number": re.compile(r"\b(?:nan|NaN|NAN)\b"),
    # a command to type may take a setting away: --set load.duration=null
    "Python's nothing": re.compile(r"\b(?:None|(?<!=)null|undefined)\b"),
    "infinity": re.compile(r"(?<![\w-])[+-]?(?:inf|Infinity)\b"),
    "more digits than anybody measures": re.compile(
        r"(?<![\d.])0\.0*[1-9]\d{6,}|[1-9]\d*\.\d{6,}|\b0\.0{6,}"
    ),
    "an exponent": re.compile(r"\b\d(?:\.\d+)?e[+-]?\d+\b"),
    "a Python value": re.compile(r"<[a-z_.]+ object at|\bdict_|\bdataclass|Decimal\(|np\.float"),
    "an empty pair of brackets": re.compile(r"\(\s*\)|\[\s*\]"),
    "a doubled sign": re.compile(r"\+-|--\d|\+\+\d"),
    "a unit without its space": re.compile(r"\b\d+(?:\.\d+)?(?:req/s|tok/s)\b"),
}


class Seen(HTMLParser):
    """Text between tags, and the words that are read aloud."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.silent: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self.silent.append(tag)
        self.texts += [v for k, v in attrs if k in ("aria-label", "title", "aria-valuetext") and v]

    def handle_endtag(self, tag: str) -> None:
        if self.silent and self.silent[-1] == tag:
            self.silent.pop()

    def handle_data(self, data: str) -> None:
        if not self.silent and data.strip():
            self.texts.append(" ".join(data.split()))


@pytest.fixture(scope="module", params=PAGES)
def twins(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A page and its Markdown."""
    view = PAGES[request.param]()
    return render_html(view), render_markdown(view)


def test_every_number_on_a_page_is_one_a_person_would_write(twins: tuple[str, str]) -> None:
    seen = Seen(twins[0]).texts
    assert len(seen) > 20
    found = [f"{what}: {t!r}" for t in seen for what, ugly in UGLY.items() if ugly.search(t)]
    assert not found, "\n".join(found[:20])


def test_the_markdown_twin_neither(twins: tuple[str, str]) -> None:
    text = re.sub(r"`[^`]*`", "", twins[1])
    found = [
        f"{what}: {m[0]!r} in {text[m.start() - 60 : m.end() + 20]!r}"
        for what, ugly in UGLY.items()
        if (m := ugly.search(text))
    ]
    assert not found, "\n".join(found)


def test_every_picture_has_words(twins: tuple[str, str]) -> None:
    for figure in re.findall(r'<figure class="picture.*?</figure>', twins[0], re.DOTALL):
        caption = re.search(r'<figcaption>(.*?) <span class="note">', figure, re.DOTALL)
        desc = re.search(r"<desc [^>]*>(.*?)</desc>", figure, re.DOTALL)
        assert caption is not None
        assert desc is not None
        assert caption[1].rstrip().endswith("."), caption[1]  # a finding, in a sentence
        assert len(desc[1]) > 20, desc[1]


@pytest.mark.parametrize(("what", "text"), [
    ("not a number", "p50 nan ms"), ("Python's nothing", "limit None"), ("infinity", "at most inf"),
    ("more digits than anybody measures", "0.30000000000000004 s"), ("an exponent", "1.5e-05 s"),
    ("a unit without its space", "8.0req/s"), ("an empty pair of brackets", "9.4 ()"),
])  # fmt: skip
def test_the_net_holds_what_it_is_for(what: str, text: str) -> None:
    assert UGLY[what].search(text)
