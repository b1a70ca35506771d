from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.testing import ScriptedServer

sys.path.insert(0, str(Path(__file__).parent))

FAST = {"timing": {"ttft": "2ms", "gap": "1ms"}}


@pytest.fixture(scope="session")
def server() -> Iterator[ScriptedServer]:
    """One plain and fast server; tests ask for behaviours with the x-script header."""
    with ScriptedServer(FAST) as running:
        yield running
