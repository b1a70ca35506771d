"""View -> Markdown for a pull request or a job summary; the same numbers as the HTML."""

from __future__ import annotations

from reports.view import Chart, Group, Section, Sentence, Table, View

MAX_BYTES = 60 * 1024  # a pull request comment takes 64 KiB
_BADGES = {"pass": "✅", "fail": "❌", "inconclusive": "❔", "invalid": "⚠️"}


def render_markdown(view: View) -> str:
    """Verdict first, then the key tables, then details behind disclosures; at most 60 KiB."""
    head = [f"## {_inline(view.title)}: {_badge(view.outcome)} {view.label}".rstrip(), ""]
    head += [_sentence(s) for s in view.sentences]
    head += [f"Next: {view.next_step}"] if view.next_step else []
    if view.notices:
        head += ["", *(f"> **{severity}**: {_inline(text)}  " for severity, text in view.notices)]
    tables = ([view.verdict_table] if view.verdict_table else []) + list(view.headline)
    parts = ["\n".join(head), *(_table(t) for t in tables)]
    parts += [_finding(view.lead)] if view.lead else []
    parts += [text for section in view.sections if (text := _section(section))]
    facts = "; ".join(f"{name}: {_inline(value)}" for name, value in view.facts)
    parts.append(f"{facts}\n\n{view.subject} `{view.run_id}`. Reproduce: `{view.reproduce}`")
    return _fit(parts)


def _fit(parts: list[str]) -> str:
    """Drop sections from the end, never the verdict or the closing line, until it fits."""
    while len("\n\n".join(parts).encode()) > MAX_BYTES and len(parts) > 3:
        del parts[-2]
    return "\n\n".join(parts) + "\n"


def _badge(outcome: str) -> str:
    return _BADGES.get(outcome, "")


def _sentence(sentence: Sentence) -> str:
    said = f"**{_inline(sentence.answer)}** {_inline(sentence.detail)}"
    return f"{_badge(sentence.outcome)} {said}".strip() + "  "


def _section(section: Section) -> str:
    findings = [f"- {_finding(b)}" for b in section.leaves if isinstance(b, Chart)]
    parts = ["\n".join(findings)] if findings else []
    for block in section.blocks:
        if isinstance(block, Group):
            tables = [_table(b) for b in block.blocks if isinstance(b, Table)]
            parts += [f"_{_inline(block.title)}_", *tables] if tables else []
        elif isinstance(block, Table):
            parts.append(_table(block))
    if not parts:
        return ""
    body = "\n\n".join(parts)
    return f"<details><summary>{section.title}</summary>\n\n{body}\n\n</details>"


def _table(table: Table) -> str:
    """Details of rows, which HTML gives a line of their own, become a last column."""
    has_why = any(row.detail for row in table.rows)
    columns = [*table.columns, *([("why", "left")] if has_why else [])]
    header = "| " + " | ".join(name for name, _ in columns) + " |"
    rule = "| " + " | ".join("---:" if align == "right" else "---" for _, align in columns)
    rows = []
    for row in table.rows:
        cells = [_cell(cell.text, cell.outcome) for cell in row.cells]
        cells += [_cell(row.detail, "")] if has_why else []
        rows.append("| " + " | ".join(cells) + " |")
    note = [f"\n<sub>{_inline(table.note)}</sub>"] if table.note else []
    return "\n".join([f"**{_inline(table.caption)}**", "", header, rule + " |", *rows, *note])


def _cell(text: str, outcome: str) -> str:
    safe = _inline(text).replace("|", "\\|")
    return f"{_badge(outcome)} {safe}".strip()


def _finding(chart: Chart) -> str:
    return _inline(f"{chart.title}: {chart.caption}")


def _inline(text: str) -> str:
    """One line without markup: names and answers are other people's words."""
    return text.replace("\n", " ").replace("<", "&lt;")
