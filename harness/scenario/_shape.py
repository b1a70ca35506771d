"""What a document may hold at each place, read from the pydantic models.

Four shapes matter: a block, a choice of blocks by `kind`, a list, a mapping of names; the rest are
leaves. Faults and `--set` paths are found by walking shapes and values side by side. Nothing here
validates.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Shape:
    """kind: `block` (model), `choice` (members by kind), `list` or `names` (item), `leaf`.

    model: also set for a leaf that may be a block instead (`rate: 8/s` or `rate: {kind: ramp}`).
    takes_bool: False for numbers, for which pydantic would read `true` as 1.
    """

    kind: Literal["block", "choice", "list", "names", "leaf"]
    model: type[BaseModel] | None = None
    members: dict[str, type[BaseModel]] = field(default_factory=dict)
    item: Any = None
    takes_bool: bool = True

    def block(self, value: Any) -> type[BaseModel] | None:
        """The model that `value` is meant to be; None where it is none or has no legal kind."""
        if self.kind == "choice":
            kind = value.get("kind") if isinstance(value, dict) else None
            return self.members.get(kind) if isinstance(kind, str) else None
        if self.kind == "leaf" and not isinstance(value, dict):
            return None
        return self.model

    def child(self, value: Any, key: str | int) -> Shape | None:
        """The shape below `key`; None where nothing is known there."""
        if self.kind in ("list", "names"):
            return shape_of(self.item)
        model = self.block(value)
        return fields_of(model).get(str(key)) if model else None


def fields_of(model: type[BaseModel]) -> dict[str, Shape]:
    """Key as written in YAML -> shape."""
    return {
        (f.alias or name): shape_of(cast(Hashable, f.annotation))
        for name, f in model.model_fields.items()
    }


def description_of(model: type[BaseModel], key: str) -> str:
    for name, info in model.model_fields.items():
        if (info.alias or name) == key:
            return info.description or ""
    return ""


@functools.cache
def shape_of(annotation: Hashable) -> Shape:
    """The shape of a type annotation."""
    annotation = _bare(annotation)
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape("block", model=annotation)
    if origin is tuple:
        return Shape("list", item=get_args(annotation)[0])
    if origin is dict:
        return Shape("names", item=get_args(annotation)[1])
    if origin in (Union, types.UnionType):
        return _union(annotation)
    return Shape("leaf", takes_bool=annotation not in (int, float))


def _union(annotation: Any) -> Shape:
    parts = [_bare(part) for part in get_args(annotation) if part is not type(None)]
    if len(parts) == 1:
        return shape_of(parts[0])
    flat = [p for part in parts for p in (get_args(part) if _is_union(part) else (part,))]
    models = [p for p in map(_bare, flat) if isinstance(p, type) and issubclass(p, BaseModel)]
    if len(models) == len(flat):
        members = {kind: m for m in models for kind in get_args(m.model_fields["kind"].annotation)}
        return Shape("choice", members=members)
    takes_bool = any(part not in (int, float) for part in flat if part not in models)
    return Shape("leaf", model=models[0] if models else None, takes_bool=takes_bool)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation
