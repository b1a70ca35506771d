"""Notices of a run: each thing to know once, the gravest first."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import PointSummary
from harness.notices import Notice
from reports._quality import WORDS
from reports._text import listed

MOST_NAMED = 3  # of the points that one notice hits: a gate has sixteen runs
_GRAVITY = ("invalid", "withheld", "warning", "info")


def notices_of(
    summaries: Sequence[PointSummary], notices: Sequence[Notice]
) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = [(n.severity, n.sentence) for n in notices]
    raised: dict[tuple[str, str], list[tuple[float, str, str]]] = {}
    for s in summaries:
        for check in s.notices:
            severity: str = "warning" if check.status == "notice" else check.status
            # loops closed with other numbers of users are one thing to know, not five
            raised.setdefault((severity, check.code), []).append(
                (abs(check.value or 0.0), check.sentence, s.meta.name)
            )
    for (severity, _), cases in raised.items():
        _, text, worst = max(cases, key=lambda case: case[0])
        others = [name for _, _, name in cases if name != worst]
        few = len(others) <= MOST_NAMED
        also = listed(others) if few else f"{len(others)} more of {len(summaries)}"
        where = f" (at {worst}{f'; also at {also}' if others else ''})"
        found.append((WORDS.get(severity, severity), text + where * (len(summaries) > 1)))
    return tuple(sorted(dict.fromkeys(found), key=lambda notice: _GRAVITY.index(notice[0])))
