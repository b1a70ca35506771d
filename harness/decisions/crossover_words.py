"""The cost analyst's sentences: answer, interval, what it rests on. Built from estimates only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.decisions.crossover import Crossover
from harness.decisions.headline import Headline
from harness.decisions.point_cost import PointCost
from harness.decisions.question import Band, Question
from harness.decisions.wording import amount, interval
from harness.estimate import Estimate, Outcome
from harness.units import significant

_FLEETS = {"autoscaled": "an autoscaled fleet", "fixed": "a fixed fleet"}


class Assumption(NamedTuple):
    """One thing the answer rests on: what, its value, where it is from."""

    what: str
    value: str
    source: str


def per_day(tok_per_h: float) -> str:
    """`410 Mtok/day`, `1.2 Gtok/day`."""
    if math.isinf(tok_per_h):
        return "no traffic"
    mtok = tok_per_h * 24 / 1e6
    return f"{significant(mtok / 1e3)} Gtok/day" if mtok >= 1e4 else f"{significant(mtok)} Mtok/day"


def usd(value: float) -> str:
    """`$126`, `$0.667`, `-$3.20`; `no bound` where there is none."""
    if math.isinf(value):
        return "no bound"
    return f"{'-' if value < 0 else ''}${significant(abs(value))}"


def usd_span(low: float, high: float) -> str:
    """`$35.0 to $138`; says so where an end is missing."""
    if math.isinf(high):
        return "open" if math.isinf(low) else f"{usd(low)} or more"
    return f"{usd(high)} or less" if math.isinf(low) else f"{usd(low)} to {usd(high)}"


def sentences(found: Crossover, question: Question) -> tuple[Headline, ...]:
    """One on the crossing, one on the user's traffic where there is one."""
    tariff, capacity = question.tariff, question.capacity
    how = "measured" if capacity.is_measured else "simulated"
    basis = (
        f"[prices of {tariff.as_of}; capacity {amount(capacity.estimate.value, 'req/s')} a replica"
        f" within the SLO, {how}; traffic {question.traffic.name}; {_FLEETS[found.scaling]}]"
    )
    own = found.at_traffic
    is_open = "inconclusive" if found.outcome is Outcome.INCONCLUSIVE else ""
    answer, detail = crossing_words(found, ends(found.required), ends(found.asked))
    first = Headline(answer, f"{detail} {basis}", "" if own else is_open)
    if own is None:
        return (first,)
    return (first, Headline(*saving_words(own.tok_per_h, ends(own.saving)), is_open))


def ends(e: Estimate) -> Band:
    """low, value, high of an estimate that has all three."""
    assert e.low is not None
    assert e.value is not None
    assert e.high is not None
    return e.low, e.value, e.high


def crossing_words(found: Crossover, required: Band, crossing: Band) -> tuple[str, str]:
    """The answer and its interval, for the prices of `required` and `crossing`."""
    need = f"{amount(required[1], 'ratio')} of the measured capacity"
    least = required[0] if required[0] > 1e-6 else 0.0  # of a capacity without an upper end
    told = f"({interval(least, required[2], 'ratio')})"
    if required[0] > 1:
        return "On-demand never becomes cheaper at this SLO:", f"it would need {need} {told}."
    if required[2] > 1:
        return (
            "Whether on-demand ever becomes cheaper is open:",
            f"it would need {need} {told}. Measure the capacity more closely.",
        )
    if math.isinf(crossing[1]) and math.isfinite(crossing[0]):
        return (
            "Whether on-demand ever becomes cheaper for good is open:",
            f"it would have to use {need} {told}; {_FLEETS[found.scaling]}, loaded to"
            f" {amount(found.load_target, 'ratio')}, uses at most {amount(found.reach, 'ratio')} of"
            f" what it pays for. From {per_day(crossing[0])} on, if at all.",
        )
    if math.isinf(crossing[1]):
        return (
            "On-demand never becomes cheaper for good with this fleet and traffic:",
            f"it would have to use {need} {told}; {_FLEETS[found.scaling]}, loaded to"
            f" {amount(found.load_target, 'ratio')}, uses at most {amount(found.reach, 'ratio')} of"
            " what it pays for.",
        )
    low, value, high = (per_day(t) for t in crossing)
    above = f"On-demand is cheaper than serverless above {value}"
    if math.isinf(crossing[2]):
        return above, f"(95% CI from {low}, without an upper end)."
    return above, f"(95% CI {low} to {high})."


def saving_words(tok_per_h: float, saving: Band) -> tuple[str, str]:
    """Who is cheaper at this traffic. saving: what serverless saves, USD/h."""
    low, value, high = (24 * x for x in saving)
    if low <= 0 <= high:
        return (
            f"At your {per_day(tok_per_h)} the two are too close to tell:",
            f"on-demand less serverless is {usd(value)}/day (95% CI {usd_span(low, high)}).",
        )
    who = "serverless"
    if high < 0:
        who, (low, value, high) = "on-demand", (-high, -value, -low)
    return (
        f"At your {per_day(tok_per_h)} {who} saves {usd(value)}/day",
        f"(95% CI {usd_span(low, high)}).",
    )


def token_sentence(costs: Sequence[PointCost]) -> Headline | None:
    """Where a good token was cheapest, by tariff; None where none was measured."""
    told = []
    for side, how in (("on_demand", "on demand"), ("serverless", "serverless")):
        own = [c for c in costs if c.side == side and c.usd_per_good_mtok.is_reached]
        if own:
            best = min(own, key=lambda c: c.usd_per_good_mtok.value or math.inf)
            low, value, high = (
                x if x is not None else math.inf
                for x in (
                    best.usd_per_good_mtok.low, best.usd_per_good_mtok.value,
                    best.usd_per_good_mtok.high,
                )
            )  # fmt: skip
            span = "no 95% interval" if math.isinf(low) else f"95% CI {usd_span(low, high)}"
            where = f" at {best.name}" if len(costs) > 1 else ""
            told.append((usd(value), f"({span}) {how}{where}"))
    if not told:
        return None
    first, *rest = told
    more = "".join(f", {value} {how}" for value, how in rest)
    best_of = ", the cheapest point measured" if len(costs) > 1 else ""
    return Headline(f"A million good tokens cost {first[0]}", f"{first[1]}{more}{best_of}.")


def assumptions(found: Crossover, question: Question, source: str) -> list[Assumption]:
    """All the answer rests on. source: of the traffic."""
    mix, tariff, fleet = question.mix, question.tariff, question.fleet
    blend = usd(found.serverless_usd_per_mtok)
    group = fleet.price.times(fleet.gpus_per_replica)
    price = usd(group.low) if not group.is_range else f"{usd(group.low)} to {usd(group.high)}"
    capacity = question.capacity.estimate
    per_h = (capacity.value or 0.0) * mix.tok * 3600 / 1e6
    measured = question.capacity.source
    rows = [
        Assumption("serverless price", f"{blend} per Mtok of this mix",
                   f"sheet {tariff.sheet} of {tariff.as_of}, row {tariff.row}"),
        Assumption("request", f"{significant(mix.input_tok)} tokens in,"
                   f" {significant(mix.output_tok)} out",
            "measured" if question.capacity.is_measured else "of the traffic that is planned for",
        ),
        Assumption("cached input", amount(mix.cached_share, "ratio"),
                   "of input tokens, billed as cached"),
        Assumption("batch share", amount(mix.batch_share, "ratio"), "of requests, given"),
        Assumption("replica", f"{fleet.gpus_per_replica} x {fleet.gpu} at {price}/h in all",
                   f"sheet {tariff.sheet} of {tariff.as_of}"),
        Assumption("capacity of a replica", f"{amount(capacity.value, 'req/s')}"
                   f" ({interval(capacity.low, capacity.high, 'req/s')}), {significant(per_h)}"
                   " Mtok/h", measured),
        Assumption("fleet", f"{found.scaling}, loaded to {amount(fleet.load_target, 'ratio')} of"
                   f" the capacity, {fleet.spare} spare", "given"),
        Assumption("traffic", _traffic(question), source),
        Assumption("not counted", "cold starts, egress, storage", "add them where they are billed"),
    ]  # fmt: skip
    if capacity.high is None:
        rows.append(Assumption("capacity above", "not measured", "the crossing may lie lower"))
    unused = ["cached_input: "] * (mix.cached_share == 0) + ["batch: "] * (mix.batch_share == 0)
    rows += [Assumption("doubt", why, "capacity") for why in question.capacity.doubts]
    doubts = [why for why in tariff.doubts if not why.startswith(tuple(unused))]
    return [*rows, *(Assumption("doubt", why, tariff.sheet) for why in doubts)]


def _traffic(question: Question) -> str:
    traffic = question.traffic
    if traffic.mean_req_per_s is None:
        return traffic.name
    peak = float(traffic.shape.max())
    mean = amount(traffic.mean_req_per_s, "req/s")
    return f"{traffic.name}: {mean} on average, at most {peak:.3g} times that"
