"""locust's own totals equal the requests, however many events each had; its numbers stay theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .cases import launched, run_cases

pytestmark = pytest.mark.e2e

# after a point the process tells what locust has counted
PATCHES = """
import json
from harness.load import __main__ as program
made = []

class Watched(program.Environment):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        made.append(self)

program.Environment = Watched
plain = program.Conductor.run_point

def run_point(self, plan):
    done, total = plain(self, plan), made[0].stats.total
    with open({path!r}, "w") as file:
        json.dump([done.rows, total.num_requests, total.num_failures, done.status], file)
    return done

program.Conductor.run_point = run_point
"""


def test_one_event_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "totals.json"
    cases = {"good": (3, {}), "bad": (5, {"http": {"status": 500}}), "well": (12, {})}
    with launched(tmp_path, PATCHES.replace("{path!r}", repr(str(told))), monkeypatch) as process:
        run_cases(process, tmp_path / "point", cases, out=25, load={"cooldown": "0s"})
    rows, num_requests, num_failures, status = json.loads(told.read_text("utf-8"))
    assert rows == num_requests >= 20
    assert num_failures == 5
    assert status == "complete"
