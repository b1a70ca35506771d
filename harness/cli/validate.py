"""`harness validate`: the loader `run` uses, and every fault it finds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from harness.cli._options import Voice, mutter, set_option, voice_options
from harness.cli._target_options import target_options
from harness.errors import ExitCode, ScenarioError


@click.command()
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@click.option("--resolved", is_flag=True, help="Print the full document and each value's origin.")
@set_option
@target_options
@voice_options
def command(
    scenarios: tuple[str, ...], resolved: bool, overrides: tuple[str, ...],
    flags: dict[str, Any], voice: Voice,
) -> int:  # fmt: skip
    """Check each SCENARIO: a file, or a name from the library.

    All faults are shown at once with line and column. Exit 2 when any scenario has one.
    """
    rows = [_check(source, overrides, flags, resolved, voice) for source in scenarios]
    voice.result("\n".join(row.pop("text") for row in rows), {"scenarios": rows})
    return ExitCode.OK if all(row["valid"] for row in rows) else ExitCode.USAGE


def _check(
    source: str, overrides: tuple[str, ...], flags: dict[str, Any], resolved: bool, voice: Voice
) -> dict[str, Any]:
    """One scenario's row of the JSON document, and its lines of text."""
    from harness.scenario import expand, load_scenario

    row: dict[str, Any] = {"source": source, "valid": False, "faults": [], "notices": []}
    try:
        loaded = load_scenario(source, overrides=overrides, **flags)
    except ScenarioError as error:
        mutter(error.render())
        row |= {"faults": [asdict(fault) for fault in error.faults]}
        return {**row, "text": f"{source}: not valid, {_count(len(error.faults), 'fault')}"}
    voice.notices(loaded.notices)
    num_points = len(expand(loaded.document))
    is_search = getattr(loaded.document.sweep, "kind", "") == "search"
    row |= {"valid": True, "name": loaded.name, "num_points": num_points}
    row["notices"] = [{**n.to_json(), "sentence": n.sentence} for n in loaded.notices]
    if resolved:
        row["resolved"] = loaded.resolved_yaml()
        return {**row, "text": loaded.annotated_yaml().rstrip("\n")}
    size = "a search" if is_search else _count(num_points, "point")
    return {**row, "text": f"{source}: valid, {size}"}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
