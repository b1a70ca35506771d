"""What a schedule came out as, beside what was asked: the arrivals and lengths of each stage.

Figures are over the measured window of the schedule, before anything is sent. A closed stage has
no arrivals of its own; of it only lengths are told, over all its bodies.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.units import NS_PER_S

from .arrivals import RateProfile
from .schedule import Schedule, StageSchedule

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_LEAST_FOR_CV = 3
_LEAST_FOR_LAW = 20
_MEAN_COUNT_A_BIN = 10
_MOST_BINS = 100
_KS_FROM_S = 1e-6


@dataclass(frozen=True, slots=True)
class Moments:
    """Tokens over the requests of a class."""

    mean_tok: float
    sd_tok: float
    p50_tok: float
    p95_tok: float
    max_tok: int


@dataclass(frozen=True, slots=True)
class RealisedClass:
    """One class of a stage. asked_in, asked_out: None where lengths are not controlled."""

    class_index: int
    num_requests: int
    share_ratio: float
    asked_in: Moments | None
    asked_out: Moments | None


@dataclass(frozen=True, slots=True)
class RealisedStage:
    """One stage. The arrival figures are None for closed stages and where there are too few.

    cv: standard deviation of the gaps over their mean; exactly 0 where gaps differ by no more than
    2 ns, since both ends of each are rounded to whole ns.  dispersion: variance over mean of the
    counts in equal bins (1 for Poisson).  ks_p: two-sided Kolmogorov-Smirnov p-value of the gaps
    against the asked law, D = sup |F_n - F|, after the ramp is undone; the law's parameters are
    asked, not fitted, so the exact distribution of D holds. Gaps below a microsecond count as one.
    None for constant and trace.
    """

    index: int
    name: str
    kind: str
    num_requests: int
    window_s: float
    req_per_s: float | None
    asked_req_per_s: float | None
    asked_cv: float | None
    cv: float | None
    dispersion: float | None
    ks_p: float | None
    classes: tuple[RealisedClass, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def realised(schedule: Schedule) -> tuple[RealisedStage, ...]:
    """Every stage in order."""
    return tuple(_stage(stage) for stage in schedule.stages)


def _stage(stage: StageSchedule) -> RealisedStage:
    start_ns, end_ns = stage.warmup_ns, stage.warmup_ns + stage.window_ns
    is_open = stage.kind == "open"
    chosen = (stage.intended_ns >= start_ns) & (stage.intended_ns < end_ns)
    if not is_open:
        chosen = np.ones(len(stage), np.bool_)
    at_ns, window_s = stage.intended_ns[chosen], stage.window_ns / NS_PER_S
    law = stage.law
    profile = None
    if law is not None and law.t_s:
        profile = RateProfile(np.array(law.t_s), np.array(law.req_per_s))
    asked = None
    if profile is not None and window_s > 0:
        edges = profile.expected(np.array([start_ns, end_ns]) / NS_PER_S)
        asked = float(edges[1] - edges[0]) / window_s
    return RealisedStage(
        index=stage.index,
        name=stage.name,
        kind=stage.kind,
        num_requests=len(at_ns),
        window_s=window_s,
        req_per_s=len(at_ns) / window_s if is_open and window_s > 0 else None,
        asked_req_per_s=asked,
        asked_cv=law.cv if law is not None and profile is not None else None,
        cv=gap_cv(at_ns) if is_open else None,
        dispersion=dispersion_index(at_ns, start_ns, end_ns) if is_open else None,
        ks_p=_ks_p(at_ns, profile, law.cv) if law is not None and profile is not None else None,
        classes=_classes(stage, chosen),
    )


def gap_cv(at_ns: npt.NDArray[np.int64]) -> float | None:
    """Coefficient of variation of the gaps between ascending times; None below 3 times."""
    if len(at_ns) < _LEAST_FOR_CV:
        return None
    gaps = np.diff(at_ns)
    if int(gaps.max() - gaps.min()) <= 2:
        return 0.0
    return float(np.std(gaps) / np.mean(gaps))


def dispersion_index(at_ns: npt.NDArray[np.int64], start_ns: int, end_ns: int) -> float | None:
    """Variance over mean of the counts in equal bins of about ten arrivals; None below 20."""
    if len(at_ns) < _LEAST_FOR_LAW or end_ns <= start_ns:
        return None
    bins = min(_MOST_BINS, len(at_ns) // _MEAN_COUNT_A_BIN)
    counts, _ = np.histogram(at_ns, bins=bins, range=(start_ns, end_ns))
    return float(np.var(counts, ddof=1) / np.mean(counts))


def _ks_p(at_ns: npt.NDArray[np.int64], profile: RateProfile, cv: float) -> float | None:
    if cv == 0 or len(at_ns) < _LEAST_FOR_LAW:
        return None
    from scipy import stats  # heavy, and `harness --help` must not wait for it

    gaps = np.sort(np.diff(profile.expected(at_ns / NS_PER_S)))
    shape, count = 1 / cv**2, len(gaps)
    # times are whole ns: bursty gaps pile up at 0, where the law has none. Looking for D only from
    # a microsecond on makes it smaller, never larger, so the test stays valid.
    floor = float(profile.req_per_s.max()) * _KS_FROM_S
    seen = np.searchsorted(gaps, floor)
    points = np.append(floor, gaps[seen:])
    law = stats.gamma(shape, scale=1 / shape).cdf(points)
    rank = np.arange(seen, count + 1) / count
    d = max(float(np.max(rank - law)), float(np.max(law[1:] - rank[:-1], initial=0.0)))
    return float(stats.kstwo.sf(max(d, float(law[0] - rank[0])), count))


def _classes(stage: StageSchedule, chosen: BoolArray) -> tuple[RealisedClass, ...]:
    found, total = [], max(1, int(chosen.sum()))
    for index in np.unique(stage.class_id).tolist():
        mine = chosen & (stage.class_id == index)
        count = int(mine.sum())
        asked_in, asked_out = stage.asked_in[mine], stage.asked_out[mine]
        found.append(
            RealisedClass(index, count, count / total, _moments(asked_in), _moments(asked_out))
        )
    return tuple(found)


def _moments(tokens: npt.NDArray[np.int32]) -> Moments | None:
    known = tokens[tokens > 0]
    if not len(known):
        return None
    p50, p95 = np.quantile(known, [0.5, 0.95])
    return Moments(
        float(np.mean(known)), float(np.std(known)), float(p50), float(p95), int(known.max())
    )
