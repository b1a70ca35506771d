"""Single requests as pictures: when it was slow (heatmap), and where the time went (waterfall)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.analysis import PointSummary
from harness.analysis.heatmap import Heatmap
from harness.analysis.waterfall import Passage
from harness.units import format_seconds
from reports._text import amount, listed, name_of, percent, plain_time
from reports.view import Boxes, Chart, DataGroup, Panel, digits

NUM_SHADES = 5
FAILED_GAP = 1.25  # on the log axis, between the highest bin and the row of failures
LEAST_SHARE = 0.002  # of the axis: a part narrower than this everywhere is told, not drawn
FAR = 1.25  # medians of two thirds of a window further apart than this have moved

Part = Callable[[Passage], tuple[float, float] | None]


def heatmap_chart(summary: PointSummary, suffix: str = "") -> Chart | None:
    """Requests by time of their intended send and by TTFT; None where there are too few."""
    found = summary.heatmap
    if found is None:
        return None
    boxes = [
        Boxes(_counted(low, high), cells, shade=shade)
        for low, high, shade in _shades(found)
        if (cells := tuple(_cells(found, low, high)))
    ]
    lost, at = _failures(found)
    if lost:
        boxes.append(Boxes("failed", lost, "limit", 0.8))
    caption = _heat_caption(found)
    where = f" at {summary.meta.name}" if suffix else ""
    return Chart(
        id=f"chart-heatmap{suffix}",
        title=f"{name_of(found.metric)} over time{where}",
        caption=caption,
        definition=(
            f"Each box counts the requests of {plain_time(found.bin_s)} whose"
            f" {name_of(found.metric)}, from the intended send, lies between its edges; the"
            " stronger its colour, the more. Failures have no latency and a row of their own."
        ),
        description=f"{caption} {_extremes(found)}",
        x_label="seconds from the start of the measured window",
        panels=(
            Panel(
                f"{name_of(found.metric)}, milliseconds", (), "log", boxes=tuple(boxes),
                y_ticks=((at, "failed"),) if lost else (),
            ),
        ),
        own_data=_heat_data(found),
    )  # fmt: skip


def _shades(found: Heatmap) -> list[tuple[int, int, float]]:
    """(fewest, most, shade): every level as many times the last, the first is one request."""
    most = max(max(column) for column in found.counts)
    num = min(NUM_SHADES, most)
    ends = sorted({round(most ** (k / num)) for k in range(1, num + 1)} | {1})
    return [
        (low, high, round(0.22 + 0.78 * k / max(1, len(ends) - 1), 2))
        for k, (low, high) in enumerate(zip([1, *(e + 1 for e in ends[:-1])], ends, strict=True))
    ]


def _counted(low: int, high: int) -> str:
    if low == high:
        return f"{low} request{'' if low == 1 else 's'}"
    return f"{low} to {high} requests"


def _cells(found: Heatmap, low: int, high: int) -> list[tuple[float, float, float, float]]:
    edges = [edge * 1e3 for edge in found.edges_s]
    return [
        (k * found.bin_s, (k + 1) * found.bin_s, edges[row], edges[row + 1])
        for k, column in enumerate(found.counts)
        for row, count in enumerate(column)
        if low <= count <= high
    ]


def _failures(found: Heatmap) -> tuple[tuple[tuple[float, float, float, float], ...], float]:
    """A row above the highest bin, as high as a fine bin, and the middle of it."""
    low = found.edges_s[-1] * 1e3 * FAILED_GAP
    high = low * max(FAILED_GAP, found.edges_s[-1] / found.edges_s[-2])
    boxes = tuple(
        (k * found.bin_s, (k + 1) * found.bin_s, low, high)
        for k, count in enumerate(found.failed)
        if count
    )
    return boxes, math.sqrt(low * high)


def _heat_caption(found: Heatmap) -> str:
    """Whether it moved within the window."""
    name, (first, middle, last) = name_of(found.metric), found.thirds_s
    lost = sum(found.failed)
    failed = f" {lost:,} failed." if lost else ""
    if first is None or last is None:
        return f"{name} over the window.{failed}"
    ends = f"{amount(first, 's')} in the first third of the window, {amount(last, 's')} in the last"
    if max(first, last) < FAR * min(first, last):
        if middle is not None and not 1 / FAR < middle / math.sqrt(first * last) < FAR:
            told = listed([amount(v, "s") for v in (first, middle, last)])
            return f"{name} moved within the window: median {told} in its thirds.{failed}"
        return f"{name} kept its level: median {ends}.{failed}"
    return f"{name} {'rose' if last > first else 'fell'}: median {ends}.{failed}"


def _extremes(found: Heatmap) -> str:
    """When the slowest bin was met, and how wide all of it is."""
    top = max(row for column in found.counts for row, count in enumerate(column) if count)
    when = [k * found.bin_s for k, column in enumerate(found.counts) if column[top]]
    low, high = found.edges_s[top], found.edges_s[top + 1]
    return (
        f"The slowest lie between {amount(low, 's')} and {amount(high, 's')}, first at"
        f" {plain_time(when[0])}; the fastest from {amount(found.edges_s[0], 's')} on."
    )


def _heat_data(found: Heatmap) -> tuple[tuple[str, ...], tuple[DataGroup, ...]]:
    header = ("window from, s", f"{found.metric} from, ms", "below, ms", "requests")
    rows = [
        (digits(k * found.bin_s), digits(found.edges_s[r] * 1e3, 4),
         digits(found.edges_s[r + 1] * 1e3, 4), str(count))
        for k, column in enumerate(found.counts)
        for r, count in enumerate(column)
        if count
    ]  # fmt: skip
    lost = [(digits(k * found.bin_s), "", "", str(n)) for k, n in enumerate(found.failed) if n]
    groups: tuple[DataGroup, ...] = (("answered", tuple(rows)),)
    return header, (*groups, ("failed", tuple(lost))) if lost else groups


def _until_sent(p: Passage) -> tuple[float, float] | None:
    return (0.0, (p.end_s if p.sent_s is None else p.sent_s) - p.connect_s)


def _connect(p: Passage) -> tuple[float, float] | None:
    sent = p.end_s if p.sent_s is None else p.sent_s
    return (sent - p.connect_s, sent) if p.connect_s else None


def _server_queue(p: Passage) -> tuple[float, float] | None:
    if p.sent_s is None or not p.server_queue_s:
        return None
    return (p.sent_s, p.sent_s + p.server_queue_s)


def _first_token(p: Passage) -> tuple[float, float] | None:
    if p.sent_s is None or p.error_class:
        return None
    end = p.end_s if p.first_token_s is None else p.first_token_s
    return (min(end, p.sent_s + (p.server_queue_s or 0.0)), end)


def _streaming(p: Passage) -> tuple[float, float] | None:
    return None if p.first_token_s is None or p.error_class else (p.first_token_s, p.end_s)


def _stall(p: Passage) -> tuple[float, float] | None:
    return (p.stall_s[0], p.stall_s[1]) if p.stall_s else None


def _lost(p: Passage) -> tuple[float, float] | None:
    return (min(p.sent_s or 0.0, p.end_s), p.end_s) if p.error_class else None


# in the order of time; a later one is drawn over an earlier one
PARTS: tuple[tuple[str, Part, int | str], ...] = (
    ("held by the client", _until_sent, 4), ("connecting", _connect, 3),
    ("server's queue", _server_queue, 1), ("to the first token", _first_token, 2),
    ("streaming", _streaming, 0), ("longest stall", _stall, 5), ("failed", _lost, "limit"),
)  # fmt: skip
TOLD = tuple(name for name, *_ in PARTS if name not in ("longest stall", "failed"))
_WAITING, _WAITING_WHOLE = "to the first token", "to the answer"


def waterfall_chart(summary: PointSummary, suffix: str = "") -> Chart | None:
    """Bars of the slowest requests, and of some at random; None where none ended."""
    found = summary.waterfall
    if found is None or len(found.slowest) < 2:
        return None
    longest = found.slowest[0].end_s
    is_whole = _is_whole(found.slowest)
    unit_s = 1.0 if longest >= 1 else 1e-3
    kinds = [("slowest", found.slowest), ("at random", found.random)]
    seen = {
        name
        for name, part, _ in PARTS
        for _, rows in kinds
        for p in rows
        if (span := part(p)) and span[1] - span[0] > LEAST_SHARE * longest
    }
    panels = tuple(
        _bars(f"{len(rows)} {title}", rows, seen, unit_s, is_whole) for title, rows in kinds if rows
    )
    caption = _waterfall_caption(found.slowest, found.num_requests)
    where = f" at {summary.meta.name}" if suffix else ""
    return Chart(
        id=f"chart-waterfall{suffix}",
        title=f"Where single requests spent their time{where}",
        caption=caption,
        definition=(
            "A bar a request, from its intended send, longest on top; of the"
            f" {found.num_requests:,} of the window that ended."
            + (" Below: drawn at random, to tell a bad tail from a bad day." * bool(found.random))
            + (" The server's queue is its own account." if "server's queue" in seen else "")
            + _unseen(found.slowest, seen)
        ),
        description=caption,
        x_label=f"{'seconds' if unit_s == 1 else 'milliseconds'} from the intended send",
        panels=panels,
        own_data=_passage_data(kinds),
    )  # fmt: skip


def _is_whole(rows: Sequence[Passage]) -> bool:
    """Whether no answer among them was a stream: then the first token is no part of any."""
    answered = [p for p in rows if not p.error_class]
    return bool(answered) and all(p.first_token_s is None for p in answered)


def _bars(
    title: str, rows: Sequence[Passage], seen: set[str], unit_s: float, is_whole: bool
) -> Panel:
    boxes = []
    for name, part, tone in PARTS:
        spans = [
            (a / unit_s, b / unit_s, len(rows) - i - 0.92, len(rows) - i - 0.08)
            for i, p in enumerate(rows)
            if (span := part(p))
            for a, b in (span,)
            if b > a
        ]
        if name in seen:  # of either panel, since one legend tells both: here it may be empty
            nothing = (0.0, 0.0, 0.5, 0.5)
            told = _WAITING_WHOLE if is_whole and name == _WAITING else name
            boxes.append(Boxes(told, tuple(spans) or (nothing,), tone))  # type: ignore[arg-type]
    ticks = ((len(rows) - 0.5, "1"), (0.5, str(len(rows))))
    return Panel(title, (), boxes=tuple(boxes), y_ticks=ticks, num_rows=len(rows))


def _waterfall_caption(slowest: Sequence[Passage], num: int) -> str:
    """Whose time it was, of all the slowest together."""
    total = sum(p.end_s for p in slowest)
    first = slowest[0]
    is_whole = _is_whole(slowest)
    spent = {
        name: sum(b - a for p in slowest if (span := part(p)) for a, b in (span,)) / total
        for name, part, _ in PARTS
        if name in TOLD
    }
    shares = sorted(spent.items(), key=lambda item: -item[1])
    told = [
        f"{percent(round(share, 3))} {_verb(name, is_whole)}"
        for name, share in shares
        if share >= 0.01
    ]
    failed = sum(bool(p.error_class) for p in slowest)
    text = f"The slowest of {num:,} took {format_seconds(first.end_s)}"
    text += f" ({first.error_class})." if first.error_class else "."
    if told:
        text += f" Of the time of the slowest {len(slowest)}, {listed(told)}."
    return text + (f" {failed} of them failed." if failed else "")


def _verb(part: str, is_whole: bool) -> str:
    if is_whole and part == _WAITING:
        part = _WAITING_WHOLE
    return {
        "held by the client": "was spent before the send", "connecting": "went into connecting",
        "server's queue": "was the server's queue", "to the first token":
        "was waiting for the first token", "streaming": "was streaming",
        "to the answer": "was waiting for the answer",
    }[part]  # fmt: skip


def _unseen(rows: Sequence[Passage], seen: set[str]) -> str:
    """What is too short to be drawn, with its most."""
    told = [
        f"{name} at most {amount(most, 's')}"
        for name, part, _ in PARTS[:2]
        if name not in seen
        and (most := max((s[1] - s[0] for p in rows if (s := part(p))), default=0.0)) > 0
    ]
    return f" Too short to be seen: {listed(told)}." if told else ""


def _passage_data(
    kinds: Sequence[tuple[str, Sequence[Passage]]],
) -> tuple[tuple[str, ...], tuple[DataGroup, ...]]:
    header = ("intended at, s", "class", "sent, ms", "first token, ms", "end, ms", "output tok",
              "error")  # fmt: skip
    dropped = (3, 5) if _is_whole([p for _, rows in kinds for p in rows]) else ()

    def kept(cells: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cell for i, cell in enumerate(cells) if i not in dropped)

    return kept(header), tuple(
        (
            title,
            tuple(
                kept((digits(p.intended_s, 6), p.class_name, _ms(p.sent_s), _ms(p.first_token_s),
                      _ms(p.end_s), "" if p.output_tok is None else f"{p.output_tok:.0f}",
                      p.error_class))
                for p in rows
            ),
        )
        for title, rows in kinds
        if rows
    )  # fmt: skip


def _ms(value_s: float | None) -> str:
    return "" if value_s is None else digits(value_s * 1e3)
