"""Shared switches: `--regenerate` rewrites golden files, whose diff is then reviewed like code."""

from __future__ import annotations

import os
from itertools import chain, zip_longest

import pytest
from hypothesis import HealthCheck, settings

# Kernels of the engine run on this CPU; Triton looks when it is first imported.
os.environ.setdefault("TRITON_INTERPRET", "1")
# A test that a GPU would answer otherwise is no test: python -m benchmarks.gpu is for those.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# How long an example takes is the machine's business, and an unlucky one should be met again by who
# looks for it: the same ones each time. To search for others: pytest --hypothesis-profile default.
settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="rewrite golden files")


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--regenerate"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several workers (-n) take whole files in this order: in turns one that waits for sockets and
    processes, and one that computes, each kind from its largest to its smallest. So the cores have
    work throughout, and no long file is left for the end, when one worker would be alone with it.
    """
    if not hasattr(config, "workerinput"):
        return
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)

    def num_waiting(name: str) -> int:
        return sum(any(map(item.get_closest_marker, ("slow", "e2e"))) for item in files[name])

    waiting = sorted(filter(num_waiting, files), key=num_waiting, reverse=True)
    computing = sorted(files.keys() - set(waiting), key=lambda name: (-len(files[name]), name))
    turns = chain.from_iterable(zip_longest(waiting, computing))
    items[:] = [item for name in turns if name for item in files[name]]
