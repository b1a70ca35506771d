"""Claims that only a bill can settle: C3, usage times price to the cent; C8, batches for less.

No response says what it cost: bills come from an evidence file (harness/scenario/claims.py, Facts).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from harness.analysis.frame import FloatArray, Frame
from harness.analysis.intervals import clopper_pearson
from harness.decisions.billed import billed_of, billed_usd, untold
from harness.decisions.claims.evidence import Evidence, Measured, targets_of
from harness.decisions.claims.finding import Figures, Finding, Standing, by_bounds, missing
from harness.decisions.wording import amount
from harness.scenario.claims import Batch, Bill, Claim
from harness.units import significant, write_seconds, write_share

CENT = 0.01


def bill(claim: Claim, evidence: Evidence) -> Finding:
    """The bill is usage x price to the cent, and the usage is what we count ourselves.

    Usage: of every request of the run, warm-up and all, since every one is billed; the few probes
    before the load are not on record and must be worth less than half a cent. A higher bill
    refutes nothing where requests ended without telling their usage, or a client was lost with
    what it had sent. Own counts against the server's by an exact sign test, and by what the
    difference would change in the bill: a token more for each answer's end is no other count.
    """
    everything = (*evidence.measured, *evidence.cut_short)
    found = [
        _judge_bill(claim, evidence, own, known)
        for known in evidence.facts.bills
        if (own := [m for m in everything if _is_of(m, known)])
    ]
    if not found:
        return missing(claim, "no bill is given for any of the runs (an evidence file's bills)")
    return _together(claim, found)


def _together(claim: Claim, found: list[Finding]) -> Finding:
    """One wrong bill refutes, one that cannot be worked out leaves it open; else their requests
    add up."""
    for standing in (Standing.REFUTED, Standing.NOT_TESTABLE, Standing.INCONCLUSIVE):
        for one in found:
            if one.standing is standing:
                return one
    n = sum(one.n for one in found)
    reason = "; ".join(one.reason for one in found)
    standing = Standing.SUPPORTED
    if n < claim.min_n:
        standing = Standing.INCONCLUSIVE
        reason += f"; {claim.min_n:,} are asked for"
    figures = tuple(row for one in found for row in one.figures)
    usd = sum(one.value or 0.0 for one in found)
    return replace(found[0], standing=standing, reason=reason, figures=figures, value=usd, n=n)


def _is_of(m: Measured, known: Bill) -> bool:
    return m.run_id.endswith(known.run) and known.target in (None, m.target)


def _judge_bill(claim: Claim, evidence: Evidence, own: list[Measured], known: Bill) -> Finding:
    figures, computed, counted_usd, requests = Figures(), 0.0, 0.0, 0
    figures.add("measured on", targets_of(own))
    points, apart = _once_a_point(own), _counts_apart(own)
    for m in points:
        row = evidence.sheet.row(m.model)
        if row is None:
            near = evidence.sheet.nearest_row(m.model)
            return missing(claim, f"the sheet has no price for {m.model} ({near})")
        usage = billed_of(m.frame)
        computed += billed_usd(evidence.sheet, row, usage)
        ours = replace(usage, output_tok=usage.output_tok * (1 + apart.share))
        counted_usd += billed_usd(evidence.sheet, row, ours)
        requests += usage.requests
        for name, count in (("input", usage.input_tok), ("cached", usage.cached_tok),
                            ("output", usage.output_tok)):  # fmt: skip
            figures.add(f"{name} tokens of {m.model}", f"{count:,.0f}", count)
    if not requests:
        return missing(claim, "no request of the run told its usage in tokens")
    figures.add("usage x price", f"${computed:,.4f}", computed)
    figures.add("billed", f"${known.usd:,.4f}", known.usd)
    p = sign_test(apart.plus, apart.minus)
    signs = f"{apart.plus:,} / {apart.minus:,} of {apart.num:,}, p = {p:.2g}"
    figures.add("own count above / below the server's", signs, p)
    is_exact = abs(known.usd - computed) < CENT / 2 + 1e-9
    if known.cached_tok is not None:
        cached = sum(billed_of(m.frame).cached_tok for m in points)
        figures.add("tokens billed as cached", f"{known.cached_tok:,}, told {cached:,.0f}")
        is_exact = is_exact and known.cached_tok == cached
    told = f"billed ${known.usd:,.2f}, usage x price is ${computed:,.2f} over {requests:,} requests"
    standing = Standing.SUPPORTED
    if not is_exact:
        unknown = _unknown(points, evidence) if known.usd > computed else ""
        standing = Standing.INCONCLUSIVE if unknown else Standing.REFUTED
        told += f"; but {unknown}, and may have been billed" if unknown else ""
    elif p < claim.alpha and abs(counted_usd - computed) >= CENT / 2:
        standing = Standing.REFUTED
        told = (
            f"the server counts other tokens than we do (sign test p = {p:.2g}, worth"
            f" ${abs(counted_usd - computed):,.2f}), though {told}"
        )
    elif not apart.num:
        told += "; nobody but the server counted the tokens"
    return Finding(claim, standing, told, (), figures.done(), known.usd, n=requests)


def _unknown(points: list[Measured], evidence: Evidence) -> str:
    """What was sent and is on no record, as far as a bill may hold it; empty for nothing."""
    silent = sum(int(untold(m.frame).sum()) for m in points)
    parts = [f"{silent:,} requests ended without telling their usage"] if silent else []
    if {m.run_id for m in points} & evidence.unrecorded:
        parts.append("a client was lost with requests that are on no record")
    return " and ".join(parts)


def _once_a_point(measured: list[Measured]) -> list[Measured]:
    """A point of several stages has the same requests in each of its frames."""
    found = {(m.run_id, m.summary.meta.index, m.attempt): m for m in measured}
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Apart:
    """Answers counted twice: num of them; above and below the server's count; by which share of
    its tokens in all."""

    num: int
    plus: int
    minus: int
    share: float


def _counts_apart(measured: list[Measured]) -> _Apart:
    counts = [_twice(m.frame) for m in _once_a_point(measured)]
    ours = np.concatenate([own for own, _ in counts])
    told = np.concatenate([server for _, server in counts])
    total = float(told.sum())
    share = float((ours - told).sum()) / total if total else 0.0
    return _Apart(len(ours), int((ours > told).sum()), int((ours < told).sum()), share)


def _twice(frame: Frame) -> tuple[FloatArray, FloatArray]:
    """Own count and the server's, of the answers that have both."""
    both = np.isfinite(frame.n_recount) & np.isfinite(frame.n_out)
    return frame.n_recount[both], frame.n_out[both]


def sign_test(plus: int, minus: int) -> float:
    """Exact two-sided p that signs are even; 1 where there is none."""
    n, k = plus + minus, min(plus, minus)
    return 1.0 if not n else min(1.0, 2 * float(special.bdtr(k, n, 0.5)))


def batch_discount(claim: Claim, evidence: Evidence) -> Finding:
    """`Up to` x cheaper holds where the best model is; and batches are done in time."""
    known = evidence.facts.batches
    if not known:
        return missing(claim, "no bill of a batch is given (an evidence file's batches)")
    figures = Figures()
    saved = {b.model: 1 - b.batch_usd / b.sync_usd for b in known}
    for name, share in saved.items():
        figures.add(f"saved with {name}", f"{significant(100 * share)}%", share)
    best = max(saved, key=lambda name: saved[name])
    # a bill has cents: half of one each way is what it cannot tell
    cents = CENT / 2 / next(b.sync_usd for b in known if b.model == best)
    deadline = claim.scope.deadline
    low, high, n, late = _on_time(known, deadline, 1 - claim.alpha)
    time = write_seconds(deadline)
    if n:
        on_time = f"{n - late:,} of {n:,} (at least {amount(low, 'ratio')} of all)"
        figures.add(f"done within {time}", on_time, (n - late) / n)
        median = kaplan_meier_median(
            [t for b in known for t in b.done], [t for b in known for t in b.running]
        )
        told = "not reached" if median is None else amount(median, "s")
        figures.add("median turnaround, unfinished ones censored (Kaplan-Meier)", told, median)
    told = (
        f"{best} saved {significant(100 * saved[best])}%, claimed up to {write_share(claim.number)}"
    )
    if saved[best] < claim.number - cents - 1e-9:
        return Finding(claim, Standing.REFUTED, told, (), figures.done(), saved[best], n=n)
    if n < claim.min_n:
        told += f"; {n} turnarounds where {claim.min_n} are asked for"
        return Finding(claim, Standing.INCONCLUSIVE, told, (), figures.done(), saved[best], n=n)
    promised = 1 - claim.scope.margin
    standing = by_bounds(claim, low, high, promised, is_max=False)
    told += f"; within {time}: at least {amount(low, 'ratio')}, {write_share(promised)} are asked"
    return Finding(claim, standing, told, (), figures.done(), saved[best], low, high, n)


def _on_time(
    known: tuple[Batch, ...], deadline_s: float, confidence: float
) -> tuple[float, float, int, int]:
    """Bounds of the share done in time; how many are decided, and of those late. An unfinished
    batch that may still be in time counts as late for the lower bound and in time for the upper:
    left out, the quick ones would stand for all."""
    done = [t for b in known for t in b.done]
    overdue = sum(t > deadline_s for b in known for t in b.running)
    young = sum(len(b.running) for b in known) - overdue
    late = sum(t > deadline_s for t in done) + overdue
    n = len(done) + overdue
    low = clopper_pearson(n - late, n + young, confidence).low
    high = clopper_pearson(n - late + young, n + young, confidence).high
    return low or 0.0, 1.0 if high is None else high, n, late


def kaplan_meier_median(done_s: list[float], running_s: list[float]) -> float | None:
    """Time by which half are done; None where the curve stays above a half (Kaplan, Meier 1958)."""
    left, alive = len(done_s) + len(running_s), 1.0
    events = sorted([(t, 0) for t in done_s] + [(t, 1) for t in running_s])
    for time_s, is_censored in events:  # at equal times the finished come first
        if not is_censored:
            alive *= 1 - 1 / left
            if alive <= 0.5 + 1e-12:
                return time_s
        left -= 1
    return None
