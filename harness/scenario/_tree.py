"""YAML text -> plain values with the place of every key and value, and every fault of the text.

YAML 1.2 through ruamel.yaml's composer: `no` stays text, `012` is 12, two equal keys are a fault.
Anchors, merge keys and tags are refused: the language has one spelling. This file knows nothing of
what the keys mean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from harness.errors import Fault

Where = tuple[str | int, ...]  # keys and list indices from the root
MOST_BYTES = 1_000_000
_MOST_DEPTH = 60
_DEEP = re.compile(r"(?:[\[{]\s*){60}")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_LARGEST_INT = 2**63 - 1  # what every file format of a run can hold
_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key and its value start; lines and columns count from 1."""

    key_line: int
    key_column: int
    line: int
    column: int


@dataclass(slots=True)
class Tree:
    """A parsed document. places: by path; a path without one did not come from this text."""

    data: Any
    places: dict[Where, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read_text(path: Path) -> tuple[str, Fault | None]:
    """The file's text, or a fault that says why there is none."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        return "", Fault("(file)", f"cannot be read: {error.strerror or error}")
    if len(raw) > MOST_BYTES:
        return "", Fault("(file)", f"has {len(raw):,} bytes; a scenario has at most {MOST_BYTES:,}")
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        return "", Fault("(text)", "is not UTF-8; save the file as UTF-8", line, column)


def parse_yaml(text: str) -> Tree:
    """Values and places of one YAML document; faults instead of exceptions."""
    yaml = YAML(typ="safe", pure=True)
    if run := _DEEP.search(text):  # the scanner takes quadratic time for these
        return Tree(
            None, faults=[Fault("(text)", "is nested too deeply", *_position(text, run.start()))]
        )
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        return Tree(None, faults=[_syntax_fault(error, text)])
    except (YAMLError, ValueError) as error:
        reason = getattr(error, "reason", "") or str(error).splitlines()[0]
        line, column = _position(text, getattr(error, "position", 0) or 0)
        return Tree(None, faults=[Fault("(text)", f"is not YAML: {reason}", line, column)])
    except RecursionError:
        return Tree(None, faults=[Fault("(text)", "is nested too deeply", 1, 1)])
    if node is None:
        return Tree(None, faults=[Fault("(file)", "is empty; start from: harness init", 1, 1)])
    reader = _Reader(yaml)
    return Tree(reader.value(node, ()), reader.places, reader.faults)


class _Reader:
    """Walks the composed nodes; collects places and faults on the way."""

    def __init__(self, yaml: YAML) -> None:
        self.yaml = yaml
        self.places: dict[Where, Place] = {}
        self.faults: list[Fault] = []
        self._seen: set[int] = set()

    def value(self, node: Node, path: Where, key: Node | None = None) -> Any:
        start, key_start = node.start_mark, (key or node).start_mark
        self.places[path] = Place(
            key_start.line + 1, key_start.column + 1, start.line + 1, start.column + 1
        )
        if len(path) > _MOST_DEPTH:
            return self._fault(path, key or node, "is nested too deeply")
        if id(node) in self._seen:
            return self._fault(path, key or node, "aliases are not used here; write the value out")
        self._seen.add(id(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._fault(path, key_node, "a key must be plain text")
                continue
            name = str(key_node.value)
            if name == "<<":
                self._fault((*path, name), key_node, "merge keys are not used here; write it out")
            elif name in found:
                text = f"this key is already given in line {lines[name]}; keep one"
                self._fault((*path, name), key_node, text)
            else:
                lines[name] = key_node.start_mark.line + 1
                found[name] = self.value(value_node, (*path, name), key_node)
        return found

    def _scalar(self, node: Node, path: Where) -> Any:
        tag = str(node.tag)
        if tag == "tag:yaml.org,2002:timestamp":  # a date is text: nothing here is a date
            return str(node.value)
        if tag not in _PLAIN:
            return self._fault(path, node, f"tags such as '{tag}' are not used here")
        try:
            value = self.yaml.constructor.construct_object(node, deep=True)
        except (ValueError, KeyError):  # `!!int abc`, or more digits than Python reads
            return self._fault(path, node, f"is not a value of type {tag.rpartition(':')[2]}")
        if isinstance(value, str) and _UNPRINTABLE.search(value):
            return self._fault(path, node, "holds a control character; write printable text")
        if isinstance(value, int) and abs(value) > _LARGEST_INT:
            return self._fault(path, node, f"is too large; at most {_LARGEST_INT:,}")
        return value

    def _fault(self, path: Where, node: Node, message: str) -> None:
        mark = node.start_mark
        shown = ".".join(map(str, path)) or "(text)"
        self.faults.append(Fault(shown, message, mark.line + 1, mark.column + 1))


def _syntax_fault(error: MarkedYAMLError, text: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    rows = text.splitlines()
    row = rows[line - 1] if line <= len(rows) else ""
    if "\t" in row[: len(row) - len(row.lstrip())]:
        return Fault("(text)", "a tab indents this line; YAML takes spaces only", line, column)
    problem = str(error.problem or error).strip()
    context = f" {error.context}" if error.context else ""
    return Fault("(text)", f"is not YAML: {problem}{context}", line, column)


def _position(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1
