"""Dotted paths into a document: `traffic.chat.weight`, list items by name or index.

Used by `--set`, by sweeps and to print where a fault is. Keys that hold dots themselves (a header,
a path under sweep.over) are found because the longest key that exists wins.
"""

from __future__ import annotations

import difflib
from typing import Any

from harness.scenario._tree import Where


class PathError(ValueError):
    """A path that leads nowhere; the message says where it stops and what is there."""


def resolve(data: Any, path: str, *, may_create: bool = False) -> Where:
    """The keys and indices a dotted path stands for.

    may_create: keys that do not exist yet are taken as they are; list items must exist.
    Raises PathError.
    """
    parts = path.split(".")
    if not all(part.strip() for part in parts):
        raise PathError(f"'{path}' is not a path; write keys with single dots between them")
    return _walk(data, parts, (), may_create)


def _walk(data: Any, parts: list[str], done: Where, may_create: bool) -> Where:
    if not parts:
        return done
    if done == ("sweep", "over") and isinstance(data, dict | None):  # its keys are paths themselves
        return (*done, ".".join(parts))
    for size in range(len(parts), 0, -1):
        key = _key(data, ".".join(parts[:size]))
        if key is not None:
            return _walk(data[key], parts[size:], (*done, key), may_create)
    if isinstance(data, list):
        raise PathError(_no_item(data, parts[0], show_plain(done)))
    if data is not None and not isinstance(data, dict):
        raise PathError(f"'{show_plain(done)}' holds a value; nothing lies below it")
    if may_create:
        where = (*done, *parts)
        is_swept = where[:2] == ("sweep", "over") and len(where) > 3
        return ("sweep", "over", ".".join(map(str, where[2:]))) if is_swept else where
    raise PathError(_no_key(data or {}, parts[0], show_plain(done)))


def _key(data: Any, name: str) -> str | int | None:
    if isinstance(data, dict):
        return name if name in data else None
    if isinstance(data, list):
        for index, item in enumerate(data):
            if isinstance(item, dict) and _name(item) == name:
                return index
        if name.isdecimal() and int(name) < len(data):
            return int(name)
    return None


def get(data: Any, where: Where) -> Any:
    """The value at `where`; None where there is none."""
    for key in where:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def put(data: Any, where: Where, value: Any) -> None:
    """Set in place; mappings that are missing on the way are made."""
    for key in where[:-1]:
        if isinstance(data, dict) and data.get(str(key)) is None:
            data[key] = {}
        data = data[key]
    data[where[-1]] = value


def show(data: Any, where: Where) -> str:
    """The path as people write it: list items by name where they have one."""
    parts: list[str] = []
    for key in where:
        data = data[key] if _has(data, key) else None
        name = _name(data) if isinstance(key, int) and isinstance(data, dict) else None
        parts.append(name if isinstance(name, str) and name else str(key))
    return ".".join(parts) or "(document)"


def show_plain(where: Where) -> str:
    return ".".join(map(str, where)) or "(document)"


def _name(item: dict[str, Any]) -> Any:
    """What an item of a list is called: classes and stages by name, rules by id."""
    return item.get("name", item.get("id"))


def _has(data: Any, key: str | int) -> bool:
    if isinstance(key, int):
        return isinstance(data, list) and key < len(data)
    return isinstance(data, dict) and key in data


def _no_item(data: list[Any], name: str, place: str) -> str:
    names = [str(own) for item in data if isinstance(item, dict) and (own := _name(item))]
    legal = ", ".join(names) or f"0 to {len(data) - 1}"
    return f"{place} has no item '{name}'{_hint(name, names)}; it has {legal}"


def _no_key(data: dict[str, Any], name: str, place: str) -> str:
    return f"{place} has no key '{name}'{_hint(name, list(data))}"


def _hint(name: str, legal: list[str]) -> str:
    near = difflib.get_close_matches(name, legal, n=1)
    return f", did you mean '{near[0]}'?" if near else ""
