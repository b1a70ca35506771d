"""Every file a document names: where it is named and what it must hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from harness.scenario import document as doc
from harness.scenario._tree import Where

Owner = (
    doc.Empirical
    | doc.TraceWorkload
    | doc.TraceArrival
    | doc.DatasetWorkload
    | doc.TokenizerTokens
    | doc.ToolsWorkload
    | doc.JsonSchemaWorkload
    | doc.AudioWorkload
)
FILE_KEYS = ("file", "tools_file", "schema_file")
LIST_KEY = "files"


def file_key(owner: Owner) -> str:
    """The owner's key that names its file."""
    if isinstance(owner, doc.ToolsWorkload):
        return "tools_file"
    if isinstance(owner, doc.AudioWorkload):
        return LIST_KEY
    return "schema_file" if isinstance(owner, doc.JsonSchemaWorkload) else "file"


@dataclass(frozen=True, slots=True)
class Reference:
    """where: the path of the key that names the file.  owner: the block that holds it."""

    where: Where
    owner: Owner

    @property
    def name(self) -> str:
        if isinstance(self.owner, doc.AudioWorkload):
            return self.owner.files[int(self.where[-1])]
        name: str = getattr(self.owner, file_key(self.owner))
        return name


def references(document: BaseModel, where: Where = ()) -> Iterator[Reference]:
    """All references of a document or of a block of it, in document order."""
    if isinstance(document, doc.AudioWorkload):
        for index in range(len(document.files)):
            yield Reference((*where, LIST_KEY, index), document)
    elif isinstance(document, Owner):
        yield Reference((*where, file_key(document)), document)
    for name, info in type(document).model_fields.items():
        yield from _below(getattr(document, name), (*where, info.alias or name))


def swept_files(over: Mapping[str, Any]) -> Iterator[Where]:
    """Where a sweep's values name files, from sweep.over on: under a path to a `file` key, or in
    a whole block that is swept."""
    for path, values in over.items():
        for index, value in enumerate(values):
            if path.rpartition(".")[2] in FILE_KEYS:
                yield (path, index)
            else:
                yield from ((path, index, *inner) for inner in _files_in(value))


def _files_in(value: Any) -> Iterator[Where]:
    keyed = value.items() if isinstance(value, Mapping) else ()
    counted = enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in (*keyed, *counted):
        if key in FILE_KEYS and isinstance(item, str):
            yield (key,)
        else:
            yield from ((key, *inner) for inner in _files_in(item))


def _below(value: object, where: Where) -> Iterator[Reference]:
    if isinstance(value, BaseModel):
        yield from references(value, where)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _below(item, (*where, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _below(item, (*where, key))
