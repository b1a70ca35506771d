"""Everything availability can say of one load, in one place: reports and summary.json print this.

Three definitions side by side, the error budget, what the sample can and cannot show, burn-rate
alerts, credits due, and what redundancy would buy. Decides no rule: the verdict on the objective is
uptime.py's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any

from scipy import special

from harness.analysis import Uptime
from harness.decisions.burn_rate import Alert, burn_alerts
from harness.decisions.redundancy import Fleet, fleet, least_fleet, regions_down
from harness.decisions.sla import Availability, Credit, availability, credit_due
from harness.scenario.advice import windows_needed
from harness.scenario.sla import MONTH_S, Redundancy, Sla
from harness.scenario.slo import UptimeLimit
from harness.units import format_seconds, write_share

NINES = (0.99, 0.999, 0.9999)


@dataclass(frozen=True, slots=True)
class Budget:
    """The error budget of the objective, in down windows, and projected to 30 days.

    allowed_windows: of the windows measured.  spent_ratio: of that budget.  month_s: allowed in 30
    days.  projected_s: down in 30 days at the rate of outages seen, low and high by the exact
    Poisson interval of their number times their mean length.
    """

    objective: float
    allowed_windows: float
    num_down: int
    spent_ratio: float
    month_s: float
    projected_s: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Needed:
    """Windows from which as few down ones as were seen demonstrate the objective."""

    objective: float
    at_95: int
    at_99: int


@dataclass(frozen=True, slots=True)
class Spare:
    """fleets: from no spare on.  least: the fewest replicas that reach the objective.

    regions_down: share of time without any region, one region being the fleet without a spare.
    """

    setting: Redundancy
    each: float
    fleets: tuple[Fleet, ...]
    least: Fleet | None
    regions_down: float | None


@dataclass(frozen=True, slots=True)
class UptimeFacts:
    """Of one load on one target. Everything that needs an objective is empty without one."""

    uptime: Uptime
    definitions: tuple[Availability, ...]
    shows: str
    needed: tuple[Needed, ...]
    budget: Budget | None = None
    alerts: tuple[Alert, ...] = ()
    credit: Credit | None = None
    spare: Spare | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        sla = self.credit
        return {
            "name": self.uptime.name,
            "window_s": self.uptime.window_s,
            "num_windows": self.uptime.num_seen,
            "num_down": self.uptime.num_down,
            "num_empty": self.uptime.num_empty,
            "definitions": [asdict(d) for d in self.definitions],
            "shows": self.shows,
            "not_observed": not_observed(self.uptime),
            "gaps_s": list(self.uptime.gaps_s),
            "needed": [asdict(n) for n in self.needed],
            "budget": asdict(self.budget) if self.budget else None,
            "alerts": [
                {**asdict(a), "answer": a.answer, "fired": [list(span) for span in a.fired]}
                for a in self.alerts
            ],
            "credit": sla and {
                "sla": sla.sla.name, "definition": sla.sla.definition,
                "credit_ratio": sla.credit, "least_ratio": sla.least, "most_ratio": sla.most,
                "sentence": sla.sentence,
            },
            "redundancy": self.spare and {
                "availability_of_one": self.spare.each,
                "fleets": [{**asdict(f), "cost_ratio": f.cost_ratio} for f in self.spare.fleets],
                "least": self.spare.least and asdict(self.spare.least),
                "regions": self.spare.setting.regions,
                "common_cause": self.spare.setting.common_cause,
                "regions_down_ratio": self.spare.regions_down,
            },
        }  # fmt: skip


def uptime_facts(uptime: Uptime, limit: UptimeLimit | None) -> UptimeFacts:
    """limit: of the SLO, None where it names no uptime."""
    kinds = ("windows", "requests", "mean")
    known = tuple(availability(kind, uptime.windows, uptime.good) for kind in kinds)
    facts = UptimeFacts(uptime, known, what_it_shows(uptime), _needed(uptime))
    if limit is None or not 0 < limit.objective < 1:
        return facts
    sla = limit.sla if isinstance(limit.sla, Sla) else None
    return UptimeFacts(
        uptime, known, facts.shows, facts.needed, _budget(uptime, limit.objective),
        burn_alerts(uptime.windows, uptime.window_s, limit.objective),
        credit_due(sla, uptime) if sla else None,
        _spare(limit.redundancy, known[1].value, limit.objective) if limit.redundancy else None,
    )  # fmt: skip


def what_it_shows(uptime: Uptime) -> str:
    """One sentence: between which shares uptime lies, which nines that supports, refutes, and
    which it cannot tell."""
    n, k, bound = uptime.num_seen, uptime.num_down, uptime.bound
    if not n or bound.low is None:
        return "No whole window with a request: this measurement shows nothing about uptime."
    own = (uptime.objective,) if uptime.objective and uptime.objective < 1 else ()
    asked = sorted({*NINES, *own})
    high = 1.0 if bound.high is None else bound.high
    low = bound.low
    shown = [write_share(o) for o in asked if low >= o - 1e-12]
    refuted = [write_share(o) for o in asked if high < o]
    parts = [
        f"{n:,} windows, {k:,} of them down, show that uptime is at least {_bound(low, ROUND_UP)}"
        + (f" and at most {_bound(high, ROUND_DOWN)}" if k else "")
        + (" (95% confidence each)" if k else " (95% confidence)")
    ]
    parts += [f"they refute {' and '.join(refuted)}"] if refuted else []
    parts += [f"they support {' and '.join(shown)}"] if shown else []
    open_ = [o for o in asked if low < o - 1e-12 and high >= o]
    if open_:
        first = open_[0]
        told = f"they cannot tell {' or '.join(write_share(o) for o in open_)}"
        if k / n < 1 - first:
            size = windows_needed(first, k)
            time = format_seconds(size * uptime.window_s)
            down = "none" if not k else f"no more than {k:,}"
            told += (
                f": {write_share(first)} takes {size:,} windows ({time}) with {down} down"
                if size > n
                else f": outages cluster, so that {n:,} windows count as {bound.n_eff:,.0f}"
            )
        parts.append(told)
    if uptime.objective is not None and _is_month_lost(uptime, uptime.objective):
        allowed = format_seconds((1 - uptime.objective) * MONTH_S)
        parts.append(
            f"they were down for longer than {write_share(uptime.objective)} allows in 30 days"
            f" ({allowed}), which whatever the rest of a month is like cannot make good"
        )
    return "; ".join(parts) + "."


def _is_month_lost(uptime: Uptime, objective: float) -> bool:
    """Whether the down windows alone are more than a month of windows may hold: no statistics, as
    long as all of them lie in one."""
    if not uptime.windows or not 0 < objective < 1:
        return False
    span_s = uptime.windows[-1].start_s + uptime.window_s - uptime.windows[0].start_s
    down_s = uptime.num_down * uptime.window_s
    return span_s <= MONTH_S and down_s > (1 - objective) * MONTH_S + 1e-6


def not_observed(uptime: Uptime) -> str:
    """What lies between the parts, and what became of those that were cut short; else empty."""
    told = []
    gap_s = sum(uptime.gaps_s)
    if gap_s > 0:
        longest = format_seconds(max(uptime.gaps_s))
        told.append(
            f"Between its {uptime.num_parts:,} parts {format_seconds(gap_s)} were not observed,"
            f" {longest} at a stretch at most: neither up nor down."
        )
    if uptime.num_cut:
        told.append(
            f"{uptime.num_cut:,} of them {'was' if uptime.num_cut == 1 else 'were'} cut short and"
            " measured again: what was seen before counts."
        )
    told += [f"A part that was cut short does not count: {why}." for why in uptime.left_out]
    return " ".join(told)


def _bound(share: float, rounding: str) -> str:
    """A bound as a percentage, never rounded to the side that says more: two digits of what is
    missing to 100 %, rounded up for "at least"."""
    missing = Decimal(repr(max(0.0, 1 - share))) * 100
    if not missing:
        return "100%"
    step = Decimal(1).scaleb(missing.adjusted() - 1)
    # 1e-9 of a step is what binary fractions are off
    exact = (missing / step).quantize(Decimal("1e-9")).to_integral_value(rounding) * step
    return f"{(100 - exact).normalize():f}%"


def exceed_p(num_bad: float, n: float, allowed: float) -> float:
    """P(X >= num_bad) of Binomial(n, allowed): how likely an honest `allowed` looks this bad.

    Counts may be divided by a design effect first, so they need not be whole.
    """
    if num_bad <= 0:
        return 1.0
    if num_bad > n:
        return 0.0
    return float(special.betainc(num_bad, n - num_bad + 1, allowed))


def _needed(uptime: Uptime) -> tuple[Needed, ...]:
    k = uptime.num_down
    own = (uptime.objective,) if uptime.objective and uptime.objective < 1 else ()
    return tuple(
        Needed(o, windows_needed(o, k), windows_needed(o, k, 0.99))
        for o in sorted({*NINES, *own})
        if o > 0
    )


def _budget(uptime: Uptime, objective: float) -> Budget:
    allowed = (1 - objective) * uptime.num_seen
    spent = uptime.num_down / allowed if allowed else 0.0
    projected = _projected(uptime)
    return Budget(objective, allowed, uptime.num_down, spent, (1 - objective) * MONTH_S, projected)


def _projected(uptime: Uptime) -> tuple[float, float, float]:
    """Down time of 30 days; outages are the unit, since failures cluster."""
    measured_s = uptime.num_seen * uptime.window_s
    if not measured_s:
        return 0.0, 0.0, MONTH_S
    k = len(uptime.outages)
    down_s = sum(o.num_windows for o in uptime.outages) * uptime.window_s
    each_s = down_s / k if k else uptime.window_s  # none seen: one would last a window at least
    # exact Poisson interval (Garwood 1936) by the gamma quantiles
    low = float(special.gammaincinv(k, 0.025)) if k else 0.0
    high = float(special.gammaincinv(k + 1, 0.975))
    scale = each_s * MONTH_S / measured_s
    return k * scale, low * scale, min(MONTH_S, high * scale)


def _spare(setting: Redundancy, measured: float | None, objective: float) -> Spare | None:
    each = setting.availability if setting.availability is not None else measured
    if each is None:
        return None
    needed = setting.replicas_needed
    fleets = tuple(fleet(needed + extra, needed, each) for extra in range(4))
    down = None
    if setting.regions > 1 and setting.common_cause is not None:
        down = regions_down(1 - fleets[0].availability, setting.regions, setting.common_cause)
    return Spare(setting, each, fleets, least_fleet(needed, each, objective), down)
