"""A check of the client in words and tables: its own error, and what bearing the load cost it."""

from __future__ import annotations

from harness.analysis.client_check import NEAR_CEILING, CheckedLoad, ClientCheck
from harness.analysis.client_error import Spread, StampError
from harness.units import significant
from reports._text import amount
from reports.view import Align, Cell, Row, Table

LEFT: Align = "left"
RIGHT: Align = "right"
KINDS = (
    ("ttft", "TTFT"), ("gap", "gaps"), ("chunk", "chunk stamps"), ("certain", "of these certain"),
)  # fmt: skip
QUANTILES = ("p50", "p99", "p99.9", "max")
NONE = "–"


def error_sentence(check: ClientCheck) -> str:
    """`This client's own error at your load: p50 3.1 us, p99 41 us.`"""
    own = check.own
    found = None if own is None else told_error(own).chunk
    if own is None or found is None:
        return "This client's own error at your load could not be taken."
    parts = [f"p50 {short(found.p50_s)}"]
    parts += [f"p99 {short(found.p99_s)}"] if found.p99_s is not None else []
    return f"This client's own error at your load: {', '.join(parts)}."


def ceiling_sentence(check: ClientCheck) -> str:
    """Up to where this client was clean, and what stopped it there."""
    ceiling = check.ceiling_chunks_per_s
    dirty = next((load for load in check.loads if not load.is_clean), None)
    why = "" if dirty is None else _brief(dirty)
    if ceiling is None:
        return f"This client measures not even {load_text(check.loads[0])} cleanly: {why}."
    least = "at least " if check.is_ceiling_open else ""
    beyond = f" At {load_text(dirty)}: {why}." if dirty is not None else ""
    return f"Clean up to {least}{ceiling:,.0f} chunks/s.{beyond}"


def _brief(load: CheckedLoad) -> str:
    """The first reason without its advice, and how many there are beside it."""
    reasons = list((load.failed or {}).values()) or [load.reason]
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"{reasons[0].partition(': ')[0]}{more}"


def told_error(load: CheckedLoad) -> StampError:
    """The error of the stamps that a run's metrics are made of."""
    return load.kernel if load.stamp_source == "kernel" else load.user


def load_text(load: CheckedLoad) -> str:
    """`64 streams at 50 tok/s`, with requests/s where load was open."""
    rate = f", {significant(load.req_per_s)} req/s" if load.req_per_s is not None else ""
    plural = "" if load.streams == 1 else "s"
    return f"{load.streams:,} stream{plural} at {load.tok_per_s:g} tok/s{rate}"


def short(value_s: float | None) -> str:
    """`3.1 us`, `41 us`, `1.2 ms`: six characters at most below a second."""
    if value_s is None:
        return NONE
    size = abs(value_s)
    scale, unit = (
        (1.0, "s") if size >= 0.9995 else (1e3, "ms") if size >= 0.9995e-3 else (1e6, "us")
    )
    value = value_s * scale
    return f"{value:.1f} {unit}" if abs(value) < 9.95 else f"{value:.0f} {unit}"


def quantile_texts(found: Spread | None) -> tuple[str, str, str, str]:
    """In the order of QUANTILES."""
    if found is None:
        return (NONE, NONE, NONE, NONE)
    p50, p99, p999, most = map(short, (found.p50_s, found.p99_s, found.p999_s, found.max_s))
    return (p50, p99, p999, most)


def client_error_table(check: ClientCheck) -> Table:
    """Measured minus true, by load and kind of stamp."""
    columns = [("load", LEFT), ("error of", LEFT), ("n", RIGHT)]
    columns += [(f"{kind} {q}", RIGHT) for kind in ("kernel", "user") for q in QUANTILES]
    rows = []
    for position, load in enumerate(check.loads):
        for kind, title in KINDS:
            kernel, user = getattr(load.kernel, kind), getattr(load.user, kind)
            texts = (*quantile_texts(kernel), *quantile_texts(user))
            cells = (Cell(_name(check, position)), Cell(title), _count(kernel), *map(Cell, texts))
            rows.append(Row(cells, f"client-error-{position}-{kind}"))
    note = (
        "Measured minus true against the scripted endpoint, which notes the time right before each"
        " send; taken on this machine before the run. Kernel: stamp of the receive. User: stamp of"
        " the process when it read. Gaps: size of the error. Every chunk counts, those marked"
        " uncertain too; without them in the last line. A quantile is left out where fewer than one"
        " error lies beyond it."
    )
    return Table("client-error", error_sentence(check), tuple(columns), tuple(rows), note)


def client_load_table(check: ClientCheck) -> Table:
    """What each load cost the client, and whether it was clean."""
    columns = [
        ("load", LEFT), ("clean", LEFT), ("offered chunks/s", RIGHT), ("arrived", RIGHT),
        ("CPU a chunk", RIGHT), ("CPU of its core", RIGHT), ("send lag p99", RIGHT),
        ("receive lag p99", RIGHT), ("uncertain", RIGHT),
    ]  # fmt: skip
    has_dirty = any(not load.is_clean for load in check.loads)
    columns += [("why not clean", LEFT)] if has_dirty else []
    rows = []
    for position, load in enumerate(check.loads):
        outcome = "ok" if load.is_clean else "invalid"
        cells = (
            Cell(_name(check, position)), Cell("yes" if load.is_clean else "no", outcome=outcome),
            Cell(f"{load.chunks_per_s:,.0f}", load.chunks_per_s),
            Cell(f"{load.achieved_chunks_per_s:,.0f}", load.achieved_chunks_per_s),
            Cell(cpu_text(load), load.cpu_us_per_chunk),
            Cell(ratio_text(load.cpu_ratio), load.cpu_ratio),
            *(Cell(short(v), v) for v in (load.send_lag_p99_s, load.receive_lag_p99_s)),
            Cell(ratio_text(load.uncertain_ratio), load.uncertain_ratio),
            *([Cell(load.reason)] if has_dirty else []),
        )  # fmt: skip
        rows.append(Row(cells, f"client-load-{position}"))
    note = (
        "Clean: every check of the client (lags, CPU, uncertain stamps, blocked and unsent"
        f" requests) keeps its verdict. A run above {NEAR_CEILING:.0%} of the highest clean"
        " load gets a notice."
    )
    return Table("client-load", ceiling_sentence(check), tuple(columns), tuple(rows), note)


def cpu_text(load: CheckedLoad) -> str:
    """Microseconds a chunk."""
    value = load.cpu_us_per_chunk
    return NONE if value is None else f"{significant(value, 2)} us"


def ratio_text(value: float | None) -> str:
    return NONE if value is None else amount(value, "ratio")


def _name(check: ClientCheck, position: int) -> str:
    own = " (yours)" if position == check.intended else ""
    return f"{load_text(check.loads[position])}{own}"


def _count(found: Spread | None) -> Cell:
    return Cell(f"{found.n:,}", float(found.n)) if found is not None else Cell("0", 0.0)
