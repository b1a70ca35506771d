"""Where a run's numbers come from: machine, versions, scenario as given and as resolved."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from reports.facts import RunFacts
from reports.view import Block, Definitions, Section, Text


def commit_of(provenance: Mapping[str, Any]) -> str:
    git = provenance.get("git")
    return str(git.get("sha") or "") if isinstance(git, Mapping) else ""


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
