"""Claims about prices that a sheet settles, some with a measured speed: C4 audio, C5 a break-even
throughput, C6 what GPUs cost."""

from __future__ import annotations

import math

import numpy as np

from harness.analysis.bootstrap import NUM_DRAWS, ratio_intervals
from harness.analysis.frame import FloatArray, Frame
from harness.analysis.intervals import Interval
from harness.decisions.claims.evidence import Evidence, Measured, targets_of
from harness.decisions.claims.finding import (
    Figures,
    Finding,
    Standing,
    by_bounds,
    missing,
    unless_too_fine,
)
from harness.scenario.claims import Claim
from harness.units import significant, write_seconds

# -- C4 ----------------------------------------------------------------------------------------

FAR = 10.0  # times break-even: then the price per minute and the price per hour cannot both stand


def audio_price(claim: Claim, evidence: Evidence) -> Finding:
    """Inconsistent where a GPU of the same sheet transcribes over ten times what it must to pay.

    Speed: measured (audio/s from a run), else the least speed at which a referenced seller of the
    same minutes would not lose money on that GPU. On which GPU a run was measured only the claim
    can say (scope.gpu); where it does not, the dearest must have been enough.
    """
    price, figures = claim.number, Figures()
    gpus = evidence.sheet.on_demand
    if not gpus:
        return missing(claim, "the sheet has no GPU price")
    if claim.scope.gpu is not None and claim.scope.gpu not in gpus:
        return missing(claim, f"the sheet has no GPU '{claim.scope.gpu}'")
    even = {name: gpu.price.low / price for name, gpu in gpus.items()}
    for name, minutes in even.items():
        figures.add(f"break-even on one {name}", f"{significant(minutes)} audio-min/h", minutes)
    measured = [m for m in evidence.of(claim) if _audio_speed(m.frame) is not None]
    speed = [s for m in measured if (s := _audio_speed(m.frame)) is not None]
    by_minutes = sorted(gpus, key=lambda name: even[name])
    held = claim.scope.gpu or by_minutes[-1 if speed else 0]
    lines = [
        f"At ${price:g} a minute, one {held} pays from {significant(even[held])} minutes"
        f" of audio an hour on: {significant(100 * even[held] / 60)}% of real time."
    ]
    if speed:
        minutes = 60 * max(speed)  # each is what it can do at least
        figures.add("measured on", targets_of(measured))
        figures.add("measured speed", f"{significant(max(speed))} x real time", max(speed))
        lines.append(f"Measured: {significant(minutes)} minutes of audio an hour.")
    else:
        known = [r for r in claim.references if r.audio is not None]
        if not known:
            return missing(claim, "no speed was measured and no other price is referenced")
        other = min(known, key=lambda r: r.audio.point if r.audio else math.inf)
        assert other.audio is not None
        minutes = gpus[held].price.low / other.audio.point
        times = price / other.audio.point
        figures.add(f"asked by {other.name}, {other.as_of}", f"${other.audio.point:g}/min")
        lines.append(
            f"{other.name} asks ${other.audio.point:g} a minute ({other.as_of}), {times:,.0f} times"
            f" less: not to lose on that GPU it transcribes {significant(minutes)} minutes an hour."
        )
    ratio = minutes / even[held]
    lines.append(
        f"That is {ratio:,.0f} times the break-even; above {FAR:g} times, the price a minute and"
        " the price a GPU-hour of one sheet cannot both be meant."
    )
    figures.add("speed over break-even", f"{ratio:,.3g}", ratio)
    # a slow speed shows nothing: the GPU may not have been asked for more
    standing = Standing.INCONSISTENT if ratio > FAR else Standing.INCONCLUSIVE
    reason = (
        f"one {held} of the same sheet transcribes {ratio:,.0f} times the minutes from which it"
        f" pays at ${price:g} a minute"
    )
    return Finding(claim, standing, reason, tuple(lines), figures.done(), ratio)


def _audio_speed(frame: Frame) -> float | None:
    """Audio seconds a second over successes; None where no request carried audio."""
    has = frame.is_success & frame.is_measured & (np.nan_to_num(frame.audio_s) > 0)
    return float(frame.audio_s[has].sum() / frame.window_s) if has.any() else None


# -- C5 ----------------------------------------------------------------------------------------


def break_even_speed(claim: Claim, evidence: Evidence) -> Finding:
    """Whether a measured GPU earns its hour at a price per Mtok of input: u_required = T1 / C.

    Supported (paying by use is cheaper) where u_required is surely above 1, refuted where surely
    below. C by block bootstrap of input tokens/s over the run. What an open load at a rate that the
    target keeps up with gets through is only the least that C can be: it can refute, not support.
    """
    gpu = evidence.sheet.on_demand.get(claim.scope.gpu or "")
    if gpu is None:
        return missing(claim, f"the sheet has no GPU '{claim.scope.gpu}'")
    needed = gpu.price.point / claim.number * 1e6 / 3600
    figures = Figures()
    figures.add(f"one {claim.scope.gpu} pays from", f"{needed:,.0f} tok/s", needed)
    measured = evidence.of(claim)
    if not measured:
        return missing(claim, f"no throughput was measured; it takes {needed:,.0f} tok/s to pay")
    # the best of several is chosen by its luck too: each at its share of the error
    rates = [_input_rate(m.frame, claim.alpha / len(measured)) for m in measured]
    best, (value, ends) = max(zip(measured, rates, strict=True), key=lambda pair: pair[1][0])
    if value <= 0 or ends.low is None or ends.high is None or ends.low <= 0:
        return missing(claim, "the run is too short for an interval of its throughput")
    low, high = needed / ends.high, needed / ends.low
    figures.add("measured on", targets_of([best]))
    figures.add("input tokens/s", f"{value:,.0f} ({ends.low:,.0f} to {ends.high:,.0f})", value)
    told = (
        f"one {claim.scope.gpu}, if that is what it ran on, must be busy"
        f" {significant(100 * needed / value)}% of the time to pay"
        f" ({significant(100 * low)} to {significant(100 * high)}%)"
    )
    figures.add("u_required", f"{significant(needed / value)}", needed / value)
    standing = by_bounds(claim, low, high, 1.0, is_max=False)
    if standing is Standing.SUPPORTED and not _is_at_limit(best):
        standing = Standing.INCONCLUSIVE
        told += "; but it kept up with the rate that was sent, so it may do more: raise the load"
    elif standing is Standing.SUPPORTED and best.summary.meta.concurrency is not None:
        told += f"; at {best.summary.meta.concurrency} users, and more of them may do more"
    standing, told = unless_too_fine(claim.alpha / len(measured), NUM_DRAWS, standing, told)
    return Finding(claim, standing, told, (), figures.done(), needed / value, low, high)


def _is_at_limit(measured: Measured) -> bool:
    """Whether nothing but the target bounded what it did: users who ask again at once, or a rate
    that it could not keep up with."""
    return measured.summary.meta.kind == "closed" or not measured.summary.is_stable


def _input_rate(frame: Frame, alpha: float) -> tuple[float, Interval]:
    """Input tokens/s of answered requests by their end, with one-sided bootstrap bounds."""
    num = max(2, math.floor(frame.window_s))
    width = frame.window_s / num
    chosen = frame.is_success & (frame.end_s >= 0) & (frame.end_s < frame.window_s)
    tokens = np.nan_to_num(frame.n_in[chosen])
    per_bin: FloatArray = np.bincount(
        np.minimum((frame.end_s[chosen] / width).astype(np.int64), num - 1), tokens, num
    ).astype(np.float64)
    stay = frame.end_s[chosen] - frame.intended_s[chosen]
    residence = float(stay.mean()) if len(stay) else 0.0
    found = ratio_intervals(
        per_bin, np.full(num, width), width, residence, np.random.default_rng(0),
        bound_level=1 - 2 * alpha,
    )  # fmt: skip
    return found.value, found.bound


# -- C6 ----------------------------------------------------------------------------------------


def gpu_prices(claim: Claim, evidence: Evidence) -> Finding:
    """The claimed prices are the sheet's, and the sheet is not old. Others' prices stand beside."""
    sheet, figures = evidence.sheet, Figures()
    if not claim.scope.prices:
        return missing(claim, "the claim names no price (scope.prices)")
    wrong = []
    for name, price in claim.scope.prices.items():
        row = sheet.on_demand.get(name)
        told = "not in the sheet" if row is None else f"${row.price.point:.2f}/h"
        figures.add(f"{name}, claimed ${price.point:.2f}/h", told, price.point)
        if row is None or (row.price.low, row.price.high) != (price.low, price.high):
            wrong.append(f"{name} ${price.point:.2f} against {told}")
    for other in claim.references:
        if other.price is not None:
            low, high = other.price.low, other.price.high
            span = f"${low:.2f}" if low == high else f"${low:.2f} to ${high:.2f}"
            figures.add(f"{other.gpu} at {other.name}, {other.as_of}", f"{span}/h", low)
    age = (evidence.today - sheet.as_of).days
    figures.add(f"age of {sheet.name}", f"{age} days", float(age))
    if wrong:
        reason = f"not what {sheet.name} says: {'; '.join(wrong)}"
        return Finding(claim, Standing.INCONSISTENT, reason, (), figures.done())
    limit = write_seconds(sheet.stale_after)
    if age * 86_400 > sheet.stale_after:
        reason = f"listed so on {sheet.as_of}, {age} days ago; after {limit} a price is a memory"
        return Finding(claim, Standing.INCONCLUSIVE, reason, (), figures.done())
    reason = f"listed so on {sheet.as_of} ({sheet.name}, {age} days old, good for {limit})"
    lines = _beside(claim)
    return Finding(claim, Standing.SUPPORTED, reason, lines, figures.done())


def _beside(claim: Claim) -> tuple[str, ...]:
    """Where the claimed price stands among what others ask."""
    lines = []
    for other in claim.references:
        own = claim.scope.prices.get(other.gpu or "")
        if own is None or other.price is None:
            continue
        word = "above" if own.point > other.price.high else (
            "below" if own.point < other.price.low else "within"
        )  # fmt: skip
        span = f"${other.price.low:.2f} to ${other.price.high:.2f}"
        lines.append(
            f"${own.point:.2f} for one {other.gpu} is {word} what {other.name} ask: {span}."
        )
    return tuple(lines)
