"""The room's public names, and that naming them costs no locust."""

from __future__ import annotations

import subprocess
import sys

import harness.load


def test_public_names() -> None:
    assert harness.load.__all__ == [
        "Done", "LoadEvent", "LoadProcess", "PointPlan", "Pulse", "RemoteWorkers", "TargetFacts",
        "calibrate", "check_bind", "check_hearing", "probe_target", "with_embeddings",
    ]  # fmt: skip
    for name in harness.load.__all__:
        assert getattr(harness.load, name) is not None


def test_the_callers_process_stays_unpatched() -> None:
    code = (
        "import sys, harness.load as load\n"
        "for name in load.__all__: getattr(load, name)\n"
        "print(*sorted({'locust', 'gevent', 'zmq'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert out.stdout.strip() == ""
