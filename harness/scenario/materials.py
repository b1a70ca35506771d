"""Everything a workload needs from files, read once: after this no room touches the disk for it.

Keys are the file names as the document holds them. Readers are one small file each; here they are
only chosen. Nothing is sampled or capped here.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import Fault, ScenarioError
from harness.scenario import document as doc
from harness.scenario._datasets import DatasetRow, read_dataset
from harness.scenario._files import FileFault, find, library_folder
from harness.scenario._recordings import Recording, read_wav
from harness.scenario._references import Reference, references, swept_files
from harness.scenario._tables import QuantileTable, read_table
from harness.scenario._tasks import read_schema, read_tools
from harness.scenario._traces import Trace, read_trace
from harness.scenario.expand import expand

__all__ = [
    "DatasetRow", "Materials", "QuantileTable", "Recording", "Trace", "read_materials",
    "shipped_words",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Materials:
    """tables: by (file, column).  traces, datasets, tasks (a list of tools, or a schema) and audio:
    by file.  words: the shipped English words.

    tokenizer_json: the bytes of `tokens.file`, None unless `tokens` is of kind tokenizer.
    """

    tables: Mapping[tuple[str, str], QuantileTable] = field(default_factory=dict)
    traces: Mapping[str, Trace] = field(default_factory=dict)
    datasets: Mapping[str, tuple[DatasetRow, ...]] = field(default_factory=dict)
    tasks: Mapping[str, Any] = field(default_factory=dict)
    audio: Mapping[str, Recording] = field(default_factory=dict)
    tokenizer_json: bytes | None = None
    words: tuple[str, ...] = ()


def read_materials(document: doc.Scenario, search_paths: Sequence[Path] = ()) -> Materials:
    """Reads every file the document and its sweep name; raises ScenarioError with all that are
    wrong."""
    found: dict[str, dict[Any, Any]] = {
        "tables": {},
        "traces": {},
        "datasets": {},
        "tasks": {},
        "audio": {},
    }
    tokenizer: bytes | None = None
    faults: list[Fault] = []
    for reference in _all_references(document):
        try:
            content = read_reference(reference, search_paths)
        except FileFault as error:
            faults.append(Fault(".".join(map(str, reference.where)), str(error)))
            continue
        match reference.owner:
            case doc.Empirical(file=file, column=column):
                found["tables"][(file, column)] = content
            case doc.TraceWorkload(file=file) | doc.TraceArrival(file=file):
                found["traces"][file] = content
            case doc.DatasetWorkload(file=file):
                found["datasets"][file] = content
            case doc.ToolsWorkload(tools_file=file) | doc.JsonSchemaWorkload(schema_file=file):
                found["tasks"][file] = content
            case doc.AudioWorkload():
                found["audio"][reference.name] = content
            case doc.TokenizerTokens():
                tokenizer = content
    if faults:
        raise ScenarioError(document.name, faults)
    return Materials(**found, tokenizer_json=tokenizer, words=shipped_words())


def _all_references(document: doc.Scenario) -> Iterator[Reference]:
    """The document's own, then those only a point of its sweep has."""
    yield from references(document)
    if has_swept_files(document):
        seen = {(reference.owner, reference.name) for reference in references(document)}
        for point in expand(document):
            for reference in references(point.document):
                if (reference.owner, reference.name) not in seen:
                    seen.add((reference.owner, reference.name))
                    yield reference


def has_swept_files(document: doc.Scenario) -> bool:
    """Whether points read other files than the document itself does."""
    sweep = document.sweep
    if not isinstance(sweep, doc.ValuesSweep):
        return False
    # a swept column is another table of the same file
    of_files = any(path.rpartition(".")[2] in ("column", "format", "prompt") for path in sweep.over)
    return of_files or any(True for _ in swept_files(sweep.over))


def read_reference(reference: Reference, search_paths: Sequence[Path]) -> Any:
    """What one named file holds; raises FileFault. Read once a process and file version."""
    folders = (*search_paths, library_folder(), Path.cwd())
    owner, path = reference.owner, find(reference.name, folders)
    match owner:
        case doc.AudioWorkload():
            return _cached(read_wav, path, path.stat().st_mtime_ns, "")
        case doc.Empirical():
            return _cached(read_table, path, path.stat().st_mtime_ns, owner.column)
        case doc.TraceWorkload() | doc.TraceArrival():
            return _cached(read_trace, path, path.stat().st_mtime_ns, owner.format)
        case doc.DatasetWorkload():
            return _cached(read_dataset, path, path.stat().st_mtime_ns, owner.columns)
        case doc.ToolsWorkload():
            return _cached(read_tools, path, path.stat().st_mtime_ns, "")
        case doc.JsonSchemaWorkload():
            return _cached(read_schema, path, path.stat().st_mtime_ns, "")
        case doc.TokenizerTokens():
            return _cached(_tokenizer, path, path.stat().st_mtime_ns, "")


@functools.lru_cache(maxsize=16)
def _cached(reader: Any, path: Path, version: int, argument: Any) -> Any:
    """A sweep asks for the same trace at every point; version (mtime) notices an edit."""
    return reader(path, argument) if argument else reader(path)


@functools.cache
def shipped_words() -> tuple[str, ...]:
    """Common lower-case English words, a few thousand; lines that start with # are comments."""
    text = (library_folder() / "words" / "en.txt").read_text(encoding="utf-8")
    return tuple(word for word in text.split("\n") if word and not word.startswith("#"))


def _tokenizer(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        known = json.loads(raw)
    except (OSError, ValueError) as error:
        raise FileFault(f"{path.name} is not a tokenizer.json: {error}") from error
    if not isinstance(known, dict) or "model" not in known:
        raise FileFault(f"{path.name} is not a tokenizer.json: it has no key 'model'")
    from tokenizers import Tokenizer  # here, so that scenarios without one load at once

    try:
        Tokenizer.from_buffer(raw)
    except Exception as error:  # the library raises bare Exception
        raise FileFault(f"{path.name} is not a tokenizer.json: {error}") from error
    return raw
