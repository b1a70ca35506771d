"""Memory that steps free, in a process of its own: malloc is told once for all."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, threading
import numpy as np
from engine_under_test.kept_memory import keep_freed_memory
counts = []
def steps():
    for k in range(12):
        if k == 4:
            counts.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt)
        rows = [np.ones(250_000) for _ in range(4)]  # 2 MB each, freed together
        del rows
    counts.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt)
keep_freed_memory()
thread = threading.Thread(target=steps); thread.start(); thread.join()
print(counts[1] - counts[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_memory_that_a_step_frees_is_there_for_the_next() -> None:
    """8 steps of 8 MB: 16,000 pages if each were given back and cleared anew."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 500
