"""Reads a document that is no scenario: a price sheet and the like, with the same care.

Parse, validate, fill defaults, freeze; every fault at once with line, column and the nearest legal
key. No overrides, no variables, no files beside it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import Fault, ScenarioError
from harness.scenario._faults import Wrong, explain
from harness.scenario._files import FileFault, find
from harness.scenario._placing import in_order, placed
from harness.scenario._shape import Shape, fields_of
from harness.scenario._tree import Where, parse_yaml, read_text

M = TypeVar("M", bound=BaseModel)
Rule = Callable[[BaseModel], Iterator[tuple[str, str]]]  # field of a valid block, what is wrong


class Kind(NamedTuple):
    """noun: `price sheet`.  schema: `harness/prices/v1`.  check: the verb that reads one.

    folder: of the ones that ship, below the library.
    """

    noun: str
    schema: str
    check: str
    folder: Path

    def names(self) -> tuple[str, ...]:
        """Those that ship, sorted."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.yaml")))

    def find(self, source: str | Path, search_paths: Sequence[Path] = ()) -> Path:
        """The file at a path, beside a scenario, or of that name in the library."""
        text = str(source)
        if text in self.names():
            return self.folder / f"{text}.yaml"
        try:
            return find(text, [*search_paths, Path.cwd()])
        except FileFault as error:
            near = difflib.get_close_matches(text, self.names(), n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"shipped: {', '.join(self.names())}"
            raise self.error(text, [Fault("(file)", f"{error}; {hint}")]) from None

    def error(self, source: str, faults: Sequence[Fault]) -> ScenarioError:
        return ScenarioError(source, in_order(faults), kind=self.noun, check=self.check)


def load_plain(kind: Kind, model: type[M], path: Path, rule: Rule) -> M:
    """The valid document at `path`. rule: says what is wrong between the fields of one block.

    Raises ScenarioError with every fault.
    """
    source = str(path)
    text, unreadable = read_text(path)
    if unreadable is not None:
        raise kind.error(source, [unreadable])
    tree = parse_yaml(text)
    if not isinstance(tree.data, dict):
        expected = Fault("(document)", f"expected keys, the first of them schema: {kind.schema}")
        raise kind.error(source, tree.faults or [expected])
    document, wrong = _validate(kind, model, tree.data, rule)
    unread = {(fault.line, fault.column) for fault in tree.faults}  # said already, for a reason
    found = placed(wrong, tree.data, tree, {})
    faults = [*tree.faults, *(f for f in found if (f.line, f.column) not in unread)]
    if faults or document is None:
        raise kind.error(source, faults)
    return document


def _validate(
    kind: Kind, model: type[M], data: dict[str, Any], rule: Rule
) -> tuple[M | None, list[Wrong]]:
    if other := _other_schema(kind, data.get("schema")):
        return None, [Wrong(("schema",), other)]
    document, wrong = None, []
    try:
        document = model.model_validate(data)
    except ValidationError as error:
        wrong = explain(model, data, error.errors(include_url=False))
    taken = {w.where for w in wrong}
    wrong += [
        w for w in _rules(Shape("block", model=model), data, (), rule) if w.where not in taken
    ]
    return document, wrong


def _other_schema(kind: Kind, given: Any) -> str:
    """Why a document of another language or a newer version is not looked at any further."""
    if given in (None, kind.schema):
        return ""
    own, shown = kind.schema.rpartition("/v")[0], str(given)[:40]
    head, _, version = shown.rpartition("/v")
    if head == own and version.isdecimal():
        return f"{shown} is newer than this harness, which reads {kind.schema}; update the harness"
    return f"'{shown}' is no {kind.noun}; write {kind.schema}"


def _rules(shape: Shape | None, value: Any, where: Where, rule: Rule) -> Iterator[Wrong]:
    """The rules of every block that is valid in itself, wherever others are broken."""
    model = shape.block(value) if shape is not None else None
    if model is not None and isinstance(value, dict):
        try:
            for field, message in rule(model.model_validate(value)):
                yield Wrong((*where, *(field.split(".") if field else ())), message)
        except ValidationError:
            pass
        for key, below in fields_of(model).items():
            if key in value:
                yield from _rules(below, value[key], (*where, key), rule)
    elif shape is not None and shape.kind == "names" and isinstance(value, dict):
        for key, item in value.items():
            yield from _rules(shape.child(value, key), item, (*where, key), rule)
    elif shape is not None and shape.kind == "list" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _rules(shape.child(value, index), item, (*where, index), rule)
