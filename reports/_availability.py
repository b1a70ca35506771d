"""What availability can say of one load, as tables: figures, budget, alerts, credits, spares."""

from __future__ import annotations

from harness.decisions.burn_rate import Alert
from harness.decisions.sla import DEFINITIONS, Availability
from harness.decisions.uptime_facts import Budget, Spare, UptimeFacts, not_observed
from harness.decisions.wording import between
from harness.units import brief, significant, write_seconds, write_share
from reports._text import amount, plain_time
from reports.view import Align, Cell, Row, Table

_LEFT: Align = "left"
_RIGHT: Align = "right"
_LETTERS = {"windows": "W", "requests": "R", "mean": "A"}
MOST_SPANS = 5


def availability_tables(facts: UptimeFacts, suffix: str) -> list[Table]:
    """What an objective adds to the figures; those lead the report where there is one."""
    tables = [] if facts.budget is not None else [figures_table(facts, suffix)]
    if facts.alerts:
        tables.append(_alerts(facts, suffix))
    if facts.spare is not None:
        tables.append(_spares(facts.spare, suffix))
    return tables


def figures_table(facts: UptimeFacts, suffix: str) -> Table:
    uptime = facts.uptime
    rows = [_definition(a) for a in facts.definitions]
    rows.append(("outages", f"{len(uptime.outages):,}", ""))
    if uptime.mttr_s is not None:
        rows.append(("mean time to repair", amount(uptime.mttr_s, "s"), ""))
    burn = uptime.burn_rate
    if burn is not None:
        rows.append(("burn rate", brief(burn[0]), f"{brief(burn[1])} to {brief(burn[2])}"))
    rows += _budget(facts.budget) if facts.budget else []
    credit = facts.credit
    if credit is not None:
        value = "not known" if credit.credit is None else write_share(credit.credit)
        ends = "" if credit.least is None or credit.most is None else (
            between(write_share(credit.least), write_share(credit.most))
        )  # fmt: skip
        rows.append((f"credit due, {credit.sla.name}", value, ends))
    columns = (("availability", _LEFT), ("value", _RIGHT), ("95% interval", _RIGHT))
    note = (
        f"{facts.shows} The three definitions disagree on purpose: W is what the rule judges."
        " Burn rate is the share of down windows over what the objective allows: above 1 the error"
        " budget runs out."
    )
    if unseen := not_observed(uptime):
        note += f" {unseen}"
    if credit is not None:
        note += f" {credit.sentence}. [{credit.sla.as_of}: {credit.sla.source}]"
        note += f" In doubt: {credit.sla.doubt}." if credit.sla.doubt else ""
    return Table(
        f"uptime-table{suffix}", f"Availability of {uptime.name}", columns,
        tuple(
            Row(tuple(Cell(text) for text in row), f"uptime-{index}{suffix}")
            for index, row in enumerate(rows)
        ),
        note,
    )  # fmt: skip


def _definition(a: Availability) -> tuple[str, str, str]:
    name = f"{_LETTERS[a.definition]}: {DEFINITIONS[a.definition]}"
    ends = "" if a.low is None or a.high is None else (
        between(amount(a.low, "ratio"), amount(a.high, "ratio"))
    )  # fmt: skip
    return name, amount(a.value, "ratio"), ends


def _budget(budget: Budget) -> list[tuple[str, str, str]]:
    value, low, high = budget.projected_s
    objective = write_share(budget.objective)
    return [
        (
            f"error budget of {objective}, spent ({budget.num_down:,} of"
            f" {brief(budget.allowed_windows)} windows)",
            f"{significant(100 * budget.spent_ratio)}%",
            "",
        ),
        (f"{objective} allows in 30 days", _time(budget.month_s), ""),
        ("down in 30 days, as measured", _time(value), between(_time(low), _time(high))),
    ]


def _time(value_s: float) -> str:
    """Minutes, as budgets are spoken of; hours where those would be many."""
    if value_s < 120 * 60:
        return f"{significant(value_s / 60)} min"
    return f"{significant(value_s / 3600)} h"


def _alerts(facts: UptimeFacts, suffix: str) -> Table:
    columns = (
        ("alert", _LEFT), ("burns", _RIGHT), ("over", _LEFT), ("of a 30-day budget", _RIGHT),
        ("worst", _RIGHT), ("95% interval", _RIGHT), ("answer", _LEFT), ("fired at", _LEFT),
    )  # fmt: skip
    rows = tuple(
        Row(_alert(alert), f"burn-{index}{suffix}") for index, alert in enumerate(facts.alerts)
    )
    note = (
        "Burn rate of requests: bad over valid, over what the objective allows. An alert fires"
        " while both of its windows burn at its factor. The interval is that of the worst long"
        " window (Clopper-Pearson, requests of one outage counted as the few proofs they are), not"
        " of a maximum over many."
    )
    return Table(
        f"burn-alerts{suffix}", f"Burn-rate alerts of {facts.uptime.name}", columns, rows, note
    )


def _alert(alert: Alert) -> tuple[Cell, ...]:
    rule, peak = alert.rule, alert.peak
    over = f"{write_seconds(rule.long_s)} and {write_seconds(rule.short_s)}"
    spans = [
        f"{plain_time(begin)} to {plain_time(end)}" if end > begin else plain_time(begin)
        for begin, end in alert.fired[:MOST_SPANS]
    ]
    more = len(alert.fired) - len(spans)
    return (
        Cell(rule.name), Cell(f"{rule.factor:g}x", rule.factor), Cell(over),
        Cell(write_share(round(rule.budget_ratio, 4)), rule.budget_ratio),
        Cell(f"{brief(peak.value)}x", peak.value) if peak else Cell(""),
        Cell(f"{brief(peak.low)} to {brief(peak.high)}") if peak else Cell(""),
        Cell(alert.answer if peak else f"{alert.answer}: {alert.reason}"),
        Cell("; ".join(spans) + (f"; and {more} more" if more > 0 else "")),
    )  # fmt: skip


def _spares(spare: Spare, suffix: str) -> Table:
    needed = spare.setting.replicas_needed
    columns = (
        ("replicas", _RIGHT), ("at least as many up as needed", _RIGHT),
        ("short of that in 30 days", _RIGHT), ("cost", _RIGHT),
    )  # fmt: skip
    rows = tuple(
        Row(
            (
                Cell(f"{f.n:,}", float(f.n)), Cell(amount(f.availability, "ratio"), f.availability),
                Cell(_time((1 - f.availability) * 30 * 86_400)),
                Cell(f"{significant(f.cost_ratio)}x", f.cost_ratio),
            ),
            f"spare-{index}{suffix}",
        )
        for index, f in enumerate(spare.fleets)
    )  # fmt: skip
    least = f"the objective takes {spare.least.n:,}" if spare.least else "no number reaches it"
    each = amount(spare.each, "ratio")
    source = "given" if spare.setting.availability is not None else "as measured here"
    note = (
        f"{needed:,} needed at once, each up {each} of the time ({source}) and independent of the"
        f" others, which is the optimistic end: {least}. Cost is that of as many replicas."
    )
    if spare.regions_down is not None and spare.setting.common_cause is not None:
        note += (
            f" {spare.setting.regions} regions of {needed:,}, with"
            f" {write_share(spare.setting.common_cause)} of downtime in common:"
            f" {significant(spare.regions_down)} of the time none serves."
        )
    return Table(f"spares{suffix}", "What redundancy would buy", columns, rows, note)
