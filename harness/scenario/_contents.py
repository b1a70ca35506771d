"""Opens the files a valid document names: faults for those that are wrong, and where they lie.

In the document that runs, a file outside the library is written as an absolute path, so that a
run's resolved scenario can be read again from anywhere; script and SLA files are read into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import ScenarioError
from harness.notices import Notice
from harness.scenario import document as doc
from harness.scenario._faults import Wrong
from harness.scenario._files import FileFault, find, library_folder
from harness.scenario._paths import get, put
from harness.scenario._pin_cost import pin_cost
from harness.scenario._plain import load_plain
from harness.scenario._references import Reference, references, swept_files
from harness.scenario._tables import QuantileTable
from harness.scenario._traces import Trace
from harness.scenario._tree import parse_yaml, read_text
from harness.scenario.materials import read_reference
from harness.scenario.sla import SLAS, Sla


def pin_files(
    document: doc.Scenario, data: dict[str, Any], folders: Sequence[Path]
) -> tuple[list[Wrong], list[Notice]]:
    """Check every file and write its place into `data`; folders: where to look, in order."""
    wrong: list[Wrong] = []
    notices: list[Notice] = []
    for reference in references(document):
        try:
            content = read_reference(reference, folders)
            put(data, reference.where, _pinned(reference.name, folders))
        except FileFault as error:
            wrong.append(Wrong(reference.where, str(error)))
            continue
        if isinstance(content, Trace) and content.num_dropped:
            facts = {"file": Path(reference.name).name, "rows": content.num_dropped}
            notices.append(Notice("dropped_rows", "info", facts))
        if isinstance(content, Trace) and isinstance(reference.owner, doc.TraceWorkload):
            limit, shortest = reference.owner.max_input_tokens, int(content.input_tok.min())
            if limit is not None and limit < shortest:
                where = (*reference.where[:-1], "max_input_tokens")
                wrong.append(Wrong(where, f"leaves no row; the shortest has {shortest} tokens"))
            notices += _long_rows(content, reference.owner)
        if isinstance(content, QuantileTable):
            wrong += _useless(content, reference)
    for name, target in document.targets.items():
        if isinstance(target, doc.ScriptedTarget) and isinstance(target.script, str):
            where = ("targets", name, "script")
            try:
                put(data, where, _script(find(target.script, folders)))
            except FileFault as error:
                wrong.append(Wrong(where, str(error)))
    uptime = document.slo.uptime
    if uptime is not None and isinstance(uptime.sla, str):
        where = ("slo", "uptime", "sla")
        try:
            put(data, where, _sla(find(uptime.sla, folders)))
        except FileFault as error:
            wrong.append(Wrong(where, str(error)))
    if document.cost is not None:
        wrong += pin_cost(document, document.cost, data, folders)
    wrong += _pin_swept(data, folders)
    return wrong, list({str(n): n for n in notices}.values())


def _long_rows(trace: Trace, work: doc.TraceWorkload) -> list[Notice]:
    """What max_input_tokens leaves out."""
    if work.max_input_tokens is None or not (trace.input_tok > work.max_input_tokens).any():
        return []
    facts = {
        "file": Path(work.file).name, "rows": int((trace.input_tok > work.max_input_tokens).sum()),
        "total": len(trace), "limit": work.max_input_tokens,
    }  # fmt: skip
    return [Notice("long_rows", "info", facts)]


def _useless(table: QuantileTable, reference: Reference) -> list[Wrong]:
    """A table no length can be drawn from."""
    if table.value[-1] < 1:
        return [Wrong(reference.where, "holds no length of one token or more")]
    limit = reference.owner.max if isinstance(reference.owner, doc.Empirical) else None
    try:
        table.below(limit)
    except ValueError as error:
        return [Wrong((*reference.where[:-1], "max"), str(error))]
    return []


def _pinned(name: str, folders: Sequence[Path]) -> str:
    path = find(name, folders).resolve()
    library = library_folder().resolve()
    return str(path.relative_to(library)) if path.is_relative_to(library) else str(path)


def _pin_swept(data: dict[str, Any], folders: Sequence[Path]) -> list[Wrong]:
    """Swept file names; what they hold is checked with the points."""
    wrong: list[Wrong] = []
    over = get(data, ("sweep", "over")) or {}
    for where in swept_files(over):
        try:
            put(over, where, _pinned(str(get(over, where)), folders))
        except FileFault as error:
            wrong.append(Wrong(("sweep", "over", *where), str(error)))
    return wrong


def _script(path: Path) -> dict[str, Any]:
    text, unreadable = read_text(path)
    tree = parse_yaml(text) if unreadable is None else None
    faults = tree.faults if tree else [unreadable] if unreadable else []
    if faults:
        place = f"line {faults[0].line} of {path.name}" if faults[0].line else path.name
        raise FileFault(f"{place}: {faults[0].message}")
    if tree is None or not isinstance(tree.data, dict):
        raise FileFault(f"{path.name} holds no script: expected keys")
    return tree.data


def _sla(path: Path) -> dict[str, Any]:
    """The file's content, once it is known to be valid; its first fault with its line."""
    try:
        sla = load_plain(SLAS, Sla, path, lambda block: iter(()))
    except ScenarioError as error:
        # a mistyped key explains the one that is missing
        first = min(error.faults, key=lambda fault: "unknown key" not in fault.message)
        at = f"line {first.line} of {path.name}" if first.line else path.name
        raise FileFault(f"{at}: {first.path}: {first.message}") from error
    return sla.model_dump(by_alias=True)
