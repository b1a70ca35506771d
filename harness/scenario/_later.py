"""Keys and kinds of the language that this version does not serve yet, so a fault can say so."""

from __future__ import annotations

NOT_SERVED = "not served in this version"

# model name -> keys
_KEYS: dict[str, set[str]] = {}

# Kinds are unique enough across the language that one set serves every choice.
_KINDS = {
    "multi_turn", "vision", "batch",  # workload
    "mmpp", "sine",  # load
    "responses",  # api
}  # fmt: skip


def is_later_key(model: type, key: str) -> bool:
    names = {base.__name__ for base in model.__mro__}
    return any(key in keys for name, keys in _KEYS.items() if name in names)


def is_later_kind(kind: object) -> bool:
    return isinstance(kind, str) and kind in _KINDS
