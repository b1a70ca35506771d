"""A judged run -> its View: which sections exist, in which order, and what each says first.

Works on a partial run. A section without data is left out. One rate leads with latency, a sweep
with its curve against load.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.analysis import GLOSSARY, PointSummary, pooled_uptime, repeats
from harness.analysis.client_check import ClientCheck
from harness.decisions import Headline
from harness.decisions.cost_answer import CostAnswer
from harness.decisions.point_cost import PointCost
from harness.decisions.uptime_facts import uptime_facts
from harness.estimate import Outcome, Verdict, overall
from harness.notices import Notice
from harness.units import format_seconds
from reports import _charts as charts
from reports import _client_tables as client
from reports import _quality as quality
from reports import _server as server
from reports import _tables as tables
from reports._capacity import capacity_section
from reports._cost import cost_section, cost_sentences, price_data
from reports._next import next_step
from reports._replicas import planned_outcome, replica_sentence, replicas_section
from reports._text import listed, name_of
from reports._uptime import cold_table, errors_chart, uptime_blocks, uptime_figures
from reports._what_if import Ladder, drawn_points, ladders_of, standings_of, what_if_data
from reports.view import Block, Chart, Definitions, Group, Section, Sentence, Table, Text, View

# Which chart answers first, where there is one: a sweep's, a probe's, a single load's.
LEADS = (
    "chart-replicas", "chart-steps", "chart-goodput", "chart-uptime", "chart-nines-ttft",
    "chart-nines-e2e_latency",
)  # fmt: skip
MOST_PICTURED = 24  # points; of more, the tables alone


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the manifest and the stored documents say; times and versions come from there."""

    run_id: str
    scenario: str
    description: str
    status: str
    created_utc: str
    provenance: Mapping[str, Any]
    given_text: str
    resolved_text: str
    targets: tuple[tuple[str, str, str], ...]  # name, model, URL
    duration_s: float
    reproduce: str
    client_check: ClientCheck | None = None  # of the load generator itself, before the run
    costs: tuple[PointCost, ...] = ()  # of each point, where the scenario names prices
    crossover: CostAnswer | None = None  # from plan.json
    replicas: Mapping[str, Any] | None = None  # its other part


def build_view(
    facts: RunFacts,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    outcome: Outcome,
    headlines: Sequence[Headline],
    notices: Sequence[Notice] = (),
) -> View:
    """Everything the renderers print. summaries: one a point and stage, in order."""
    rates = ladders_of(summaries)
    found = [
        replicas_section(facts.replicas),
        capacity_section(rates, headlines), _latency(summaries), _time(summaries, rates),
        cost_section(facts.costs, facts.crossover), _engine(summaries, rates), _errors(summaries),
        _method(summaries, facts.client_check), provenance_section(facts),
    ]  # fmt: skip
    money = cost_sentences(facts.costs, facts.crossover)
    lead, sections = lead_of([s for s in found if s is not None])
    return View(
        title=facts.scenario,
        run_id=facts.run_id,
        description=facts.description,
        facts=header_of(facts, summaries),
        # the badge answers for all of the page; exit codes and `data` stay those of the run's rules
        outcome=overall([outcome, *planned_outcome(facts.replicas)]).value,
        status=facts.status,
        sentences=(
            *replica_sentence(facts.replicas),
            *(Sentence(h.answer, h.detail, h.outcome) for h in (*headlines, *money)),
        ),
        next_step=next_step(outcome, facts.status, summaries, verdicts, facts.run_id),
        lead=lead,
        verdict_table=tables.verdict_table(verdicts, len(summaries)),
        headline=_headline(lead, summaries, verdicts, rates),
        notices=notices_of(summaries, notices),
        sections=sections,
        verdicts=tuple(verdicts),
        scenario=facts.scenario,
        duration_s=facts.duration_s,
        commit=commit_of(facts.provenance),
        reproduce=facts.reproduce,
        data=_data(facts, summaries, verdicts, outcome, rates),
    )


def commit_of(provenance: Mapping[str, Any]) -> str:
    git = provenance.get("git")
    return str(git.get("sha") or "") if isinstance(git, Mapping) else ""


def lead_of(sections: Sequence[Section]) -> tuple[Chart | None, tuple[Section, ...]]:
    """The chart that answers first, and the sections without it and without the empty ones."""
    by_id = {b.id: b for s in sections for b in s.blocks if isinstance(b, Chart)}
    lead = next((by_id[i] for i in LEADS if i in by_id), None)
    rest = (replace(s, blocks=tuple(b for b in s.blocks if b is not lead)) for s in sections)
    kept = tuple(s for s in rest if s.blocks)
    return (replace(lead, is_wide=False) if lead else None), kept


def header_of(facts: RunFacts, summaries: Sequence[PointSummary]) -> tuple[tuple[str, str], ...]:
    targets = listed([name for name, _, _ in facts.targets])
    models = listed(sorted({model for _, model, _ in facts.targets}))
    urls = listed(sorted({url for _, _, url in facts.targets}))
    created = facts.created_utc.replace("T", " ").replace("+00:00", " UTC")
    rows = [("target", targets), ("model", models), ("at", urls), ("date", created)]
    if facts.duration_s:  # a run that was killed does not know
        rows.append(("took", round_time(facts.duration_s)))
    if len(summaries) == 1:
        window = round_time(summaries[0].meta.window_s)
        rows += [("load", tables.load_text(summaries[0])), ("measured window", window)]
    elif summaries:
        rows.append(("points", str(len(summaries))))
    return tuple((name, value) for name, value in rows if value)


def round_time(value_s: float) -> str:
    """`50 s`, not `50.0 s`: nobody judges by it."""
    return format_seconds(round(value_s) if value_s >= 10 else value_s, 2)


def _headline(
    lead: Chart | None,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    rates: Sequence[Ladder],
) -> tuple[Table, ...]:
    """Availability first where uptime is what the report answers, else last."""
    figures, key = uptime_figures(summaries), _key_tables(summaries, verdicts, rates)
    is_uptime = lead is not None and lead.id.startswith("chart-uptime")
    return (*figures, *key) if is_uptime else (*key, *figures)


def _key_tables(
    summaries: Sequence[PointSummary], verdicts: Sequence[Verdict], rates: Sequence[Ladder]
) -> tuple[Table, ...]:
    """A few lines of figures for one point, the table of points for a sweep."""
    if len(summaries) > 1:
        return (tables.point_table(summaries, verdicts, standings_of(rates)),)
    found = [cold_table(s, "") for s in summaries]
    found += [tables.latency_table(s, "") for s in summaries]
    found += [tables.rate_table(s, "") for s in summaries]
    found += [server.comparison_table(s, "") for s in summaries]
    return tuple(t for t in found if t)


def _latency(summaries: Sequence[PointSummary]) -> Section | None:
    stable = [s for s in summaries if s.is_stable and s.is_valid] or list(summaries)
    blocks: list[Block | None] = []
    # of a sweep, TPOT stands against the load already
    for metric in ("ttft", "tpot", "e2e_latency") if len(stable) == 1 else ("ttft", "e2e_latency"):
        blocks.append(charts.nines_chart(stable, metric))
    for metric in ("ttft", "icl"):
        blocks.append(charts.cdf_chart(stable, metric))

    def own(s: PointSummary, suffix: str) -> list[Table | Chart | None]:
        first = [tables.latency_table(s, suffix), tables.rate_table(s, suffix)] if suffix else []
        return [*first, tables.class_table(s, suffix)]

    return section_of("latency", "Latency", "", [*blocks, *_by_point(summaries, "latency", own)])


def _time(summaries: Sequence[PointSummary], rates: Sequence[Ladder]) -> Section | None:
    drawn = drawn_points(summaries, rates)

    def own(s: PointSummary, suffix: str) -> list[Table | Chart | None]:
        # the cold starts of a single point already lead the report
        cold = [cold_table(s, suffix)] if suffix else []
        return [*cold, charts.strips_chart(s, suffix) if s.meta.name in drawn else None]

    blocks = [*uptime_blocks(summaries), *_by_point(summaries, "time", own)]
    return section_of("time", "Over time", _some_of(drawn, summaries), blocks)


def _some_of(drawn: frozenset[str], summaries: Sequence[PointSummary]) -> str:
    """Where not every point is drawn, which are."""
    if len(drawn) == len({s.meta.name for s in summaries}):
        return ""
    return (
        f"Drawn at {len(drawn)} of {len(summaries)} loads: the lowest, and those about the"
        " sustained rate; the records hold every one."
    )


def _engine(summaries: Sequence[PointSummary], rates: Sequence[Ladder]) -> Section | None:
    """What the target told of itself; the table of a single point already leads the report."""
    drawn = drawn_points(summaries, rates)

    def own(s: PointSummary, suffix: str) -> list[Table | Chart | None]:
        first = [server.comparison_table(s, suffix)] if suffix else []
        rest = server.speculation_table(s, suffix), server.limits_table(s, suffix)
        chart = server.server_chart(s, suffix) if s.meta.name in drawn else None
        return [*first, chart, *rest]

    lead = (
        f"What the target says of itself, beside what the client saw. {_some_of(drawn, summaries)}"
    )
    return section_of("engine", "The server", lead.strip(), _by_point(summaries, "engine", own))


def _errors(summaries: Sequence[PointSummary]) -> Section | None:
    def own(s: PointSummary, suffix: str) -> list[Table | Chart | None]:
        return [tables.error_table(s, suffix), errors_chart(s, suffix)]

    lead = "What went wrong, by class. Every failure counts against every latency rule."
    return section_of("errors", "Errors", lead, _by_point(summaries, "errors", own))


def _by_point(
    summaries: Sequence[PointSummary],
    kind: str,
    make: Callable[[PointSummary, str], Sequence[Table | Chart | None]],
) -> list[Block]:
    """The blocks of the one point, or a disclosure for each of several; of many, without their
    pictures: a page with hundreds of them opens slowly and is read by nobody."""
    found: list[Block] = []
    for s in summaries:
        suffix = _suffix(s, summaries)
        blocks = tuple(b for b in make(s, suffix) if b is not None)
        if len(summaries) > MOST_PICTURED:
            blocks = tuple(b for b in blocks if not isinstance(b, Chart))
        if not suffix:
            found += blocks
        elif blocks:
            told = next((b.caption for b in blocks if isinstance(b, Chart)), tables.load_text(s))
            found.append(Group(f"point-{kind}{suffix}", f"{s.meta.name}: {told}", blocks))
    return found


def _method(summaries: Sequence[PointSummary], check: ClientCheck | None) -> Section | None:
    blocks: list[Block | None] = [quality.raised_table(summaries)]
    for s in summaries:
        suffix = _suffix(s, summaries)
        title = f"{s.meta.name}: all {len(s.checks)} checks" if suffix else (
            f"All {len(s.checks)} checks of the measurement"
        )  # fmt: skip
        blocks.append(Group(f"all-checks{suffix}", title, (quality.quality_table(s, suffix),)))
    if check is not None:
        blocks += [client.client_error_table(check), client.client_load_table(check)]
    shown = {e.metric for s in summaries for e in s.estimates if not e.is_absent}
    entries = tuple(
        (_term(metric), f"{entry.definition} Unit: {entry.unit or 'none'}.")
        for metric, entry in GLOSSARY.items()
        if metric in shown
    )
    blocks.append(Definitions("glossary", "Definitions", entries) if entries else None)
    lead = (
        "The load generator checks itself; a check that fails withholds a metric or voids the"
        " measurement. Read intervals as: 95 of 100 such runs would cover the true value."
    )
    return section_of("method", "Method", lead, blocks)


def _term(metric: str) -> str:
    """The name that the tables use, with the id of scenarios and JSON where it differs."""
    name = name_of(metric)
    return name if name.lower() == metric else f"{name} ({metric})"


def provenance_section(facts: RunFacts) -> Section:
    rows = tuple(sorted(_flat(facts.provenance)))
    blocks: list[Block] = [
        Definitions("environment", "Where and with what", rows),
        Text("scenario-given", "Scenario as given", facts.given_text),
        Text(
            "scenario-resolved", "Scenario as resolved, every default written", facts.resolved_text
        ),
    ]
    lead = (
        f"Raw data: points/*/requests.parquet beside this file. Run {facts.run_id}. Reproduce"
        f" with: {facts.reproduce}"
    )
    return Section("provenance", "Provenance", lead, tuple(blocks))


def section_of(
    anchor: str, title: str, lead: str, blocks: Sequence[Block | None]
) -> Section | None:
    kept = tuple(b for b in blocks if b is not None)
    return Section(anchor, title, lead, kept) if kept else None


def _suffix(summary: PointSummary, summaries: Sequence[PointSummary]) -> str:
    """Keeps ids apart where there are several points; stable across renders."""
    if len(summaries) == 1:
        return ""
    return f"-{summary.meta.index}-{summary.meta.stage_index}"


def notices_of(
    summaries: Sequence[PointSummary], notices: Sequence[Notice]
) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = [(n.severity, n.sentence) for n in notices]
    raised: dict[tuple[str, str], list[tuple[float, str, str]]] = {}
    for s in summaries:
        for check in s.notices:
            severity: str = "warning" if check.status == "notice" else check.status
            # loops closed with other numbers of users are one thing to know, not five
            raised.setdefault((severity, check.code), []).append(
                (abs(check.value or 0.0), check.sentence, s.meta.name)
            )
    for (severity, _), cases in raised.items():
        _, text, worst = max(cases, key=lambda case: case[0])
        others = [name for _, _, name in cases if name != worst]
        few = len(others) <= MOST_NAMED
        also = listed(others) if few else f"{len(others)} more of {len(summaries)}"
        where = f" (at {worst}{f'; also at {also}' if others else ''})"
        found.append((quality.WORDS.get(severity, severity), text + where * (len(summaries) > 1)))
    return tuple(sorted(dict.fromkeys(found), key=lambda notice: _GRAVITY.index(notice[0])))


MOST_NAMED = 3  # of the points that one notice hits: a gate has sixteen runs
_GRAVITY = ("invalid", "withheld", "warning", "info")


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as dotted lines."""
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            rows += _flat(item, f"{name}.")
        elif item not in (None, "", [], ()):
            rows.append((name, _fact(key, item)))
    return rows


def _fact(key: str, item: Any) -> str:
    """A stored fact as people read it: a command line, yes or no, gigabytes."""
    if key == "argv":
        return shlex.join(map(str, item))
    if isinstance(item, bool):
        return "yes" if item else "no"
    if key.endswith("_bytes") and isinstance(item, int | float):
        return f"{item / 1e9:,.1f} GB"
    return ", ".join(map(str, item)) if isinstance(item, list | tuple) else str(item)


def _data(
    facts: RunFacts,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    outcome: Outcome,
    rates: Sequence[Ladder],
) -> dict[str, Any]:
    """The embedded JSON: estimates and verdicts, no curves (the charts carry those)."""
    return {
        "run_id": facts.run_id,
        "outcome": outcome.value,
        "status": facts.status,
        "points": [
            {
                "name": s.meta.name,
                "load": tables.load_text(s),
                "window_s": s.meta.window_s,
                "validity": s.validity.value,
                "counts": s.counts,
                "client_against_server": [asdict(c) for c in s.server.comparisons],
                "rate_limits": [asdict(r) for r in s.server.rate_limits],
                "estimates": [e.to_json() for e in s.estimates],
            }
            for s in summaries
        ],
        "verdicts": [v.to_json() for v in verdicts],
        **({"uptime": uptime} if (uptime := _uptime(summaries)) else {}),
        **({"what_if": what_if} if (what_if := _what_if(facts, rates)) else {}),
        **({"costs": [c.to_json() for c in facts.costs]} if facts.costs else {}),
        **({"client_check": facts.client_check.to_json()} if facts.client_check else {}),
    }


def _what_if(facts: RunFacts, rates: Sequence[Ladder]) -> dict[str, Any]:
    return what_if_data(rates) | price_data(facts.crossover)


def _uptime(summaries: Sequence[PointSummary]) -> list[dict[str, Any]]:
    """Of every load whose SLO names uptime, all its parts together."""
    return [
        uptime_facts(pooled_uptime(parts), parts[0].meta.slo.uptime).to_json()
        for parts in repeats(summaries)
        if parts[0].meta.slo.uptime is not None and any(s.uptime_windows for s in parts)
    ]
