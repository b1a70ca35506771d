"""Claims read and judged: runs opened, the sheet loaded, findings printed or made a page."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from harness.analysis import PointSummary, analyse_point
from harness.analysis.frame import read_frame
from harness.cli._finish import plain_console
from harness.cli._judge import stage_metas
from harness.cli._options import Voice, echo, out_root
from harness.decisions.capacity import sustained
from harness.decisions.claims import (
    Capacity,
    Crossing,
    Evidence,
    Finding,
    Measured,
    exit_code_of,
    judge_claims,
)
from harness.decisions.wording import capital
from harness.errors import ExitCode, UsageError
from harness.notices import Notice
from harness.records import Run, write_bytes
from harness.scenario import expand, load_resolved
from harness.scenario.claims import Claims, Facts, load_claims, load_facts, with_values
from harness.scenario.prices import PriceSheet, load_prices, sheet_notices

STYLES = {
    "supported": "green", "refuted": "red", "inconsistent": "red", "inconclusive": "yellow",
    "not testable": "dim",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """A file of claims with what each came to."""

    source: str
    claims: Claims
    sheet: PriceSheet
    findings: list[Finding]
    runs: tuple[str, ...]
    notices: tuple[Notice, ...]
    is_only: bool

    @property
    def exit_code(self) -> ExitCode:
        return exit_code_of(self.findings, self.is_only)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "harness/claims-result/v1", "claims": self.claims.name,
            "as_of": self.claims.as_of.isoformat(), "source": self.claims.source,
            "prices": {"name": self.sheet.name, "as_of": self.sheet.as_of.isoformat()},
            "runs": list(self.runs), "exit_code": int(self.exit_code),
            "findings": [f.to_json() for f in self.findings],
        }  # fmt: skip


def judge_file(
    source: str, runs: Sequence[str], only: Sequence[str], prices: str | None, facts: Path | None,
    overrides: Sequence[str] = (),
) -> Judged:  # fmt: skip
    """Everything the verb does before it speaks. Raises UsageError, ScenarioError."""
    loaded = load_claims(source)
    document = with_values(loaded.document, overrides)
    chosen = _chosen(document, only)
    sheet = load_prices(prices or loaded.document.prices, (loaded.path.parent,))
    today = datetime.now(UTC).date()
    root = out_root()
    opened = [Run.open(name, out_root=root) for name in runs]
    measured: list[Measured] = []
    capacities: list[Capacity] = []
    crossings: list[Crossing] = []
    for run in opened:
        run.require_whole()
        own, replicas = measured_of(run)
        measured += own
        if replicas is not None:
            capacities.append(Capacity(replicas, sustained([m.summary for m in own])))
        crossings += planned(run)
    evidence = Evidence(
        sheet, today, tuple(measured),
        load_facts(facts) if facts else Facts(schema="harness/evidence/v1"),
        tuple(capacities), tuple(crossings),
    )  # fmt: skip
    findings = judge_claims(chosen, evidence)
    names = tuple(run.manifest.run_id for run in opened)
    notices = tuple(sheet_notices(sheet, today))
    return Judged(source, document, sheet, findings, names, notices, bool(only))


def _chosen(document: Claims, only: Sequence[str]) -> list[Any]:
    known = {claim.id: claim for claim in document.claims}
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise UsageError(f"there is no claim '{name}' in {document.name}", why=hint)
    return [claim for claim in document.claims if not only or claim.id in only]


def measured_of(run: Run) -> tuple[list[Measured], int | None]:
    """Every window of a run's whole points, and the replicas its labels name."""
    document = load_resolved(run.path / "scenario.resolved.yaml").document
    points = expand(document)
    label = document.labels.get("replicas", "")
    replicas = int(label) if label.isdecimal() and int(label) > 0 else None
    found = []
    for records in run.points:
        if records.is_partial:
            continue
        requests, clients, server = records.requests(), records.clients(), records.server()
        model = str(records.meta.get("facts", {}).get("model", ""))
        for meta in stage_metas(points[records.index], records):
            summary: PointSummary = analyse_point(requests, clients, meta, server)
            frame = read_frame(requests, meta.t0_ns, meta.t1_ns)
            found.append(Measured(run.manifest.run_id, summary, frame, model, replicas))
    return found, replicas


def planned(run: Run) -> list[Crossing]:
    """What `harness plan crossover` has written for the run, where it has."""
    path = run.path / "plan.json"
    try:
        return crossings_of(run.manifest.run_id, json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "records cannot be read", where=str(path), why=str(error),
            do="restore it from a copy of the run, or plan again: harness plan crossover",
        ) from error  # fmt: skip


def crossings_of(name: str, plan: Mapping[str, Any]) -> list[Crossing]:
    """The part `crossover` of a plan: the least traffic at which any scaling may cross, and from
    which one surely has, where the plan is sure of its answer."""
    part = plan["crossover"]
    if part is None:
        return []
    lows = [e["low"] for e in part["crossing"].values() if e["low"] not in (None, "inf")]
    is_feasible = part["feasibility"] != "infeasible"  # where it is uncertain it may be
    highs = [e["high"] for e in part["crossing"].values() if e["high"] not in (None, "inf")]
    least, most = (float(min(ends)) if ends else None for ends in (lows, highs))
    return [Crossing(name, least, is_feasible, most if part["outcome"] == "pass" else None)]


def print_findings(judged: Judged, voice: Voice) -> None:
    """A line a claim, the argument below it; then what could not be tested, and what to run."""
    console = plain_console(voice, 120)
    width = max(len(f.claim.id) for f in judged.findings)
    for f in judged.findings:
        head = Text(f"{f.claim.id:<{width}}  ")
        head.append(f.standing.value.upper(), style=f"bold {STYLES[f.standing.value]}")
        head.append(" as expected" if f.is_expected else "", style="dim")
        head.append(f"  {f.claim.text}")
        console.print(head, soft_wrap=True)
        for line in (f.reason, *f.lines):
            line = capital(line)
            console.print(Text(f"{'':{width}}  {line}"), soft_wrap=True)
        if voice.level > 0:
            for name, text, _ in f.figures:
                console.print(Text(f"{'':{width}}    {name}: {text}", style="dim"), soft_wrap=True)
    console.print(Text(summary_of(judged.findings)), soft_wrap=True)


def summary_of(findings: Sequence[Finding]) -> str:
    """`2 inconsistent, 1 supported, 13 not testable of 16 claims.`"""
    order = ("inconsistent", "refuted", "supported", "inconclusive", "not testable")
    counts = {name: sum(f.standing.value == name for f in findings) for name in order}
    told = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    return f"{told} of {len(findings)} claim{'' if len(findings) == 1 else 's'}."


def render_findings(judged: Judged, kind: str, output: Path) -> None:
    """The page, or the document, to a file or to stdout."""
    if kind == "json":
        text = json.dumps(judged.to_json(), indent=1, ensure_ascii=False) + "\n"
    else:
        import reports
        from reports.claims_view import claims_view

        view = claims_view(
            judged.claims, judged.findings, judged.sheet, judged.runs, judged.to_json(),
            summary_of(judged.findings), _command(judged),
        )  # fmt: skip
        text = reports.render_html(view) if kind == "html" else reports.render_markdown(view)
    if str(output) == "-":
        echo(text.rstrip("\n"))
    else:
        write_bytes(output, text.encode())


def _command(judged: Judged) -> str:
    return " ".join(["harness claims", judged.source, *judged.runs])
