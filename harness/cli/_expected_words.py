"""Bills that are expected, in the words of `harness expand`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.units import significant

if TYPE_CHECKING:
    from harness.cli._gate_plan import GatePlan
    from harness.cli._search_size import SearchSize
    from harness.decisions.expected_cost import Expected


def usd(value: float | None) -> str:
    """Cents; below one cent what is there, so that a cheap run is no free one."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value >= 0.01 or value == 0 else significant(value)


def total_words(costs: Sequence[Expected]) -> str:
    """`, at least 0.39 USD`; empty without a cost block."""
    known = [cost.usd for cost in costs if cost.usd is not None]
    if not known:
        return ", the bill not known before" if costs else ""
    return f", {'at least ' * (len(known) < len(costs))}{usd(sum(known))} USD"


def unknown_lines(costs: Sequence[Expected]) -> list[str]:
    """A line a reason for which a bill is not known, with what a request or an hour costs."""
    lines = []
    for cost in costs:
        if not cost.why:
            continue
        each = "" if cost.usd_per_req is None else f"; one costs {significant(cost.usd_per_req)}"
        if cost.usd_per_s is not None:
            each = f"; an hour of it costs {significant(3600 * cost.usd_per_s)}"
        lines.append(f"USD not known before: {cost.why}{each}{' USD' * bool(each)}")
    return list(dict.fromkeys(lines))


def block_lines(costs: Sequence[Expected], plan: GatePlan) -> list[str]:
    """The bill of all blocks, from the first look to the last. costs: of one block's runs."""
    known = [cost.usd for cost in costs if cost.usd is not None]
    if not known:
        return []
    least, most = (usd(sum(known) * look.k) for look in (plan.looks[0], plan.looks[-1]))
    at_least = "at least " * (len(known) < len(costs))
    span = least if least == most else f"{least} to {most}"
    return [f"  cost: {at_least}{span} USD ({usd(sum(known))} a block)"]


def window_lines(costs: Sequence[Expected], search: SearchSize) -> list[str]:
    """All windows of a search at the cheapest rate that is shown, and at the dearest."""
    known = [cost.usd for cost in costs if cost.usd is not None]
    if not known or len(known) < len(costs):
        return []
    least = min(known) * search.least_windows * search.num_targets
    most = max(known) * search.most_windows * search.num_targets
    return [f"cost: {usd(least)} to {usd(most)} USD, by which rates are visited"]
