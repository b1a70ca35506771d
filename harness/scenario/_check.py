"""Plain values -> a valid document, or everything that is wrong with them.

Three passes whose findings are joined: pydantic on the whole, the rules of each block that is
valid in itself, the rules between blocks. Files are not opened here.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import Fault
from harness.scenario import document as doc
from harness.scenario._faults import Wrong, explain
from harness.scenario._gate_check import gate_faults
from harness.scenario._paths import PathError, get, resolve, show, show_plain
from harness.scenario._rules import complaints
from harness.scenario._search_check import search_faults
from harness.scenario._shape import Shape, fields_of
from harness.scenario._streamed import streamed_faults
from harness.scenario._tree import Where

_SWEEPABLE = ("traffic", "load", "slo", "validity", "seed", "targets")


@dataclass(frozen=True, slots=True)
class Checked:
    """document is None where anything is wrong."""

    document: doc.Scenario | None
    wrong: tuple[Wrong, ...]

    def shown(self, data: Any) -> list[Fault]:
        """The findings without positions."""
        return [Fault(show(data, w.where), w.message) for w in self.wrong]


def check(data: Any) -> Checked:
    """Validate one whole document of plain values."""
    if not isinstance(data, dict):
        return Checked(None, (Wrong((), "expected keys such as schema, name, targets, traffic"),))
    newer = _other_schema(data.get("schema"))
    if newer:
        return Checked(None, (Wrong(("schema",), newer),))
    document, wrong = _validate(data)
    taken = {w.where for w in wrong}
    for found in (*_block_rules(data), *_between(data)):
        if found.where not in taken:
            taken.add(found.where)
            wrong.append(found)
    return Checked(None if wrong else document, tuple(wrong))


def _other_schema(given: Any) -> str:
    """Why a document of another language or a newer version is not looked at any further."""
    if given in (None, "harness/v1"):
        return ""
    head, _, version = str(given)[:40].rpartition("/v")
    if head == "harness" and version.isdecimal():
        return f"{given} is newer than this harness, which reads harness/v1; update the harness"
    return f"'{str(given)[:40]}' is not known; write harness/v1"


def _validate(data: dict[str, Any]) -> tuple[doc.Scenario | None, list[Wrong]]:
    try:
        return doc.Scenario.model_validate(data), []
    except ValidationError as error:
        return None, explain(doc.Scenario, data, error.errors(include_url=False))


def _block_rules(data: dict[str, Any]) -> Iterator[Wrong]:
    yield from _walk(Shape("block", model=doc.Scenario), data, ())


def _walk(shape: Shape | None, value: Any, where: Where) -> Iterator[Wrong]:
    if shape is None:
        return
    model = shape.block(value)
    if model is not None and isinstance(value, dict):
        yield from _rules_of(model, value, where)
        for key, below in fields_of(model).items():
            if key in value:
                yield from _walk(below, value[key], (*where, key))
    elif shape.kind == "leaf" and isinstance(value, bool) and not shape.takes_bool:
        yield Wrong(where, f"must not be {str(value).lower()}")
    elif shape.kind == "list" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(shape.child(value, index), item, (*where, index))
    elif shape.kind == "names" and isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(shape.child(value, key), item, (*where, key))


def _rules_of(model: type[BaseModel], value: dict[str, Any], where: Where) -> Iterator[Wrong]:
    if model is doc.Scenario:
        return
    try:
        block = model.model_validate(value)
    except ValidationError:
        return
    for field, message in complaints(block):
        if field.startswith(("headers.", "over.")):  # keys that may hold dots
            head, _, rest = field.partition(".")
            steps: Where = (head, rest)
        else:
            steps = tuple(int(p) if p.isdecimal() else p for p in field.split(".") if p)
        yield Wrong((*where, *steps), message)


def _between(data: dict[str, Any]) -> Iterator[Wrong]:
    """Rules between blocks, on plain values: any block may be broken."""
    yield from _class_names(data.get("traffic"))
    yield from streamed_faults(data)
    if isinstance(data.get("gate"), dict):
        yield from gate_faults(data, data["gate"])
    sweep, targets = data.get("sweep"), data.get("targets")
    if isinstance(sweep, dict) and isinstance(targets, dict):
        names = sweep.get("targets")
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if isinstance(name, str) and name not in targets:
                legal = ", ".join(targets)
                yield Wrong(("sweep", "targets", index), f"no target '{name}'; there are {legal}")
    stop = data.get("stop")
    if isinstance(stop, dict) and stop.get("max_spend") is not None and not data.get("cost"):
        yield Wrong(("stop", "max_spend"), "needs prices to follow; give a cost block")
    load = data.get("load")
    if isinstance(stop, dict) and stop.get("over_saturated") and isinstance(load, dict):
        parts = load.get("stages") if load.get("kind") == "stages" else [load]
        kinds = {p.get("kind") for p in parts or () if isinstance(p, dict)}
        if kinds and not kinds & {"open", "probe"}:
            yield Wrong(
                ("stop", "over_saturated"), "needs an open load; a closed one waits for its target"
            )
    if isinstance(data.get("cost"), dict) and isinstance(targets, dict):
        yield from _cost_targets(data["cost"], targets)
    over = sweep.get("over") if isinstance(sweep, dict) else None
    if isinstance(over, dict):
        yield from _swept_paths(data, over)
    if isinstance(sweep, dict):
        yield from _number_of_points(sweep, targets)
    if isinstance(sweep, dict) and sweep.get("kind") == "search":
        yield from search_faults(data)


def _cost_targets(cost: dict[str, Any], targets: dict[str, Any]) -> Iterator[Wrong]:
    legal = ", ".join(map(str, targets))
    named: dict[str, Any] = {}
    for side in ("serverless", "on_demand"):
        block = cost.get(side)
        found = block.get("target") if isinstance(block, dict) else None
        named[side] = found if isinstance(found, str) else None  # other kinds are told by the model
        if named[side] is not None and named[side] not in targets:
            yield Wrong(("cost", side, "target"), f"no target '{named[side]}'; there are {legal}")
    if named["serverless"] is not None and named["serverless"] == named["on_demand"]:
        yield Wrong(
            ("cost", "on_demand", "target"), "is the serverless one; a target is one of them"
        )
    left = [name for name in targets if name != named["serverless"]]
    if isinstance(cost.get("on_demand"), dict) and named["on_demand"] is None and len(left) != 1:
        yield Wrong(("cost", "on_demand", "target"), f"missing; say which is on demand: {legal}")


def unknown_step(data: Any, where: Where) -> str:
    """Why no document can have a value at `where`, empty where it can."""
    shape: Shape | None = Shape("block", model=doc.Scenario)
    for depth, step in enumerate(where):
        model = shape.block(data) if shape else None
        if shape is None or (shape.kind in ("block", "choice", "leaf") and model is None):
            return ""  # its own block is wrong, which is said there
        if model is not None and step not in fields_of(model):
            near = difflib.get_close_matches(str(step), list(fields_of(model)), n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            return f"{show_plain(where[:depth])} has no key '{step}'{hint}"
        shape, data = shape.child(data, step), get(data, (step,))
    return ""


def _class_names(traffic: Any) -> Iterator[Wrong]:
    seen: set[str] = set()
    for index, item in enumerate(traffic if isinstance(traffic, list) else ()):
        name = item.get("name") if isinstance(item, dict) else None
        if isinstance(name, str):
            if name in seen:
                yield Wrong(
                    ("traffic", index, "name"), f"'{name}' is taken; every class has its own name"
                )
            seen.add(name)


def _swept_paths(data: dict[str, Any], over: dict[str, Any]) -> Iterator[Wrong]:
    for path in over:
        head, _, rest = str(path).partition(".")
        # one tokenizer and one set of targets serve the whole run
        if head not in _SWEEPABLE or str(path) == "targets":
            yield Wrong(("sweep", "over", path), f"'{head}' cannot be swept", at_key=True)
            continue
        targets, name = data.get("targets"), rest.partition(".")[0]
        if head == "targets" and isinstance(targets, dict) and name not in targets:
            legal = ", ".join(map(str, targets))
            message = f"no target '{name}'; there are {legal}"
            yield Wrong(("sweep", "over", path), message, at_key=True)
            continue
        try:
            unknown = unknown_step(data, resolve(data, str(path), may_create=True))
        except PathError as error:
            unknown = str(error)
        if unknown:
            yield Wrong(("sweep", "over", path), unknown, at_key=True)


def _number_of_points(sweep: dict[str, Any], targets: Any) -> Iterator[Wrong]:
    """Counted before any point is made."""
    over, repeat, names = sweep.get("over"), sweep.get("repeat"), sweep.get("targets")
    lists = [v for v in over.values() if isinstance(v, list)] if isinstance(over, dict) else []
    named = names if isinstance(names, list) else targets
    counts = [len(values) for values in lists]
    if sweep.get("kind") == "zip":
        counts = [max(counts, default=1)]
    counts += [repeat] if isinstance(repeat, int) else []
    counts += [len(named)] if isinstance(named, list | dict) else []
    total = math.prod(max(1, count) for count in counts)
    if total > doc.MOST_POINTS:
        where: Where = ("sweep", "over") if lists else ("sweep", "repeat")
        yield Wrong(where, f"makes {total:,} points; at most {doc.MOST_POINTS:,} run")
