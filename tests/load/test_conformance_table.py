"""docs/conformance.md names a test for each pitfall; each of those exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+) \|.*\| (.*) \|$", re.MULTILINE)


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_pitfall_has_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    rows = {int(number): cell for number, cell in ROW.findall(text)}
    assert set(rows) == set(range(1, 38))
    for number, cell in rows.items():
        ids = re.findall(r"`([^`]+)::([^`]+)`", cell)
        assert ids, number
        for file, name in ids:
            assert name in names_in(ROOT / file), (number, file, name)
