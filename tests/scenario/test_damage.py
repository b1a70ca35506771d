"""A damaged document ends in faults or loads; it never ends in anything else.

400 seeded mutations of the library: values of every wrong type at every place. The seed is fixed,
so the test is the same everywhere.
"""

from __future__ import annotations

import copy
import math
import random
from contextlib import suppress
from typing import Any

from ruamel.yaml import YAML

from harness.errors import ScenarioError
from harness.scenario import expand
from harness.scenario._check import check
from harness.scenario._files import library_folder, library_names

WRONG: tuple[Any, ...] = (
    None, True, -1, 1.5, math.nan, 10**30, "x", "", "5s", [], {}, [[]], [{}], {"kind": "x"},
    {"kind": None}, {"kind": ["a"]}, {"kind": "open"}, {"name": "x"},
    {"kind": "list", "over": {"load.rate": ["1/s"], "traffic.0": [1], "a": [2]}},
)  # fmt: skip
KEYS = ("kind", "name", "file", "rate", "over", "trace", "open", "Ramp", "str", "0")


def places(value: Any) -> list[tuple[Any, Any]]:
    keys: list[Any] = list(value) if isinstance(value, dict) else []
    keys = list(range(len(value))) if isinstance(value, list) else keys
    return [spot for key in keys for spot in ((value, key), *places(value[key]))]


def test_no_damage_escapes() -> None:
    rng = random.Random(1)
    library = [YAML(typ="safe").load(library_folder() / f"{name}.yaml") for name in library_names()]
    outcomes = {"valid": 0, "faults": 0}
    for _ in range(400):
        data = copy.deepcopy(rng.choice(library))
        for _ in range(rng.randint(1, 3)):
            block, key = rng.choice(places(data))
            if rng.random() < 0.8:
                block[key] = copy.deepcopy(rng.choice(WRONG))
            elif isinstance(block, dict):
                block[rng.choice(KEYS)] = copy.deepcopy(rng.choice(WRONG))
        checked = check(data)
        assert (checked.document is None) == bool(checked.wrong)
        assert all(fault.message and fault.path for fault in checked.shown(data))
        outcomes["faults" if checked.wrong else "valid"] += 1
        if checked.document is not None:
            with suppress(ScenarioError):  # a swept value may be wrong
                assert expand(checked.document)
    assert min(outcomes.values()) > 5
