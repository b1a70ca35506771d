"""Where the checkout is, and how a child of a benchmark finds it and its packages."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment(**more: str) -> dict[str, str]:
    """Ours, with the checkout before whatever folders PYTHONPATH names: all may lie in one."""
    found = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(ROOT), *(str(Path(entry).absolute()) for entry in found if entry)]
    return {**os.environ, **more, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
