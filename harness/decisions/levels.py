"""What was measured at each offered rate, and whether it holds the share of good requests.

A level pools every window at its rate. It *holds* where the one-sided lower bound of its share
reaches the limit, *misses* where the upper bound falls below it, and is *open* between. A window
in which the backlog grew is unstable, and a rate of which more than half the windows are misses
whatever its share: the longer it lasts, the fewer are good. One of several may be chance. So it is
with windows that `stop.max_error_rate` ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis import PointSummary
from harness.analysis.intervals import Interval, clopper_pearson
from harness.analysis.pooled import pooled_size

Standing = Literal["holds", "misses", "open"]
MOST_LOOKS = 5
ALPHA = 0.05
# a level is looked at after each of up to five windows: by the union bound each side errs <= ALPHA
CONFIDENCE = 1 - ALPHA / MOST_LOOKS
_OF_RATE = ("rate", "thin", "every", "requests", "duration", "seed")  # the rate, or how long


@dataclass(frozen=True, slots=True)
class Window:
    """num_good of num_valid requests; n_eff: what they are worth after autocorrelation.

    is_stopped: ended by stop.max_error_rate.  parts: (good, valid) of shorter spans in it, for the
    bootstrap; empty: the window is one.
    """

    num_good: int
    num_valid: int
    n_eff: float
    is_stable: bool = True
    parts: tuple[tuple[int, int], ...] = ()
    is_stopped: bool = False

    @property
    def is_alarm(self) -> bool:
        """Whether it says that the rate misses, whatever its share."""
        return self.is_stopped or not self.is_stable


@dataclass(frozen=True, slots=True)
class Level:
    """All windows at one offered rate."""

    rate_req_per_s: float
    windows: tuple[Window, ...]

    @property
    def num_good(self) -> int:
        return sum(w.num_good for w in self.windows)

    @property
    def num_valid(self) -> int:
        return sum(w.num_valid for w in self.windows)

    @property
    def is_stable(self) -> bool:
        """At most half of the windows saw the backlog grow."""
        return 2 * sum(not w.is_stable for w in self.windows) <= len(self.windows)

    @property
    def is_stopped(self) -> bool:
        """More than half of the windows were ended by their errors."""
        return 2 * sum(w.is_stopped for w in self.windows) > len(self.windows)

    @property
    def share(self) -> float:
        """Good of valid requests; in the long run none is good where the backlog grows."""
        return self.num_good / self.num_valid if self.is_stable and self.num_valid else 0.0

    @property
    def n_eff(self) -> float:
        """Independent requests this is worth, within windows and from their scatter."""
        return pooled_size(
            [w.num_good for w in self.windows], [w.num_valid for w in self.windows],
            [w.n_eff for w in self.windows],
        )  # fmt: skip

    @property
    def parts(self) -> tuple[tuple[int, int], ...]:
        return tuple(
            part for w in self.windows for part in (w.parts or ((w.num_good, w.num_valid),))
        )

    def bounds(self, confidence: float = CONFIDENCE) -> Interval:
        """Clopper-Pearson bounds of the share, each one-sided at `confidence`, deff applied."""
        deff = max(1.0, self.num_valid / max(self.n_eff, 1.0))
        return clopper_pearson(self.num_good, self.num_valid, confidence, deff)

    def standing(self, share: float, confidence: float = CONFIDENCE) -> Standing:
        """share: the least share of good requests, 0..1."""
        if not self.is_stable or self.is_stopped:
            return "misses"
        ends = self.bounds(confidence)
        if ends.low is not None and ends.low >= share:
            return "holds"
        return "misses" if ends.high is not None and ends.high < share else "open"


@dataclass(frozen=True, slots=True)
class Bracket:
    """low: highest rate that holds below every miss.  high: lowest that misses above it.

    None where no rate does.
    """

    low: float | None
    high: float | None


NO_BRACKET = Bracket(None, None)


def ladders(points: Iterable[PointSummary]) -> dict[tuple[str, ...], tuple[PointSummary, ...]]:
    """Points that differ in nothing but the rate belong together: by target, then by whatever
    else is swept."""
    found: dict[tuple[str, ...], list[PointSummary]] = {}
    for point in points:
        found.setdefault(ladder_of(point), []).append(point)
    return {key: tuple(found[key]) for key in sorted(found)}


def ladder_of(point: PointSummary) -> tuple[str, ...]:
    """The target, then what is swept beside the rate."""
    parts = ((path.rpartition(".")[2], value) for path, value in point.meta.swept.items())
    return (point.meta.target, *(f"{name} {v}" for name, v in parts if name not in _OF_RATE))


def levels_of(points: Iterable[PointSummary]) -> tuple[Level, ...]:
    """The levels of one ladder, by rising rate: open loads, valid, with an SLO to attain."""
    windows: dict[float, list[Window]] = {}
    for point in points:
        rate = point.meta.offered_req_per_s
        found = windows_of(point)
        if rate and found:
            windows.setdefault(float(f"{rate:.9g}"), []).extend(found)
    return tuple(Level(rate, tuple(windows[rate])) for rate in sorted(windows))


def window_of(point: PointSummary) -> Window | None:
    """None where the point says nothing about a rate: closed load, no limit, not valid."""
    good = point.find("slo_attainment", "ratio", population="valid")
    if point.meta.kind != "open" or not point.is_valid or good is None:
        return None
    if good.value is None:  # nobody had an answer before it ended: a backlog all the same
        return None if point.is_stable or point.counts["valid"] else Window(0, 0, 0.0, False)
    num_good = round(good.value * good.n)
    is_stopped = point.meta.stopped_by == "max_error_rate"
    return Window(num_good, good.n, good.n_eff, point.is_stable, point.good_parts, is_stopped)


def windows_of(point: PointSummary) -> tuple[Window, ...]:
    """The windows of a point, several where it was pooled; none where it says nothing."""
    whole = window_of(point)
    if whole is None or not point.good_windows:
        return () if whole is None else (whole,)
    num = len(point.good_parts) // len(point.good_windows)
    found = []
    for k, w in enumerate(point.good_windows):
        parts = point.good_parts[k * num : (k + 1) * num]
        found.append(Window(w.num_good, w.num_valid, w.n_eff, w.is_stable, parts, w.is_stopped))
    return tuple(found)


def bracket(levels: Sequence[Level], share: float, confidence: float = CONFIDENCE) -> Bracket:
    """[highest rate that holds, lowest that misses] of levels by rising rate.

    Where a rate misses below one that holds (violations tells them) both are drawn in: low lies
    below the first miss, high above the last hold.
    """
    found = [(level.rate_req_per_s, level.standing(share, confidence)) for level in levels]
    holds = [rate for rate, standing in found if standing == "holds"]
    misses = [rate for rate, standing in found if standing == "misses"]
    low = max((r for r in holds if not misses or r < misses[0]), default=None)
    high = min((r for r in misses if not holds or r > holds[-1]), default=None)
    return Bracket(low, high)
