"""The validation as a page: calibration, a table a kind, what was accepted and what was not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks._twin_runs import Cell, Figure
from harness.cli._calibrated import Calibration
from harness.decisions.hinge import NAMES

WORDS = {True: "yes", False: "**no**", None: "-"}
UNITS = {"s": (1e3, "ms"), "s/tok": (1e6, "us/token"), "s/seq": (1e6, "us/sequence"),
         "s/tok2": (1e9, "ns/token^2")}  # fmt: skip

ABOUT = (
    "`python -m benchmarks.twin_validation`: calibrated on the sweep alone; each predicted figure",
    "is the twin's answer to the very arrivals and lengths that were measured. Loads are shares of",
    "what the twin serves when all requests are there at once. Measured: requests of all runs of a",
    "cell together; its interval is the bootstrap over blocks of 2 s. Predicted: by the fit; its",
    "band is that of 20 draws. Accepted: |p50| and throughput within 10 %, |p99| within 20 %, up",
    "to 85 % load; a dash where there is no bar, or fewer requests than the quantile needs (368",
    "for p99).",
)
COLUMNS = ("load", "requests/s", "runs", "figure", "measured", "its interval", "predicted",
           "its band", "error", "accepted")  # fmt: skip
STABILITY = ("kind", "load", "runs", "backlog grew, measured", "backlog grew, predicted",
             "failed requests")  # fmt: skip


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
    lines += ["## Stability at 95 %", "", *_stability(cells), ""]
    lines += [*ABOUT, "", _where(where)]
    return "\n".join(lines) + "\n"


def _summary(cells: Sequence[Cell]) -> Iterator[str]:
    judged = [f for c in cells for f in c.figures if f.accepted is not None]
    good = [f for f in judged if f.accepted]
    yield f"**{len(good)} of {len(judged)} figures within their bar.**"
    for stat in ("ttft p50", "ttft p99", "tpot p50", "tpot p99", "throughput"):
        own = [f for f in judged if f.name == stat]
        if own:
            errors = sorted(f.error_ratio for f in own)
            yield (
                f"- {stat}: {sum(bool(f.accepted) for f in own)} of {len(own)}, errors"
                f" {errors[0]:+.0%} to {errors[-1]:+.0%}, median {errors[len(errors) // 2]:+.0%}"
            )


def _calibration(c: Calibration) -> Iterator[str]:
    fit = c.fit
    yield f"t = max(a0, b + a1 n) + d D + c K + e sum p (x + p/2), from {fit.num_decode} batches"
    yield f"and {fit.num_prefill} lengths of lone prompts; {len(fit.draws)} bootstrap draws."
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
    yield f"{fit.overhead_s_per_tok * 1e6:.2f} us a prompt token."
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
        f.name, f"{measured} {unit}", f"{low} to {high}", predicted, f"{from_} to {to}",
        f"{f.error_ratio:+.1%}", WORDS[f.accepted],
    ]  # fmt: skip


def _stability(cells: Sequence[Cell]) -> Iterator[str]:
    yield from _head(STABILITY)
    for c in cells:
        if c.load_ratio >= 0.85:
            row = [
                c.kind,
                f"{c.load_ratio:.0%}",
                *map(str, (c.num_runs, *c.unstable, c.num_failed)),
            ]
            yield f"| {' | '.join(row)} |"
