"""Whether a measurement can be believed: the checks that were raised, and all of them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import Check, PointSummary
from reports._text import amount
from reports.view import Align, Cell, Row, Table

LEFT: Align = "left"
RIGHT: Align = "right"
STATUSES = ("ok", "notice", "absent", "invalid")  # by gravity
WORDS = {"absent": "withheld"}  # what a check of that status did, said to people


def raised_table(summaries: Sequence[PointSummary]) -> Table | None:
    """The checks that are not ok, over all points; None where every check is."""
    many = len(summaries) > 1
    columns = [*([("point", LEFT)] if many else []), ("check", LEFT), ("status", LEFT)]
    columns += [("value", RIGHT)]
    rows = []
    for s in summaries:
        for c in s.notices:
            cells = [*([Cell(s.meta.name)] if many else []), Cell(c.title), _check_status(c)]
            cells += [_check_value(c)]
            anchor = f"raised-{c.code}-{s.meta.index}-{s.meta.stage_index}"
            rows.append(Row(tuple(cells), anchor, c.sentence))
    if not rows:
        return None
    num_void = sum(not s.is_valid for s in summaries)
    state = "valid" if not num_void else "invalid"
    state = f"{num_void} of {len(summaries)} points invalid" if num_void and many else state
    return Table("quality", f"Measurement quality: {state}", tuple(columns), tuple(rows))


def quality_table(summary: PointSummary, suffix: str) -> Table:
    """Whether the measurement itself can be believed: one row a check, those raised in front."""
    columns = (
        ("check", LEFT), ("status", LEFT), ("value", RIGHT), ("notice beyond", RIGHT),
        ("worse beyond", RIGHT),
    )  # fmt: skip
    rows = tuple(
        Row(
            (
                Cell(c.title), _check_status(c), _check_value(c),
                Cell("" if c.limit_notice is None else amount(c.limit_notice, c.unit)),
                Cell("" if c.limit_invalid is None else amount(c.limit_invalid, c.unit)),
            ),
            f"check-{c.code}{suffix}",
        )
        for c in sorted(summary.checks, key=lambda c: -STATUSES.index(c.status))
    )  # fmt: skip
    state = "valid" if summary.is_valid else "invalid"
    return Table(f"checks{suffix}", f"Every check: {state}", columns, rows)


def worst_table(summaries: Sequence[PointSummary]) -> Table:
    """Every check of many points, each as its worst of them; those raised are told one by one."""
    columns = (
        ("check", LEFT), ("worst", LEFT), ("value", RIGHT), ("at", LEFT), ("not ok at", RIGHT),
        ("notice beyond", RIGHT), ("worse beyond", RIGHT),
    )  # fmt: skip
    found: dict[str, list[tuple[Check, str]]] = {}
    for s in summaries:
        for c in s.checks:
            found.setdefault(c.code, []).append((c, s.meta.name))
    worst = {code: max(cases, key=_gravity) for code, cases in found.items()}
    rows = tuple(
        Row(
            (
                Cell(c.title), _check_status(c), _check_value(c), Cell(name),
                _points_not_ok([case for case, _ in found[code]]),
                Cell("" if c.limit_notice is None else amount(c.limit_notice, c.unit)),
                Cell("" if c.limit_invalid is None else amount(c.limit_invalid, c.unit)),
            ),
            f"check-{code}",
        )
        for code, (c, name) in sorted(worst.items(), key=lambda item: STATUSES.index(
            item[1][0].status), reverse=True)
    )  # fmt: skip
    note = "The values at every point are in points/*/summary.json."
    return Table("checks", f"Every check, at the worst of {len(summaries)} points", columns, rows,
                 note)  # fmt: skip


def _gravity(case: tuple[Check, str]) -> tuple[int, float]:
    check, _ = case
    return STATUSES.index(check.status), abs(check.value or 0.0)


def _points_not_ok(checks: Sequence[Check]) -> Cell:
    raised = sum(c.status != "ok" for c in checks)
    return Cell(f"{raised} of {len(checks)}", float(raised))


def _check_value(check: Check) -> Cell:
    return Cell("" if check.value is None else amount(check.value, check.unit), check.value)


def _check_status(check: Check) -> Cell:
    """What was not taken is neither well nor ill."""
    if check.value is None and check.status == "ok":
        return Cell("not taken")
    return Cell(WORDS.get(check.status, check.status), outcome=check.status)
