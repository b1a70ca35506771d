"""C11, throughput linear in replicas (USL), and C15, a rate limit (change point, share of 429)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.autocorrelation import design_effect
from harness.analysis.frame import BoolArray, FloatArray, Frame
from harness.analysis.intervals import clopper_pearson
from harness.decisions.claims.evidence import Capacity, Evidence, Measured, targets_of
from harness.decisions.claims.finding import Figures, Finding, Standing, missing, unless_too_fine
from harness.decisions.wording import amount
from harness.estimate import Estimate
from harness.scenario.claims import Claim
from harness.units import significant, write_share

NUM_DRAWS = 4000
_Z = 1.959963984540054


def linear_scaling(claim: Claim, evidence: Evidence) -> Finding:
    """X(N) = l N / (1 + s (N-1) + k N (N-1)) through the sustained rates at each N.

    Supported: the intervals of s and k hold 0 and the loss at the largest N is surely within the
    margin. Refuted: the loss is surely beyond it.
    """
    known = [*evidence.capacities, *_given(evidence)]
    usable = [c for c in known if _is_bounded(c.estimate)]
    sizes = sorted({c.replicas for c in usable})
    if len(sizes) < 3 or sizes[0] != 1:
        told = ", ".join(map(str, sizes)) or "none"
        return missing(claim, f"sustained rates at 1 and two more numbers are needed, have {told}")
    figures, rng = Figures(), np.random.default_rng(0)
    for c in usable:
        e = c.estimate
        told = f"{amount(e.value, 'req/s')} ({amount(e.low, 'req/s')} to {amount(e.high, 'req/s')})"
        figures.add(f"sustained by {c.replicas}", told, e.value)
    n = np.array([c.replicas for c in usable], dtype=np.float64)
    draws = np.array([_drawn(c.estimate, rng) for c in usable])  # [c, NUM_DRAWS]
    s, k = usl(n, draws)
    top = float(sizes[-1])
    loss = 1 - 1 / (1 + s * (top - 1) + k * top * (top - 1))
    tail = claim.alpha
    ends = {name: np.quantile(v, [0.025, 0.975]) for name, v in (("s", s), ("k", k))}
    low, high = (float(v) for v in np.quantile(loss, [tail, 1 - tail]))
    for name, word in (("s", "contention"), ("k", "crosstalk")):
        a, b = ends[name]
        figures.add(f"USL {name}, {word}", f"{a:.3g} to {b:.3g}", float(np.median([a, b])))
    middle = float(np.median(loss))
    told = f"{100 * middle:.3g}% ({100 * low:.3g} to {100 * high:.3g}%)"
    figures.add(f"lost at {top:.0f} against linear", told, middle)
    holds_0 = all(a <= 0 <= b for a, b in ends.values())
    margin = claim.number
    if low > margin:
        standing = Standing.REFUTED
    elif high <= margin and holds_0:
        standing = Standing.SUPPORTED
    else:
        standing = Standing.INCONCLUSIVE
    reason = f"{top:.0f} replicas lose {told} against linear, {write_share(margin)} are allowed"
    standing, reason = unless_too_fine(claim.alpha, NUM_DRAWS, standing, reason)
    return Finding(claim, standing, reason, (), figures.done(), middle, low, high, len(usable))


def usl(n: FloatArray, rates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """s and k of each draw. n: [c] replicas.  rates: [c, draws].

    Unlike the fit that summarises a sweep (decisions/usl.py) neither is held at or above 0: a claim
    of linearity asks whether 0 lies within their intervals, not at their end.

    N/X is linear in (N - 1) and N (N - 1): 1/l, s/l, k/l by least squares with weight X/N, so that
    errors are relative (Gunther 2007, linearised).
    """
    design = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1)
    found = np.empty((3, rates.shape[1]))
    for j in range(rates.shape[1]):
        weight = rates[:, j] / n
        solved, *_ = np.linalg.lstsq(design * weight[:, None], np.ones_like(n), rcond=None)
        found[:, j] = solved
    return found[1] / found[0], found[2] / found[0]


def _given(evidence: Evidence) -> list[Capacity]:
    return [
        Capacity(f.replicas, Estimate("max_goodput", "rate", "req/s", f.rate, f.low, f.high))
        for f in evidence.facts.scaling
    ]


def _is_bounded(e: Estimate) -> bool:
    ends = (e.value, e.low, e.high)
    return all(v is not None and 0 < v < math.inf for v in ends)


def _drawn(e: Estimate, rng: np.random.Generator) -> FloatArray:
    """Draws of a log-normal law whose 95 % interval is the estimate's."""
    assert e.value is not None
    assert e.low is not None
    assert e.high is not None
    sd = max(math.log(e.high / e.low) / (2 * _Z), 1e-12)
    return np.asarray(np.exp(rng.normal(math.log(e.value), sd, NUM_DRAWS)))


# -- C15 ---------------------------------------------------------------------------------------


def rate_limit(claim: Claim, evidence: Evidence) -> Finding:
    """A limit of `value` requests/s: up to .95 of it 429 is rare, and the first comes beyond.

    steady: windows offered between .85 and .95 of the limit support or refute by their share of
    429, Clopper-Pearson. Of any other window, such as a ramp, the requests offered below .95 of the
    limit, counted over the minute before each, can refute by theirs.
    """
    measured = evidence.of(claim)
    if not measured:
        return missing(claim, evidence.absence(claim))
    limit, figures = claim.number, Figures()
    figures.add("measured on", targets_of(measured))
    changes = [c for m in measured if (c := change_point(m.frame)) is not None]
    for rate in changes:
        figures.add("offered before the first 429", f"{significant(60 * rate)}/min", rate)
    steady = [m for m in measured if 0.85 * limit <= _offered(m) <= 0.95 * limit + 1e-9]
    others = [m for m in measured if not any(m is one for one in steady)]
    margin, rpm = claim.scope.margin, f"{60 * limit:g}/min"
    early = _throttled(others, claim, lambda m: below(m.frame, 0.95 * limit))
    if early.k and early.low > margin:
        figures.add("429 below .95 of the limit", early.text, early.k / early.n)
        reason = f"429 came below {rpm}: {early.text} of what was offered below .95 of it"
        return _limit_finding(claim, Standing.REFUTED, reason, figures, early)
    seen = _throttled(steady, claim, lambda m: m.frame.is_measured & m.frame.is_valid)
    if seen.n < claim.min_n:
        told = f"{seen.n:,} requests at .85 to .95 of {rpm} where {claim.min_n:,} are asked for"
        if not seen.n:
            return missing(claim, told)
        return _limit_finding(claim, Standing.INCONCLUSIVE, told, figures, seen)
    figures.add("429 at .85 to .95 of the limit", seen.text, seen.k / seen.n)
    reason = f"429 just below {rpm}: {seen.text}, {write_share(margin)} are allowed"
    if seen.low > margin:
        standing = Standing.REFUTED
    elif seen.high <= margin:
        standing = Standing.SUPPORTED
    else:
        standing = Standing.INCONCLUSIVE
    return _limit_finding(claim, standing, reason, figures, seen)


@dataclass(frozen=True, slots=True)
class _Throttled:
    """k of n requests were answered 429; one-sided bounds of their share."""

    k: int
    n: int
    low: float = 0.0
    high: float = 1.0

    @property
    def text(self) -> str:
        low, high = (amount(end, "ratio") for end in (self.low, self.high))
        return f"{self.k:,} of {self.n:,} (at least {low}, at most {high})"


def _throttled(
    measured: Sequence[Measured], claim: Claim, choose: Callable[[Measured], BoolArray]
) -> _Throttled:
    parts = [m.frame.is_class("throttled")[choose(m)] for m in measured]
    hit = np.concatenate(parts) if parts else np.zeros(0, dtype=np.bool_)
    k, n = int(hit.sum()), len(hit)
    if not n:
        return _Throttled(0, 0)
    # all of them answered 429 count as one, since how long that lasts is not known
    deff = float(n) if k == n else design_effect(hit)
    ends = clopper_pearson(k, n, 1 - claim.alpha, deff)
    return _Throttled(k, n, ends.low or 0.0, 1.0 if ends.high is None else ends.high)


def _limit_finding(
    claim: Claim, standing: Standing, reason: str, figures: Figures, seen: _Throttled
) -> Finding:
    share = seen.k / seen.n if seen.n else None
    return Finding(claim, standing, reason, (), figures.done(), share, seen.low, seen.high, seen.n)


def below(frame: Frame, rate: float, span_s: float = 60.0) -> BoolArray:
    """[n] first attempts of the window before which less than `rate` requests/s were sent, over the
    span_s before each or since the load began, at least a second of it."""
    first = frame.is_first & ~frame.is_class("stale", "client_fault")
    at = frame.intended_s[first]
    found = np.zeros(len(frame), dtype=np.bool_)
    if len(at):
        num = np.arange(1, len(at) + 1) - np.searchsorted(at, at - span_s, side="right")
        length = np.clip(at - at[0], 1.0, span_s)
        found[first] = num / length < rate
    return found & frame.is_measured & frame.is_valid


def _offered(m: Measured) -> float:
    """Requests/s really sent in the window; a ramp has none that is meant here."""
    frame = m.frame
    if m.summary.meta.offered_req_per_s is None or (change_point(frame) is not None and _rises(m)):
        return math.nan
    return float(frame.is_measured.sum()) / frame.window_s


def _rises(m: Measured) -> bool:
    """Whether the second half was offered a tenth more than the first."""
    at = m.frame.intended_s[m.frame.is_measured]
    first = int((at < m.frame.window_s / 2).sum())
    return len(at) - first > 1.1 * max(first, 1)


def change_point(frame: Frame, span_s: float = 60.0) -> float | None:
    """Requests/s offered over the span_s before the first 429; None where none came.

    Counted over what was measured of that span, at least a second of it.
    """
    hit = frame.is_class("throttled") & frame.is_measured & frame.is_first
    if not hit.any():
        return None
    at: float = float(frame.intended_s[hit].min())
    begin = max(0.0, at - span_s)
    length = max(at - begin, 1.0)
    times: Sequence[float] | FloatArray = frame.intended_s[frame.is_measured & frame.is_first]
    return float(((np.asarray(times) > begin) & (np.asarray(times) <= at)).sum()) / length
