"""The capacity section: the planner's sentence, rates against goodput and latency, the frontier,
what each rate showed, and the what-ifs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.analysis import PointSummary
from harness.decisions import wording
from harness.decisions.frontier import Place, frontier
from harness.decisions.levels import Level
from harness.decisions.usl import Scaling, scaling_of
from harness.estimate import Estimate
from harness.units import brief, significant
from reports._load_charts import load_charts
from reports._tables import STANDINGS
from reports._what_if import Ladder, what_ifs
from reports.view import Align, Block, Cell, Chart, Definitions, Line, Panel, Row, Section, Table

TINY = 1e-4  # of a share or a cost of the law: nothing that any load would show

_LEVEL_COLUMNS: tuple[tuple[str, Align], ...] = (
    ("offered", "left"), ("stands", "left"), ("good", "right"), ("bounds", "right"),
    ("fit", "right"), ("n", "right"), ("n eff.", "right"), ("in flight", "right"),
)  # fmt: skip


def capacity_section(
    found: Sequence[Ladder], gpus: Mapping[str, int] | None = None
) -> Section | None:
    """None for a single load. gpus: of each target, by name, where their number is known."""
    pictures: list[Block] = []
    details: list[Block | None] = []
    for k, ladder in enumerate(found):
        suffix = f"-{k + 1}" if k else ""
        pictures += load_charts(ladder.points, ladder.capacity, suffix)
        chart = _frontier_chart(ladder, suffix, (gpus or {}).get(ladder.points[0].meta.target))
        pictures += [chart] if chart else []
        details += [_level_table(ladder, suffix), _scaling(ladder, suffix)]
    if not pictures:
        return None
    blocks = (*pictures, *what_ifs(found), *(b for b in details if b is not None))
    is_closed = found[0].points[0].meta.kind == "closed"
    lead = "Closed loop: figures at a number of users, no evidence for a rate." if is_closed else ""
    return Section("capacity", "Capacity", lead, blocks)


def _titled(title: str, ladder: Ladder) -> str:
    return f"{title}: {ladder.name}" if ladder.name else title


def _frontier_chart(ladder: Ladder, suffix: str, num_gpus: int | None) -> Chart | None:
    """num_gpus: of the target; None: not known, so its tokens/s are told as a whole."""
    places = frontier(ladder.points)
    if len(places) < 3:
        return None
    unit = "users" if ladder.points[0].meta.kind == "closed" else "req/s"
    kept = [p for p in places if not p.is_dominated]
    beaten = [p for p in places if p.is_dominated]
    lines = [
        _places(title, rows, num_gpus or 1, is_hollow=rows is beaten)
        for title, rows in (("frontier", kept), ("another load is better in both", beaten))
        if rows
    ]
    fast, full = kept[-1], kept[0]
    high, low = (significant(p.system_tok_per_s / (num_gpus or 1)) for p in (full, fast))
    of = "per GPU" if num_gpus else "in all"
    caption = (
        f"From {low} output tokens/s {of} at {significant(fast.per_user_tok_per_s)} to each user"
        f" ({brief(fast.load)} {unit}) to {high} at {significant(full.per_user_tok_per_s)}"
        f" ({brief(full.load)} {unit})."
    )
    whose = "the whole deployment" if not num_gpus else (
        f"a GPU ({wording.counted(num_gpus, 'GPU')} in all)"
    )  # fmt: skip
    return Chart(
        f"chart-frontier{suffix}", _titled("Throughput against speed", ladder), caption,
        f"Output tokens/s of {whose} against those of one user, the median over"
        f" requests; bars are 95% intervals, labels {unit}; loads with a growing backlog are left"
        " out.",
        caption, "output tokens/s per user", (Panel(f"output tokens/s {of}", tuple(lines)),),
        "log",
    )  # fmt: skip


def _places(name: str, places: Sequence[Place], num_gpus: int, *, is_hollow: bool) -> Line:
    """A mark a load, with both of its intervals."""
    unknown = (math.nan, math.nan)
    x_ends = [p.per_user_ends or unknown for p in places]
    y_ends = [p.system_ends or unknown for p in places]
    return Line(
        name,
        tuple(p.per_user_tok_per_s for p in places),
        tuple(p.system_tok_per_s / num_gpus for p in places),
        tuple(low / num_gpus for low, _ in y_ends),
        tuple(high / num_gpus for _, high in y_ends),
        has_marks=True,
        is_hollow=is_hollow,
        labels=tuple(brief(p.load) for p in places),
        x_low=tuple(low for low, _ in x_ends),
        x_high=tuple(high for _, high in x_ends),
    )


def _level_table(ladder: Ladder, suffix: str) -> Table | None:
    """What each rate showed: the ground of the interval."""
    share = ladder.capacity.share
    if share is None or not ladder.capacity.levels:
        return None
    rows = [
        _level_row(level, fit, share, ladder.points)
        for level, fit in zip(ladder.capacity.levels, ladder.capacity.fit, strict=True)
    ]
    return Table(
        f"capacity-levels{suffix}", _titled("What each rate showed", ladder),
        _LEVEL_COLUMNS, tuple(rows),
        f"A rate holds where the lower bound of good reaches {wording.amount(share, 'ratio')},"
        " misses where the upper bound stays below it or the backlog grows; bounds are one-sided"
        " at 99%, so that five looks err by 5% at most. fit: shares that may only fall with the"
        " rate (isotonic), an unstable rate counting as 0. n eff.: requests that count after"
        " autocorrelation. in flight: measured, and how far Little's law (arrival rate times mean"
        " stay) lies from it; beyond 2% the backlog grew, or the window is short.",
    )  # fmt: skip


def _level_row(level: Level, fit: float, asked: float, points: Sequence[PointSummary]) -> Row:
    ends, standing = level.bounds(), level.standing(asked)
    rate = level.rate_req_per_s
    share = level.num_good / level.num_valid if level.num_valid else None  # nobody was answered
    own = [
        p.little
        for p in points
        if p.little and abs((p.meta.offered_req_per_s or 0) / rate - 1) < 1e-6
    ]
    low, high = (wording.amount(end, "ratio") for end in (ends.low, ends.high))
    return Row(
        (
            Cell(wording.amount(rate, "req/s"), rate),
            Cell(standing if level.is_stable else "unstable", None, STANDINGS[standing]),
            Cell(wording.amount(share, "ratio"), share),
            Cell(wording.between(low, high)),
            Cell(wording.amount(fit, "ratio"), fit),
            Cell(f"{level.num_valid:,}", level.num_valid),
            Cell(f"{level.n_eff:,.0f}", level.n_eff),
            Cell(f"{brief(own[0].mean_in_flight)} ({own[0].difference_ratio:+.1%})" if own else ""),
        )
    )


def _scaling(ladder: Ladder, suffix: str) -> Definitions | None:
    found = scaling_of(ladder.points)
    if found is None:
        return None
    return Definitions(
        f"scaling{suffix}", _titled("How throughput scales", ladder), _law(found)
    )  # fmt: skip


def _law(found: Scaling) -> tuple[tuple[str, str], ...]:
    return (
        (
            "law",
            "completed requests/s X(N) = l N / (1 + s (N - 1) + k N (N - 1)) of N in flight"
            f" (Universal Scalability Law), within {found.worst_ratio:.1%} of every stable point."
            " Mean throughput: it tells of no tail and of no other mix.",
        ),
        ("l", f"{_told(found.single)} req/s: what one request in flight gives"),
        ("s", f"{_told(found.contention)}: share that waits its turn (contention)"),
        ("k", f"{_told(found.crosstalk)}: cost of each pair (crosstalk)"),
        ("peak", f"{_told(found.peak)} in flight: beyond it throughput falls; none where k is 0"),
    )


def _told(e: Estimate) -> str:
    value, low, high = (
        "none" if x is None or not math.isfinite(x) else "0" if abs(x) < TINY else significant(x)
        for x in (e.value, e.low, e.high)
    )
    return f"{value} (95% CI {low} to {high})"
