"""Claims read and judged: runs opened, the sheet loaded, findings printed or made a page."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from harness.cli._evidence import read_evidence
from harness.cli._finish import plain_console
from harness.cli._options import Voice, echo, out_root
from harness.decisions.claims import Evidence, Finding, exit_code_of, family_of, judge_claims
from harness.decisions.wording import capital
from harness.errors import ExitCode, UsageError
from harness.notices import Notice
from harness.records import Run, write_bytes
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
            "chance": family_of(self.findings).sentence,
        }  # fmt: skip


def judge_file(
    source: str, runs: Sequence[str], only: Sequence[str], prices: str | None, facts: Path | None,
    overrides: Sequence[str] = (),
) -> Judged:  # fmt: skip
    """Everything the verb does before it speaks. Raises UsageError, ScenarioError."""
    loaded = load_claims(source)
    document = with_values(loaded.document, overrides, source)
    chosen = _chosen(document, only)
    sheet = load_prices(prices or loaded.document.prices, (loaded.path.parent,))
    today = datetime.now(UTC).date()
    root = out_root()
    # a run that is named twice, or a copy of it, is no further evidence
    opened = {run.manifest.run_id: run for run in (Run.open(n, out_root=root) for n in runs)}
    found = [read_evidence(run) for run in opened.values()]
    evidence = Evidence(
        sheet, today, tuple(m for f in found for m in f.measured),
        load_facts(facts) if facts else Facts(schema="harness/evidence/v1"),
        tuple(c for f in found for c in f.capacities), tuple(c for f in found for c in f.crossings),
        tuple(m for f in found for m in f.cut_short),
        frozenset(name for name, f in zip(opened, found, strict=True) if f.is_unrecorded),
    )  # fmt: skip
    findings = judge_claims(chosen, evidence)
    notices = [*sheet_notices(sheet, today), *(n for f in found for n in f.notices)]
    return Judged(source, document, sheet, findings, tuple(opened), tuple(notices), bool(only))


def _chosen(document: Claims, only: Sequence[str]) -> list[Any]:
    known = {claim.id: claim for claim in document.claims}
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise UsageError(f"there is no claim '{name}' in {document.name}", why=hint)
    return [claim for claim in document.claims if not only or claim.id in only]


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
        on = f"measured on {f.measured_on}" if f.measured_on else ""
        for line in filter(None, (f.reason, *f.lines, on)):
            line = capital(line)
            console.print(Text(f"{'':{width}}  {line}"), soft_wrap=True)
        if voice.level > 0:
            for name, text, _ in f.figures:
                if name == "measured on":
                    continue
                console.print(Text(f"{'':{width}}    {name}: {text}", style="dim"), soft_wrap=True)
    console.print(Text(summary_of(judged.findings)), soft_wrap=True)


def summary_of(findings: Sequence[Finding]) -> str:
    """`2 inconsistent, 1 supported, 13 not testable of 16 claims.`, and what chance may have done
    where several were measured."""
    order = ("inconsistent", "refuted", "supported", "inconclusive", "not testable")
    counts = {name: sum(f.standing.value == name for f in findings) for name in order}
    told = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    text = f"{told} of {len(findings)} claim{'' if len(findings) == 1 else 's'}."
    return f"{text} {family_of(findings).sentence}".rstrip()


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
