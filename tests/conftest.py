"""Shared switches: `--regenerate` rewrites golden files, whose diff is then reviewed like code."""

from __future__ import annotations

import os

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
