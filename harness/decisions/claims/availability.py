"""C2, an uptime claim: refuted by an exact binomial test, supported only by days of windows.

A burst of failures can refute 99.9 % in minutes (5 of 1,000 requests: p = .0036). Nothing short can
support it: 2,995 windows of five minutes without a bad one are 10.4 days. Failures cluster, so
counts are divided by their design effect first.
"""

from __future__ import annotations

import numpy as np

from harness.analysis import UptimeWindow
from harness.analysis.autocorrelation import design_effect
from harness.analysis.availability import is_bad
from harness.analysis.frame import BoolArray
from harness.analysis.intervals import clopper_pearson
from harness.analysis.shares import share_pair
from harness.decisions.claims.evidence import Evidence, Measured, targets_of
from harness.decisions.claims.finding import Figures, Finding, Standing, missing
from harness.decisions.sla import join_windows
from harness.decisions.uptime_facts import exceed_p
from harness.decisions.wording import amount
from harness.scenario.advice import windows_needed
from harness.scenario.claims import Claim
from harness.scenario.slo import UptimeLimit
from harness.units import format_seconds, write_seconds, write_share


def uptime(claim: Claim, evidence: Evidence) -> Finding:
    """claim.number: the share claimed. Requests refute; windows of claim.scope.window support.

    Attempts that were cut short and measured again count with what they saw.
    """
    measured = (*evidence.of(claim), *evidence.cut_short_of(claim))
    if not measured:
        return missing(claim, evidence.absence(claim))
    share, figures = claim.number, Figures()
    figures.add("measured on", targets_of(measured))
    bad = np.concatenate([
        is_bad(m.frame, m.summary.meta.slo.uptime)[m.frame.is_measured & m.frame.is_valid]
        for m in measured
    ])  # fmt: skip
    if not len(bad):
        return missing(claim, "no valid request in the runs given")
    k, n = int(bad.sum()), len(bad)
    windows = _windows(measured, claim.scope.window)
    # all bad tells of one outage: as many proofs as windows, not as requests
    deff = n / max(1, len(windows)) if k == n else design_effect(bad)
    p = exceed_p(k / deff, n / deff, 1 - share)
    figures.add("requests failed", f"{k:,} of {n:,}, worth {n / deff:,.0f} independent ones", k / n)
    figures.add(f"chance of as many at {write_share(share)}", f"p = {p:.2g}", p)
    up = np.array([w.num_bad <= 0.05 * w.num_valid + 1e-9 for w in windows], dtype=np.bool_)
    length = write_seconds(claim.scope.window)
    low = high = value = None
    scale = 1.0
    if len(up):
        pair = share_pair("uptime", up, scope="all", population="windows")
        value, n_eff = pair.shown.value, pair.shown.n_eff
        scale = len(up) / n_eff
        ends = clopper_pearson(int(up.sum()), len(up), 1 - claim.alpha, scale)
        low, high = ends.low, ends.high
        figures.add(f"windows of {length} up", f"{int(up.sum()):,} of {len(up):,}", value)
    # of a share that is up: high bounds what it can be
    is_shown = low is not None and low >= share and len(up) >= claim.min_n
    if p <= claim.alpha + 1e-12:
        told = (
            f"{k:,} of {n:,} requests failed (worth {n / deff:,.0f} independent ones); at"
            f" {write_share(share)} as many come by p = {p:.2g}{_by_windows(up, length)}"
        )
        standing = Standing.REFUTED
        if is_shown:  # few failures everywhere: the definitions disagree, and the claim names none
            standing = Standing.INCONCLUSIVE
            told += ": broken by requests, kept by windows"
        return _done(claim, standing, told, figures, value, low, high, len(up))
    num_down = int((~up).sum())
    if share >= 1:
        told = f"{len(up):,} windows of {length} cannot show it, nor can any number: only refute"
        return _done(claim, Standing.INCONCLUSIVE, told, figures, value, low, high, len(up))
    needed = max(claim.min_n, windows_needed(share, num_down, 1 - claim.alpha))
    time = format_seconds(needed * claim.scope.window)
    if is_shown:
        told = f"at least {amount(low, 'ratio')} of {len(up):,} windows of {length} were up"
        return _done(claim, Standing.SUPPORTED, told, figures, value, low, high, len(up))
    if len(up) >= needed:
        told = (
            f"{len(up):,} windows of {length} cannot show it: outages cluster, so they count as"
            f" {len(up) / scale:,.0f} with {num_down / scale:,.1f} down"
        )
        return _done(claim, Standing.INCONCLUSIVE, told, figures, value, low, high, len(up))
    down = "none" if not num_down else f"no more than {num_down:,}"
    told = (
        f"{len(up):,} windows of {length} cannot show it: it takes {needed:,} ({time}) with"
        f" {down} down"
    )
    return _done(claim, Standing.INCONCLUSIVE, told, figures, value, low, high, len(up))


def _by_windows(up: BoolArray, length: str) -> str:
    """What the other count says: of requests and windows one may be broken and the other kept."""
    return f"; of {len(up):,} windows of {length} {int(up.sum()):,} were up" if len(up) else ""


def _windows(measured: tuple[Measured, ...], length_s: float) -> list[UptimeWindow]:
    """Whole windows of length_s of every point, recounted from its requests."""
    from harness.analysis.availability import uptime_windows

    found: list[UptimeWindow] = []
    for m in measured:
        own_limit = m.summary.meta.slo.uptime
        limit = UptimeLimit(
            window=write_seconds(length_s), objective="99%",  # type: ignore[arg-type]
            throttled=own_limit.throttled if own_limit else "apart",
        )  # fmt: skip
        own = join_windows(uptime_windows(m.frame, limit, m.due_s), length_s, length_s) or ()
        found += [w for w in own if w.num_valid]
    return found


def _done(
    claim: Claim, standing: Standing, reason: str, figures: Figures,
    value: float | None, low: float | None, high: float | None, n: int,
) -> Finding:  # fmt: skip
    return Finding(claim, standing, reason, (), figures.done(), value, low, high, n)
