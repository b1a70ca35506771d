"""A judged run -> its View: which sections exist, in which order, and what each says first.

Works on a partial run. A section without data is left out. One rate leads with latency, a sweep
with its curve against load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.analysis import GLOSSARY, PointSummary
from harness.analysis.client_check import ClientCheck
from harness.decisions import Headline
from harness.estimate import Outcome, Verdict
from harness.notices import Notice
from harness.units import format_seconds
from reports import _charts as charts
from reports import _client_tables as client
from reports import _server as server
from reports import _tables as tables
from reports._text import listed
from reports._uptime import cold_table, errors_chart, uptime_blocks
from reports.view import Block, Definitions, Section, Sentence, Table, Text, View


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


def build_view(
    facts: RunFacts,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    outcome: Outcome,
    headlines: Sequence[Headline],
    notices: Sequence[Notice] = (),
) -> View:
    """Everything the renderers print. summaries: one a point and stage, in order."""
    sections = [
        _capacity(summaries), _latency(summaries), _time(summaries), _engine(summaries),
        _errors(summaries),
        _method(summaries, facts.client_check), _provenance(facts),
    ]  # fmt: skip
    return View(
        title=facts.scenario,
        run_id=facts.run_id,
        description=facts.description,
        facts=_header(facts, summaries),
        outcome=outcome.value,
        status=facts.status,
        sentences=tuple(Sentence(h.answer, h.detail, h.outcome) for h in headlines),
        verdict_table=tables.verdict_table(verdicts, len(summaries)),
        headline=_key_tables(summaries),
        notices=_notices(summaries, notices),
        sections=tuple(s for s in sections if s is not None and s.blocks),
        verdicts=tuple(verdicts),
        scenario=facts.scenario,
        duration_s=facts.duration_s,
        commit=str(facts.provenance.get("git_sha") or ""),
        reproduce=facts.reproduce,
        data=_data(facts, summaries, verdicts, outcome),
    )


def _header(facts: RunFacts, summaries: Sequence[PointSummary]) -> tuple[tuple[str, str], ...]:
    targets = listed([name for name, _, _ in facts.targets])
    models = listed(sorted({model for _, model, _ in facts.targets}))
    urls = listed(sorted({url for _, _, url in facts.targets}))
    created = facts.created_utc.replace("T", " ").replace("+00:00", " UTC")
    rows = [("target", targets), ("model", models), ("at", urls), ("date", created)]
    rows.append(("took", format_seconds(facts.duration_s)))
    if len(summaries) == 1:
        window = format_seconds(summaries[0].meta.window_s)
        rows += [("load", tables.load_text(summaries[0])), ("window", window)]
    elif summaries:
        rows.append(("points", str(len(summaries))))
    return tuple((name, value) for name, value in rows if value)


def _key_tables(summaries: Sequence[PointSummary]) -> tuple[Table, ...]:
    """Three lines of figures for one point, the table of points for a sweep."""
    if len(summaries) > 1:
        return (tables.point_table(summaries),)
    found = [tables.latency_table(s, "") for s in summaries]
    found += [tables.rate_table(s, "") for s in summaries]
    found += [server.comparison_table(s, "") for s in summaries]
    return tuple(t for t in found if t)


def _capacity(summaries: Sequence[PointSummary]) -> Section | None:
    pictures = charts.load_charts(summaries)
    if not pictures:
        return None
    is_closed = summaries[0].meta.kind == "closed"
    lead = "Closed loop: figures at a number of users, no evidence for a rate." if is_closed else ""
    return Section("capacity", "Capacity", lead, tuple(pictures))


def _latency(summaries: Sequence[PointSummary]) -> Section | None:
    stable = [s for s in summaries if s.is_stable and s.is_valid] or list(summaries)
    blocks: list[Block | None] = []
    for metric in ("ttft", "e2e_latency"):
        blocks.append(charts.nines_chart(stable, metric))
    for metric in ("ttft", "icl"):
        blocks.append(charts.cdf_chart(stable, metric))
    for s in summaries:
        suffix = _suffix(s, summaries)
        if suffix:
            blocks += [tables.latency_table(s, suffix), tables.rate_table(s, suffix)]
        blocks.append(tables.class_table(s, suffix))
    return _section("latency", "Latency", "", blocks)


def _time(summaries: Sequence[PointSummary]) -> Section | None:
    blocks: list[Block | None] = [*uptime_blocks(summaries)]
    blocks += [cold_table(s, _suffix(s, summaries)) for s in summaries]
    blocks += [charts.strips_chart(s, _suffix(s, summaries)) for s in summaries]
    return _section("time", "Over time", "", blocks)


def _engine(summaries: Sequence[PointSummary]) -> Section | None:
    """What the target told of itself; the table of a single point already leads the report."""
    blocks: list[Block | None] = []
    for s in summaries:
        suffix = _suffix(s, summaries)
        if suffix:
            blocks.append(server.comparison_table(s, suffix))
        blocks += [server.server_chart(s, suffix), server.limits_table(s, suffix)]
    lead = "What the target says of itself, beside what the client saw."
    return _section("engine", "The server", lead, blocks)


def _errors(summaries: Sequence[PointSummary]) -> Section | None:
    blocks: list[Block | None] = []
    for s in summaries:
        suffix = _suffix(s, summaries)
        blocks += [tables.error_table(s, suffix), errors_chart(s, suffix)]
    lead = "Failed requests, by what went wrong. Every failure counts against every latency rule."
    return _section("errors", "Errors", lead, blocks)


def _method(summaries: Sequence[PointSummary], check: ClientCheck | None) -> Section | None:
    blocks: list[Block | None] = [tables.quality_table(s, _suffix(s, summaries)) for s in summaries]
    if check is not None:
        blocks += [client.client_error_table(check), client.client_load_table(check)]
    shown = {e.metric for s in summaries for e in s.estimates if not e.is_absent}
    entries = tuple(
        (metric, f"{entry.definition} Unit: {entry.unit or 'none'}.")
        for metric, entry in GLOSSARY.items()
        if metric in shown
    )
    blocks.append(Definitions("glossary", "Definitions", entries) if entries else None)
    lead = (
        "The load generator checks itself; a check that fails withholds a metric or voids the"
        " measurement. Read intervals as: 95 of 100 such runs would cover the true value."
    )
    return _section("method", "Method", lead, blocks)


def _provenance(facts: RunFacts) -> Section:
    rows = tuple(sorted(_flat(facts.provenance)))
    blocks: list[Block] = [
        Definitions("environment", "Where and with what", rows),
        Text("scenario-given", "Scenario as given", facts.given_text),
        Text(
            "scenario-resolved", "Scenario as resolved, every default written", facts.resolved_text
        ),
    ]
    lead = (
        f"Raw data: points/*/requests.parquet beside this file. Run {facts.run_id},"
        f" reproduce with: {facts.reproduce}"
    )
    return Section("provenance", "Provenance", lead, tuple(blocks))


def _section(anchor: str, title: str, lead: str, blocks: Sequence[Block | None]) -> Section | None:
    kept = tuple(b for b in blocks if b is not None)
    return Section(anchor, title, lead, kept) if kept else None


def _suffix(summary: PointSummary, summaries: Sequence[PointSummary]) -> str:
    """Keeps ids apart where there are several points; stable across renders."""
    if len(summaries) == 1:
        return ""
    return f"-{summary.meta.index}-{summary.meta.stage_index}"


def _notices(
    summaries: Sequence[PointSummary], notices: Sequence[Notice]
) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = [(n.severity, n.sentence) for n in notices]
    raised: dict[tuple[str, str], list[str]] = {}
    for s in summaries:
        for check in s.notices:
            severity: str = "warning" if check.status == "notice" else check.status
            raised.setdefault((severity, check.sentence), []).append(s.meta.name)
    for (severity, text), points in raised.items():
        where = f"{listed(points)}: " if len(summaries) > 1 else ""
        found.append((severity, f"{where}{text}"))
    return tuple(dict.fromkeys(found))


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested provenance as dotted lines."""
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            rows += _flat(item, f"{name}.")
        elif item not in (None, "", [], ()):
            text = ", ".join(map(str, item)) if isinstance(item, list | tuple) else str(item)
            rows.append((name, text))
    return rows


def _data(
    facts: RunFacts,
    summaries: Sequence[PointSummary],
    verdicts: Sequence[Verdict],
    outcome: Outcome,
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
        **({"client_check": facts.client_check.to_json()} if facts.client_check else {}),
    }
