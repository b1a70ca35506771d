"""python -m tests.decisions.s1_search [--searches 150] [--sigmas 0,0.02,0.05,0.1] [--saturated]
   [--best]

Searches on S1, the simulated engine, whose speed may differ from window to window: how often the
interval holds the long-run capacity, each end's error, how many close, how wide, in how many
windows. Windows are drawn from a store of simulated ones at each rate, judged as real ones are.
--saturated: with a limit on TTFT alone, so that the capacity lies where the queue has memory, held
also against that of windows of 20,000 requests. --best: how narrow any choice of rates could be.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from scipy import special

from harness.analysis.autocorrelation import design_effect
from harness.analysis.goodput import margin_design_effect
from harness.analysis.steady_state import steady_state
from harness.decisions.capacity import Capacity, capacity_of
from harness.decisions.isotonic import crossing, falling_fit
from harness.decisions.levels import Level, Window
from harness.decisions.over_windows import CONFIDENCE, windows_needed
from harness.decisions.search import Ending, SearchPlan, Tried, conclude, next_step
from tests.decisions import s1

SHARE = 0.95
TTFT_S, TPOT_S, REQUESTS, BEFORE = 1.0, 0.03, 400, 200
FINE = 1.0234  # of the rates that a store has; lattices take every second or sixth of them
LEAST, MOST = 3.5, 14.0  # req/s: below all are good, above none
NUM_FINE = 61


def measured(
    rate: float, rng: np.random.Generator, requests: int = REQUESTS, speed: float = 1.0,
    tpot_s: float = TPOT_S,
) -> Window:  # fmt: skip
    """One window of S1, judged as a real one is: good requests, their correlation, the backlog."""
    plan = s1.schedule(rng, rate, requests + BEFORE)
    first, last = s1._simulate(plan.at_s, plan.n_in, plan.n_out, speed, int(rng.integers(2**31)))
    begin = plan.at_s - plan.at_s[s1.WARMUP + BEFORE]
    window_s = float(begin[-s1.COOLDOWN])
    own = (begin >= 0) & (begin < window_s)
    margin = np.maximum(
        (first - plan.at_s) / TTFT_S, (last - first) / np.maximum(plan.n_out - 1, 1) / tpot_s
    )[own]
    frame = SimpleNamespace(
        begin_s=begin, end_s=begin + last - plan.at_s, window_s=window_s, is_measured=own,
        is_first=np.ones(len(own), dtype=bool),
    )  # fmt: skip
    steady = steady_state(frame, "open", 1.0)  # type: ignore[arg-type]
    good = margin <= 1
    deff = max(design_effect(good), margin_design_effect(margin, SHARE))
    return Window(int(good.sum()), len(good), len(good) / deff, not steady.is_unstable)


def lucks(num: int, sigma: float) -> s1.FloatArray:
    """[num] speeds of equal chance: lognormal, a CV of about sigma."""
    return np.asarray(np.exp(sigma * special.ndtri((np.arange(num) + 0.5) / num)))


def capacity(sigma: float, rates: Sequence[float], each: int, requests: int = REQUESTS) -> float:
    """Where the mean share of many windows crosses SHARE, over the luck of windows: a logistic
    curve, quadratic in log rate, through windows `each` at rates near it. Seed 11."""
    rng = np.random.default_rng(11)
    shares = []
    for rate in rates:
        rows = [measured(rate, rng, requests, speed) for speed in lucks(each, sigma)]
        shares.append(sum(w.num_good for w in rows) / sum(w.num_valid for w in rows))
    x = np.log(rates)
    roots = np.roots(np.polyfit(x, special.logit(shares) - special.logit(SHARE), 2)).real
    return math.exp(float(roots[np.argmin(np.abs(roots - x.mean()))]))


@dataclass
class Store:
    """Windows of S1 at one sigma, simulated when first asked for. per_rate: how many of each."""

    sigma: float
    per_rate: int = 150
    tpot_s: float = TPOT_S
    windows: dict[int, list[Window]] = field(default_factory=dict)

    def all_at(self, k: int) -> list[Window]:
        """Those of the k-th rate of the fine lattice."""
        if k not in self.windows:
            own = np.random.default_rng([k, round(1000 * self.sigma)])
            speeds = lucks(self.per_rate, self.sigma)
            self.windows[k] = [
                measured(LEAST * FINE**k, own, speed=s, tpot_s=self.tpot_s) for s in speeds
            ]
        return self.windows[k]

    def draw(self, step: int, rng: np.random.Generator) -> Window:
        """step: of the fine lattice, 0 at LEAST; beyond it what its ends have."""
        k = min(max(step, 0), NUM_FINE - 1)
        return self.all_at(k)[int(rng.integers(self.per_rate))]


@dataclass(frozen=True)
class Found:
    """One search after some windows."""

    capacity: Capacity
    ending: Ending
    num_windows: int


def search(store: Store, steps: int, rng: np.random.Generator, looks: Sequence[int]) -> list[Found]:
    """The search as it stands after each number of windows in `looks`, from about 2 to 32/s.

    steps: of the fine lattice in one of the search's; where its lattice begins is drawn.
    """
    places = np.arange(-24 + int(rng.integers(steps)), 96, steps)
    plan = SearchPlan(tuple(LEAST * FINE ** places.astype(float)), SHARE,
                      resolution=FINE**steps - 1)  # fmt: skip
    tried: dict[int, Tried] = {}
    found = []
    for most in looks:
        while sum(t.num for t in tried.values()) < most:
            step = next_step(plan, tried)
            if step is None:
                break
            known = tried.get(step.rate, Tried())
            window = store.draw(int(places[step.rate]), rng)
            tried[step.rate] = Tried((*known.windows, window))
        levels = [Level(plan.rates[k], tried[k].windows) for k in sorted(tried)]
        found.append(
            Found(
                capacity_of(levels, SHARE), conclude(plan, tried),
                sum(t.num for t in tried.values()),
            )
        )  # fmt: skip
    return found


def tally(found: Sequence[Found], truth: float) -> dict[str, float]:
    """Shares of searches, and medians."""
    ends = [f.capacity.estimate for f in found]
    low = np.array([0.0 if e.low is None else e.low for e in ends])
    high = np.array([math.inf if e.high is None else e.high for e in ends])
    return {
        "holds": float(np.mean((low <= truth) & (truth <= high))),
        "low_wrong": float(np.mean(low > truth)),
        "high_wrong": float(np.mean(high < truth)),
        "closes": float(np.mean([f.ending.kind == "found" for f in found])),
        "width": float(np.median(high / np.maximum(low, 1e-9))) - 1,
        "windows": float(np.mean([f.num_windows for f in found])),
    }


def study(searches: int, sigmas: Sequence[float]) -> Iterator[str]:
    looks = (20, 30, 40)
    yield "| speed differs by | step | windows at most | holds | low end wrong | high end wrong |" \
        " closes | width | windows |"  # fmt: skip
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for sigma in sigmas:
        store = Store(sigma)
        truth = capacity(sigma, near_rates(sigma), 120)
        for steps in (6, 2):
            rng = np.random.default_rng(12)
            rows = [search(store, steps, rng, looks) for _ in range(searches)]
            for k, most in enumerate(looks):
                t = tally([row[k] for row in rows], truth)
                yield (
                    f"| {sigma:.0%} | {FINE**steps - 1:.0%} | {most} | {t['holds']:.0%} |"
                    f" {t['low_wrong']:.1%} | {t['high_wrong']:.1%} | {t['closes']:.0%} |"
                    f" {t['width']:.0%} | {t['windows']:.0f} |"
                )


def saturated(searches: int, requests: int = 20_000) -> Iterator[str]:
    """A limit on TTFT alone: the interval against the capacity of windows as short as its own, and
    against the long run's, whose queue remembers what a short window does not see."""
    store = Store(0.0, tpot_s=math.inf)
    rates = LEAST * FINE ** np.arange(40, NUM_FINE)
    shares = [_mean_share(store.all_at(k)) for k in range(40, NUM_FINE)]
    own = float(crossing(rates, falling_fit(shares, np.ones(len(rates))), SHARE))
    rng = np.random.default_rng(11)
    fine = np.geomspace(0.85 * own, 1.02 * own, 18)
    long = [[measured(r, rng, requests, tpot_s=math.inf) for _ in range(12)] for r in fine.tolist()]
    late = [_mean_share(rows) for rows in long]
    run = float(crossing(fine, falling_fit(late, np.ones(len(fine))), SHARE))
    yield f"capacity of windows {own:.2f} req/s, of the long run {run:.2f} req/s"
    yield "| step | windows at most | holds windows' own | the long run's | low end above it" \
        " | point over the long run's | closes | width | windows |"  # fmt: skip
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    looks = (20, 30, 40)
    for steps in (6, 2):
        rng = np.random.default_rng(12)
        rows = [search(store, steps, rng, looks) for _ in range(searches)]
        for k, most in enumerate(looks):
            found = [row[k] for row in rows]
            t, of_run = tally(found, own), tally(found, run)
            points = [f.capacity.estimate.value or math.nan for f in found]
            yield (
                f"| {FINE**steps - 1:.0%} | {most} | {t['holds']:.0%} | {of_run['holds']:.0%} |"
                f" {of_run['low_wrong']:.1%} | {np.nanmedian(points) / run - 1:+.1%} |"
                f" {t['closes']:.0%} | {t['width']:.0%} | {t['windows']:.0f} |"
            )


def best(sigmas: Sequence[float], each: int = 300, near: int = 32) -> Iterator[str]:
    """What no choice of rates can beat much: all windows at the crossing, the curve's slope known,
    the same confidence. near: windows there that a search of 40 has left."""
    yield f"| speed differs by | one window misses by | width of {near} | windows to 5% |"
    yield "| --- | --- | --- | --- |"
    for sigma in sigmas:
        rng, speeds = np.random.default_rng(13), lucks(each, sigma)
        truth = capacity(sigma, near_rates(sigma), 120)
        below, at, above = (
            [measured(truth * f, rng, speed=s) for s in speeds] for f in (0.95, 1.0, 1.05)
        )
        slope = (_mean_share(below) - _mean_share(above)) / math.log(1.05 / 0.95)
        far = float(np.std([w.num_good / w.num_valid for w in at], ddof=1)) / slope
        errors = sum(float(special.stdtrit(near - 2.0, side)) for side in CONFIDENCE)
        width = math.expm1(errors * far / math.sqrt(near))
        yield f"| {sigma:.0%} | {far:.1%} | {width:.1%} | {windows_needed(0.05, far)} |"


def _mean_share(windows: Sequence[Window]) -> float:
    return sum(w.num_good for w in windows) / sum(w.num_valid for w in windows)


def near_rates(sigma: float) -> tuple[float, ...]:
    """Rates near the capacity, some 5 % apart."""
    middle = 7.1 if sigma < 0.035 else 6.9 if sigma < 0.075 else 6.4
    return tuple(middle * 1.05**k for k in (-2, -1, 0, 1, 2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=150)
    parser.add_argument("--sigmas", default="0,0.02,0.05,0.1")
    parser.add_argument("--saturated", action="store_true")
    parser.add_argument("--best", action="store_true")
    given = parser.parse_args()
    sigmas = [float(s) for s in given.sigmas.split(",")]
    told = best(sigmas) if given.best else study(given.searches, sigmas)
    told = saturated(given.searches) if given.saturated else told
    for line in told:
        print(line, flush=True)
