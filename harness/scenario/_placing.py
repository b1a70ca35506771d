"""Where a fault lies: the line and column of its key or value, or the flag it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.errors import Fault
from harness.scenario._faults import Wrong
from harness.scenario._paths import show
from harness.scenario._tree import Place, Tree, Where


def placed(
    wrong: Sequence[Wrong], data: object, tree: Tree, origins: Mapping[Where, str]
) -> list[Fault]:
    """Faults with the position of the key or value, or the flag it came from.

    origins: path -> the flag that set it, or `scenario` for what the text holds; empty where no
    flag changes the document.
    """
    faults: list[Fault] = []
    for w in wrong:
        origin = _origin_of(w.where, tree, origins)
        shown = show(data, w.where)
        if origin != "scenario":
            faults.append(Fault(shown, f"{w.message} (from {origin})"))
            continue
        place = nearest(w.where, tree)
        is_key = w.at_key or w.where not in tree.places
        line, column = (place.key_line, place.key_column) if is_key else (place.line, place.column)
        faults.append(Fault(shown, w.message, line, column))
    return faults


def _origin_of(where: Where, tree: Tree, origins: Mapping[Where, str]) -> str:
    """The flag that set what is wrong, or a block in which something is missing."""
    for size in range(len(where), 0, -1):
        head = where[:size]
        if head in origins:
            return origins[head]
        if head in tree.places:
            return "scenario"
        beside = next((known for known in origins if known[:size] == head), None)
        if beside is not None:  # the block is not in the file: a flag made it
            return origins[beside]
    return "scenario"


def nearest(where: Where, tree: Tree) -> Place:
    """The place of `where`, or of the closest block around it where it is missing."""
    for size in range(len(where), -1, -1):
        if where[:size] in tree.places:
            return tree.places[where[:size]]
    return Place(1, 1, 1, 1)


def in_order(faults: Sequence[Fault]) -> list[Fault]:
    """By position; those without one (from flags) last."""
    return sorted(faults, key=lambda f: (f.line == 0, f.line, f.column))
