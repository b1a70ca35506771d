"""The validation as a page: calibration, a table a kind, what was accepted and what was not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks._twin_runs import Cell, Figure
from harness.cli._calibrated import Calibration
from harness.decisions.hinge import NAMES

WORDS = {True: "yes", False: "**no**", None: "-"}
UNITS = {"s": (1e3, "ms"), "s/tok": (1e6, "us/token"), "s/seq": (1e6, "us/sequence"),
         "s/tok2": (1e9, "ns/token^2"), "s/req": (1e3, "ms/request")}  # fmt: skip

ABOUT = (
    "`python -m benchmarks.twin_validation`: calibrated on the sweep alone; each predicted figure",
    "is the twin's answer to the very arrivals and lengths that were measured. Loads are shares of",
    "what the twin serves when all requests are there at once. Measured: requests of all runs of a",
    "cell together; its interval is the bootstrap over runs and, in each, over blocks of 2 s (of a",
    "throughput: the least and the most of the runs). In it: whether the prediction lies there.",
    "Predicted: by the fit; its band is that of 20 draws, each at a pace that the next half minute",
    "may have. Accepted: |p50| and throughput within 10 %, |p99| within 20 %, up to 85 % load; a",
    "dash where there is no bar, or fewer requests than the quantile needs (368 for p99). Runs",
    "apart: the largest run of a cell over the smallest, each alone, less one.",
    "Pace: time of a run's clean decode steps (no prompt read, so no queue in them) over what the",
    "law says of them, 1.1 where the machine was 10 % slower than during the sweep; *at pace*",
    "is the twin's answer with its whole law that much slower: nothing else is told to it.",
)
COLUMNS = (
    "load", "requests/s", "runs", "figure", "measured", "its interval", "runs apart", "predicted",
    "its band", "error", "in it", "accepted", "error at pace", "accepted at pace",
)  # fmt: skip
STABILITY = ("kind", "load", "runs", "backlog grew, measured", "backlog grew, predicted",
             "failed requests", "pace of each run")  # fmt: skip


def _where(where: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    return (
        f"{where['date']}; {where['num_cpus']} CPUs, {where['cpu']}; Python {where['python']};"
        f" {versions}; load average {where['load_average_before']:.1f} before"
    )


def _head(columns: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"


def page(calibration: Calibration, cells: Sequence[Cell], where: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        "# The capacity twin against the reference engine", "",
        *_summary(cells), "", "## Calibration", "", *_calibration(calibration), "",
    ]  # fmt: skip
    for kind in dict.fromkeys(cell.kind for cell in cells):
        lines += [f"## {kind}", "", *_table([c for c in cells if c.kind == kind]), ""]
    lines += ["## Stability and pace", "", *_stability(cells), ""]
    lines += [*ABOUT, "", _where(where)]
    return "\n".join(lines) + "\n"


def _summary(cells: Sequence[Cell]) -> Iterator[str]:
    """What was accepted, what would be at each run's pace, and how far two runs of a cell differ:
    nearer than that no prediction can be asked to come."""
    judged = [f for c in cells for f in c.figures if f.accepted is not None]
    good, paced = (sum(map(bool, x)) for x in zip(*map(_verdicts, judged), strict=True))
    yield f"**{good} of {len(judged)} figures within their bar; {paced} at the pace of each run.**"
    inside = sum(f.is_inside for f in judged)
    yield f"{inside} of {len(judged)} predictions lie in the interval of their measurement."
    covered = sum(f.is_covered for f in judged)
    runs = [f.covers(value) for f in judged for value in f.by_run]
    yield f"The band holds {covered} of {len(judged)} measured figures, and {sum(runs)} of the"
    yield f"{len(runs)} of single runs."
    for stat in ("ttft p50", "ttft p99", "tpot p50", "tpot p99", "throughput"):
        own = [f for f in judged if f.name == stat]
        if not own:
            continue
        errors = sorted(f.error_ratio for f in own)
        at_pace = sorted(f.error_at_pace_ratio for f in own)
        good, paced = (sum(map(bool, x)) for x in zip(*map(_verdicts, own), strict=True))
        text = (
            f"- {stat}: {good} of {len(own)}, errors {errors[0]:+.0%} to {errors[-1]:+.0%}, median"
            f" {errors[len(errors) // 2]:+.0%}; at pace {paced} of {len(own)}, {at_pace[0]:+.0%} to"
            f" {at_pace[-1]:+.0%}, median {at_pace[len(at_pace) // 2]:+.0%}"
        )
        apart = sorted(f.apart_ratio for f in own if len(f.by_run) > 1)
        if apart:
            middle, most = apart[len(apart) // 2], apart[-1]
            text += f"; two runs of a cell differ by {middle:.0%}, {most:.0%} at most"
        yield text


def _verdicts(f: Figure) -> tuple[bool | None, bool | None]:
    return f.accepted, f.accepted_at_pace


def _calibration(c: Calibration) -> Iterator[str]:
    fit = c.fit
    yield "t = max(a0, b + a1 n) + d D + c K + e sum p (x + p/2) + r N + g S + h I, from"
    yield f"{fit.num_decode} batches, {fit.num_prefill} lengths of lone prompts and"
    yield f"{fit.num_requests} requests that came while others decoded;"
    yield f"{len(fit.draws)} bootstrap draws."
    yield ""
    yield from _head(("parameter", "fit", "95 % interval"))
    for name in NAMES:
        e = fit.estimate(name)
        factor, unit = UNITS[e.unit]
        if e.value is not None and e.low is not None and e.high is not None:
            low, value, high = (f"{x * factor:.4g}" for x in (e.low, e.value, e.high))
            yield f"| {name}, {unit} | {value} | {low} to {high} |"
    yield ""
    h = fit.held_out
    yield f"Error of points held out of the fit (a fifth at a time): median {h.median_ratio:.1%},"
    yield f"90th percentile {h.p90_ratio:.1%}, worst {h.worst_ratio:.1%}, over {h.n} points."
    yield f"Outside the engine: {fit.overhead_s * 1e3:.2f} ms a request and"
    yield f"{fit.overhead_s_per_tok * 1e6:.2f} us a prompt token, r of it keeping the engine busy."
    low, high = fit.drift.low_high()
    if fit.drift.is_seen:
        yield f"Pace of the sweep's {fit.drift.num_blocks} half minutes: SD {fit.drift.sd:.1%}, so"
        yield f"the next one's is {low:.2f} to {high:.2f}, 19 times in 20: the bands hold that."
    corners = ", ".join(f"{n:.0f} x {k:,.0f}" for n, k in fit.hull.envelope)
    yield f"Swept: sequences x context {corners}; prompts to {fit.hull.max_prompt_tok:,} tokens."


def _table(cells: Sequence[Cell]) -> Iterator[str]:
    yield from _head(COLUMNS)
    for cell in cells:
        head = (f"{cell.load_ratio:.0%}", f"{cell.rate:.2f}", f"{cell.num_runs}")
        for f in cell.figures:
            yield "| " + " | ".join([*head, *_row(f)]) + " |"
            head = ("", "", "")
    beyond = [f"{c.load_ratio:.0%}: {'; '.join(c.extrapolated)}" for c in cells if c.extrapolated]
    if beyond:
        yield ""
        yield f"Outside the swept region: {'. '.join(beyond)}."


def _row(f: Figure) -> list[str]:
    factor, unit = (1e3, "ms") if f.unit == "s" else (1.0, "tok/s")
    measured, low, high, predicted, from_, to = (
        f"{x * factor:.4g}" for x in (f.measured, f.low, f.high, f.predicted, *f.band)
    )
    return [
        f.name, f"{measured} {unit}", f"{low} to {high}",
        f"{f.apart_ratio:.0%}" if len(f.by_run) > 1 else "-", predicted, f"{from_} to {to}",
        f"{f.error_ratio:+.1%}", "yes" if f.is_inside else "no", WORDS[f.accepted],
        f"{f.error_at_pace_ratio:+.1%}", WORDS[f.accepted_at_pace],
    ]  # fmt: skip


def _stability(cells: Sequence[Cell]) -> Iterator[str]:
    yield from _head(STABILITY)
    for c in cells:
        row = [
            c.kind,
            f"{c.load_ratio:.0%}",
            *map(str, (c.num_runs, *c.unstable, c.num_failed)),
            ", ".join(f"{pace:.2f}" for pace in c.paces),
        ]
        yield f"| {' | '.join(row)} |"
