"""Shared switches: `--regenerate` rewrites golden files, whose diff is then reviewed like code."""

from __future__ import annotations

import os

import pytest

# Kernels of the engine run on this CPU; Triton looks when it is first imported.
os.environ.setdefault("TRITON_INTERPRET", "1")
# A test that a GPU would answer otherwise is no test: python -m benchmarks.gpu is for those.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="rewrite golden files")


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--regenerate"))
