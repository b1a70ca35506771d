"""Judged claims -> a page: what stands, what falls and why, and the evidence of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.decisions.claims import Finding, Standing
from harness.decisions.wording import capital
from harness.scenario.claims import Claims
from harness.scenario.prices import PriceSheet
from reports.view import Align, Block, Cell, Definitions, Group, Row, Section, Sentence, Table, View

# how a standing is coloured and marked: the renderers know outcomes
_OUTCOMES = {
    Standing.SUPPORTED: "pass", Standing.REFUTED: "fail", Standing.INCONSISTENT: "fail",
    Standing.INCONCLUSIVE: "inconclusive", Standing.NOT_TESTABLE: "",
}  # fmt: skip
TERMS = (
    ("supported", "A one-sided bound lies on the claimed side; never merely not rejected."),
    ("refuted", "The opposite bound lies beyond the claim."),
    ("inconsistent", "It contradicts its own source by arithmetic; nothing was measured."),
    ("inconclusive", "Neither: the evidence holds both. Measure longer."),
    ("not testable", "There is no evidence yet; the page says what to run."),
)


def claims_view(
    claims: Claims,
    findings: Sequence[Finding],
    sheet: PriceSheet,
    runs: Sequence[str],
    data: dict[str, Any],
    summary: str,
    reproduce: str,
) -> View:
    """findings: of the claims judged, in the file's order.  data: embedded as it is."""
    told = [f for f in findings if f.lines]
    sections = [
        Section("evidence", "Evidence", "The figures behind each claim.", _evidence(findings)),
        Section("method", "Method", "", (Definitions("terms", "Words used", TERMS),)),
        Section("provenance", "Provenance", f"Reproduce with: {reproduce}", _sources(claims, sheet,
                runs)),
    ]  # fmt: skip
    return View(
        title=f"claims of {claims.name}",
        run_id=claims.name,
        description=claims.description,
        facts=(
            ("claims of", claims.as_of.isoformat()),
            ("prices of", f"{sheet.as_of.isoformat()} ({sheet.name})"),
            ("runs", ", ".join(runs) or "none: arithmetic only"),
        ),
        outcome=_outcome(findings),
        status="complete" if _outcome(findings) else "as expected",
        sentences=(Sentence(summary, ""), *(_sentence(f) for f in told)),
        next_step="",
        lead=None,
        verdict_table=_table(findings),
        headline=tuple(_argument(f) for f in told),
        notices=tuple(("warning", f"{f.claim.id}: {f.claim.doubt}") for f in findings
                      if f.claim.doubt and f.standing is not Standing.NOT_TESTABLE),
        sections=tuple(s for s in sections if s.blocks),
        verdicts=(),
        scenario=claims.name,
        duration_s=0.0,
        commit="",
        reproduce=reproduce,
        data=data,
        subject="Claims",
    )  # fmt: skip


def _sentence(f: Finding) -> Sentence:
    return Sentence(
        f"{f.claim.id} {f.standing.value}: {f.claim.text}",
        capital(f.reason) + ".",
        _OUTCOMES[f.standing],
    )


def _table(findings: Sequence[Finding]) -> Table:
    rows = []
    has_runs = any(f.n for f in findings)
    for f in findings:
        standing = f.standing.value + (", as expected" if f.is_expected else "")
        cells = [Cell(f.claim.id), Cell(f.claim.text), Cell(standing, None, _OUTCOMES[f.standing])]
        cells += [Cell(f"{f.n:,}" if f.n else "", float(f.n) if f.n else None)] * has_runs
        rows.append(Row(tuple(cells), f"claim-{f.claim.id}", _detail(f)))
    columns: list[tuple[str, Align]] = [("claim", "left"), ("says", "left"), ("standing", "left")]
    columns += [("n", "right")] if has_runs else []
    return Table("claims", "Claims", tuple(columns), tuple(rows))


def _detail(f: Finding) -> str:
    """Why, and what was measured: a claim of one server says nothing of another."""
    return capital(f.reason) + (f". Measured on {f.measured_on}" if f.measured_on else "")


def _argument(f: Finding) -> Table:
    """Line by line why, right below the claims: what a manager reads."""
    rows = tuple(
        Row((Cell(capital(line)),), f"why-{f.claim.id}-{i}") for i, line in enumerate(f.lines, 1)
    )
    caption = f"{f.claim.id}: {f.claim.text}"
    return Table(f"why-{f.claim.id}", caption, (("why", "left"),), rows)


def _outcome(findings: Sequence[Finding]) -> str:
    """Of the whole, as the exit code: what is as expected fails nothing."""
    open_ = [f for f in findings if not f.is_expected]
    kinds = {_OUTCOMES[f.standing] for f in open_}
    return next((kind for kind in ("fail", "inconclusive") if kind in kinds), "")


def _evidence(findings: Sequence[Finding]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for f in findings:
        if not f.figures:
            continue
        rows = tuple(
            Row((Cell(name), Cell(text, value)), f"figure-{f.claim.id}-{i}")
            for i, (name, text, value) in enumerate(f.figures)
        )
        note = (
            f"{capital(f.claim.quantity)}; test {f.claim.test}, one-sided"
            f" error {f.claim.alpha:g}. Stated in: {f.claim.source}."
        )
        table = Table(
            f"evidence-{f.claim.id}", f"{f.claim.id}: {f.claim.text}",
            (("figure", "left"), ("value", "left")), rows, note,
        )  # fmt: skip
        blocks.append(Group(f"group-{f.claim.id}", f"{f.claim.id}: {f.standing.value}", (table,)))
    return tuple(blocks)


def _sources(claims: Claims, sheet: PriceSheet, runs: Sequence[str]) -> tuple[Block, ...]:
    entries = [("claims", f"{claims.source} ({claims.as_of})"),
               ("prices", f"{sheet.source} ({sheet.name}, {sheet.as_of})")]  # fmt: skip
    entries += [("doubt", f"{name}: {why}") for name, why in sheet.doubts.items()]
    entries += [("run", run) for run in runs]
    return (Definitions("sources", "Sources", tuple(entries)),)
