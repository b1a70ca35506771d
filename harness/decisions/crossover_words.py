"""The cost analyst's sentences: answer, interval, what it rests on. Built from estimates only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.decisions.crossover import Crossover
from harness.decisions.headline import Headline
from harness.decisions.point_cost import PointCost
from harness.decisions.prices import Mix
from harness.decisions.question import Band, Question
from harness.decisions.simulated_fleet import FleetDay
from harness.decisions.traffic_unit import UNITS
from harness.decisions.wording import amount, between, interval
from harness.estimate import Estimate, Outcome
from harness.units import brief, significant

_FLEETS = {
    "autoscaled": "an autoscaled fleet", "fixed": "a fixed fleet",
    "committed": "an autoscaled fleet, partly committed", "to_zero": "a fleet that scales to zero",
}  # fmt: skip


# what a price is of, and many of them
_PRICED = {"tok": "Mtok", "audio_min": "minute of audio", "req": "1,000 requests"}
_MANY = _PRICED | {"audio_min": "minutes of audio"}
FLEET_NAMES = {
    "autoscaled": "autoscaled", "fixed": "fixed for the peak", "committed": "partly committed",
    "to_zero": "scaled to zero", "autoscaled_good": "autoscaled, each good one",
}  # fmt: skip


class Assumption(NamedTuple):
    """One thing the answer rests on: what, its value, where it is from."""

    what: str
    value: str
    source: str


def per_day(per_h: float, unit: str = "tok") -> str:
    """`410 Mtok/day`, `12.0 Gtok/day`, `2,400 tok/day`, `1,200 minutes of audio/day`."""
    if math.isinf(per_h):
        return "no traffic"
    if unit != "tok":
        return f"{significant(24 * per_h)} {UNITS[unit].noun}/day"
    mtok = per_h * 24 / 1e6
    if mtok >= 1e4:
        return f"{significant(mtok / 1e3)} Gtok/day"
    return f"{significant(mtok)} Mtok/day" if mtok >= 0.01 else f"{significant(24 * per_h)} tok/day"


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


def crossing_span(e: Estimate, unit: str = "tok") -> tuple[str, str]:
    """A crossing for a table: `166 Mtok/day`, `  (95% CI ...)`."""
    low, value, high = ends(e)
    if math.isinf(low):
        return "never", ""
    if high == 0:
        return "any traffic", ""
    told = "never for good" if math.isinf(value) else per_day(value, unit)
    least, most = per_day(low, unit), per_day(high, unit)
    if math.isinf(high):
        return told, f"  (95% CI from {least}, without an upper end)"
    if least == told == most:
        return told, "  (in every draw)"
    return told, f"  (95% CI {between(least, most)})"


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
    doubted = _doubted(question)
    if own is None:
        return (first, doubted) if doubted is not None else (first,)
    second = Headline(*saving_words(own.units_per_h, ends(own.saving), found.unit), is_open)
    more = (day_words(found), doubted)
    return (first, second, *(line for line in more if line is not None))


def _doubted(question: Question) -> Headline | None:
    """Why no answer is sure; None where nothing speaks against it."""
    doubts = question.capacity.doubts
    if not doubts:
        return None
    return Headline("None of this is sure:", f"{'; '.join(doubts)}.", "inconclusive")


def day_words(found: Crossover) -> Headline | None:
    """What the simulated fleet pays for and keeps at the user's traffic; None without a twin."""
    own, twin = found.at_traffic, found.simulated
    if own is None or own.day is None or twin is None:
        return None
    day, zero = own.day, own.zero
    if found.scaling == "to_zero" and zero is not None:
        is_short = 1 - zero.miss_share < twin.attainment
        return Headline(
            f"Cold starts make {amount(zero.miss_share, 'ratio')} of requests late there",
            f"[{amount(twin.attainment, 'ratio')} good are asked; the last replica sleeps:"
            f" {brief(zero.wakes_per_h)} wakes an hour, up {amount(zero.up_share, 'ratio')} of the"
            " time].",
            "inconclusive" if is_short and found.outcome is Outcome.INCONCLUSIVE else "",
        )
    if twin.how == "fluid":
        return _fluid_words(day, twin.attainment, found.outcome)
    is_short = day.good_ratio < twin.attainment
    late = f", {amount(day.late_ratio, 'ratio')} late for a cold start" if day.late_ratio else ""
    return Headline(
        f"The autoscaled fleet keeps {amount(day.good_ratio, 'ratio')} of requests good there",
        f"[{amount(twin.attainment, 'ratio')} asked; simulated on the twin: {_day_of(day)}{late}].",
        "inconclusive" if is_short and found.outcome is Outcome.INCONCLUSIVE else "",
    )


def _day_of(day: FleetDay) -> str:
    paid, starts = brief(day.paid), brief(day.starts_per_day)
    return (
        f"{paid} replica{'s' * (paid != '1')} paid on average, {starts} cold"
        f" start{'s' * (starts != '1')} a day"
    )


def _fluid_words(day: FleetDay, attainment: float, outcome: Outcome) -> Headline:
    """What rates alone can tell of the autoscaled fleet."""
    is_short = day.good_ratio < attainment
    late = f"too small for {amount(day.late_ratio, 'ratio')} of requests"
    return Headline(
        f"The autoscaled fleet is {late if day.late_ratio else 'never too small'} there",
        f"[{amount(attainment, 'ratio')} good are asked; the policy on the rates of the day,"
        f" without single requests: {_day_of(day)}].",
        "inconclusive" if is_short and outcome is Outcome.INCONCLUSIVE else "",
    )


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
    if math.isinf(required[2]):
        told = f"(95% CI {amount(least, 'ratio')} or more)"
    if math.isinf(required[1]):
        return (
            "On-demand never becomes cheaper:",
            "its egress alone costs more than serverless does.",
        )
    if required[0] > 1:
        return "On-demand never becomes cheaper at this SLO:", f"it would need {need} {told}."
    if required[2] > 1 and math.isfinite(crossing[0]):
        return (
            "Whether on-demand ever becomes cheaper is open:",
            f"it would need {need} {told}. Measure the capacity more closely.",
        )
    if crossing[2] == 0:
        return "On-demand is cheaper than serverless at any traffic", "with these prices."
    if math.isinf(crossing[1]) and math.isfinite(crossing[0]):
        return (
            "Whether on-demand ever becomes cheaper for good is open:",
            f"it would have to use {need} {told}; {_FLEETS[found.scaling]}, loaded to"
            f" {amount(found.load_target, 'ratio')}, uses at most {amount(found.reach, 'ratio')} of"
            f" what it pays for. From {per_day(crossing[0], found.unit)} on, if at all.",
        )
    if math.isinf(crossing[1]):
        return (
            "On-demand never becomes cheaper for good with this fleet and traffic:",
            f"it would have to use {need} {told}; {_FLEETS[found.scaling]}, loaded to"
            f" {amount(found.load_target, 'ratio')}, uses at most {amount(found.reach, 'ratio')} of"
            " what it pays for.",
        )
    low, value, high = (per_day(t, found.unit) for t in crossing)
    above = f"On-demand is cheaper than serverless above {value}"
    if math.isinf(crossing[2]):
        return above, f"(95% CI from {low}, without an upper end)."
    if low == value == high:
        return above, "(in every draw of capacity and prices)."
    return above, f"(95% CI {between(low, high)})."


def saving_words(per_h: float, saving: Band, unit: str = "tok") -> tuple[str, str]:
    """Who is cheaper at this traffic. saving: what serverless saves, USD/h."""
    low, value, high = (24 * x for x in saving)
    if low <= 0 <= high:
        return (
            f"At your {per_day(per_h, unit)} the two are too close to tell:",
            f"on-demand less serverless is {usd(value)}/day (95% CI {usd_span(low, high)}).",
        )
    who = "serverless"
    if high < 0:
        who, (low, value, high) = "on-demand", (-high, -value, -low)
    return (
        f"At your {per_day(per_h, unit)} {who} saves {usd(value)}/day",
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
            if math.isfinite(low) and usd(low) == usd(high):
                span = "in every draw" if side == "on_demand" else "by the sheet"
            where = f" at {best.name}" if len(costs) > 1 else ""
            told.append((usd(value), f"({span}) {how}{where}"))
    if not told:
        return _minute_sentence(costs)
    first, *rest = told
    more = "".join(f", {value} {how}" for value, how in rest)
    best_of = ", the cheapest point measured" if len(costs) > 1 else ""
    return Headline(f"A million good tokens cost {first[0]}", f"{first[1]}{more}{best_of}.")


def _minute_sentence(costs: Sequence[PointCost]) -> Headline | None:
    """What a minute of audio cost where nothing but audio was sent."""
    own = [c for c in costs if c.usd_per_audio_min is not None and c.usd_per_audio_min.is_reached]
    if not own:
        return None
    best = min(own, key=lambda c: c.usd_per_audio_min.value or math.inf)  # type: ignore[union-attr]
    e = best.usd_per_audio_min
    assert e is not None
    assert e.value is not None
    if best.side == "serverless":
        return Headline(f"A minute of audio costs {usd(e.value)}", "serverless, by the sheet.")
    ends = (e.low, e.high)
    span = "no 95% interval" if None in ends else f"95% CI {usd_span(ends[0], ends[1])}"  # type: ignore[arg-type]
    return Headline(f"A minute of audio costs {usd(e.value)}", f"({span}) on demand.")


def assumptions(found: Crossover, question: Question, source: str) -> list[Assumption]:
    """All the answer rests on. source: of the traffic."""
    mix, tariff, fleet = question.mix, question.tariff, question.fleet
    blend, unit = usd(found.serverless_usd_per_priced), question.unit
    group = fleet.price.times(fleet.gpus_per_replica)
    price = usd(group.low) if not group.is_range else f"{usd(group.low)} to {usd(group.high)}"
    capacity = question.capacity.estimate
    per_h = (capacity.value or 0.0) * question.units_per_req * 3600 / unit.in_price
    measured = question.capacity.source
    rows = [
        Assumption("serverless price", f"{blend} per {_PRICED[unit.id]} of this mix",
                   f"sheet {tariff.sheet} of {tariff.as_of}, row {tariff.row}"),
        Assumption("request", _request(mix),
            "measured" if question.capacity.is_measured else "of the traffic that is planned for",
        ),
        Assumption("cached input", amount(mix.cached_share, "ratio"),
                   "of input tokens, billed as cached" if tariff.has_cached_price else
                   "of input tokens, billed as any other: the row has no price of them"),
        Assumption("batch share", amount(mix.batch_share, "ratio"),
                   f"of requests, given{_batch(question)}"),
        Assumption("replica", f"{fleet.gpus_per_replica} x {fleet.gpu} at {price}/h in all",
                   f"sheet {tariff.sheet} of {tariff.as_of}"),
        Assumption("capacity of a replica", f"{amount(capacity.value, 'req/s')}"
                   f" ({interval(capacity.low, capacity.high, 'req/s')}), {significant(per_h)}"
                   f" {_MANY[unit.id]}/h", measured),
        Assumption("fleet", f"{found.scaling}, loaded to {amount(fleet.load_target, 'ratio')} of"
                   f" the capacity, {fleet.spare} spare", "given"),
        Assumption("autoscaler", *_autoscaler(found, question)),
        Assumption("traffic", _traffic(question), source),
        *_bill(question),
    ]  # fmt: skip
    if not mix.input_tok:
        rows = [row for row in rows if row.what != "cached input"]
    if capacity.high is None:
        rows.append(Assumption("capacity above", "not measured", "the crossing may lie lower"))
    unused = ["cached_input: "] * (mix.cached_share == 0) + ["batch: "] * (mix.batch_share == 0)
    rows += [Assumption("doubt", why, "capacity") for why in question.capacity.doubts]
    doubts = [why for why in tariff.doubts if not why.startswith(tuple(unused))]
    return [*rows, *(Assumption("doubt", why, tariff.sheet) for why in doubts)]


def _request(mix: Mix) -> str:
    """`1,000 tokens in, 100 out`, `0.200 minutes of audio`: what an average one has."""
    tokens = f"{significant(mix.input_tok)} tokens in, {significant(mix.output_tok)} out"
    minutes = f"{significant(mix.audio_min)} minutes of audio"
    parts = [tokens] * (mix.tok > 0 or not mix.audio_min) + [minutes] * (mix.audio_min > 0)
    return ", ".join(parts)


def _batch(question: Question) -> str:
    """What the share is worth, where it is any."""
    off = question.tariff.batch_discount
    if question.mix.batch_share == 0:
        return ""
    if not off.high > 0:
        return "; the sheet has no batch discount"
    best = amount(off.high, "ratio")
    if not off.is_range:
        return f"; {best} off"
    return f"; up to {best} off: all of it at the point, none to all in the interval"


def _autoscaler(found: Crossover, question: Question) -> tuple[str, str]:
    """How the autoscaled fleet was found, and where that is from."""
    twin, fleet = found.simulated, question.fleet
    if twin is None:
        return (
            "each window has the replicas that it or the one before it needs: no delay, no request"
            " late for a cold start",
            "arithmetic; a twin-sweep's run simulates it",
        )
    least, most = twin.days[0].load, twin.days[-1].load
    if twin.how == "fluid":
        return (
            f"the vendor's policy on the rates of the busiest day, cold start"
            f" {amount(fleet.cold_start_s, 's')}; bursts of single requests are left out",
            "no twin; a twin-sweep's run simulates each request",
        )
    hours = min(d.span_s for d in twin.days) / 3600
    more = f"; arrivals: {twin.arrivals}" if twin.arrivals else ""
    if fleet.idle_s is not None and not twin.to_zero:
        more += "; scale to zero by Poisson's formula: the simulated policy waits 5 min at least"
    return (
        f"the vendor's policy, cold start {amount(fleet.cold_start_s, 's')}, over {hours:.3g} h or"
        f" more of the day at {len(twin.days)} scales, {brief(least)} to {brief(most)} replicas'"
        f" load; straight between, above as the last{more}",
        "simulated on the twin, request by request",
    )


def _bill(question: Question) -> tuple[Assumption, Assumption]:
    """What the on-demand bill holds, and what it does not."""
    fleet, spare = question.fleet, question.fleet.spare
    held, absent = ["GPU time from ready to gone"], ["storage and people"]
    if spare:
        held.append(f"{spare} spare replica{'s' * (spare != 1)} always up (N+{spare})")
    else:
        absent.append("spare replicas (spare_replicas: 1)")
    cold = f"cold starts, {amount(fleet.cold_start_s, 's')} each"
    if fleet.bill_cold_start:
        held.append(cold)
    else:
        absent.append("GPU time of cold starts (bill_cold_start: true)")
    if fleet.egress_usd_per_req > 0:
        held.append(f"egress, {usd(1000 * fleet.egress_usd_per_req)} a 1,000 requests")
    else:
        absent.append("egress (egress in the sheet, egress_per_request)")
    return (
        Assumption("in the on-demand bill", "; ".join(held), "cost.on_demand"),
        Assumption("not in it", "; ".join(absent), "add them where they are billed"),
    )


def _traffic(question: Question) -> str:
    traffic = question.traffic
    if traffic.mean_req_per_s is None:
        return traffic.name
    peak = float(traffic.shape.max())
    mean = amount(traffic.mean_req_per_s, "req/s")
    return f"{traffic.name}: {mean} on average, at most {peak:.3g} times that"
