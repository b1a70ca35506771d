"""locust's own totals equal the requests, however many events each had; its numbers stay theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.testing import ScriptedServer

from .conftest import make_plan, open_load, scenario_of

pytestmark = pytest.mark.e2e

CODE = """
import locust, json, sys
from locust.env import Environment
from harness.load.conductor import Conductor
from harness.load.dispatcher import Dispatcher
from harness.load.plan import PointPlan
from harness.load.worker import Worker
environment = Environment(user_classes=[Dispatcher])
runner = environment.create_local_runner()
conductor = Conductor(runner, 1, lambda event: None, list)
Worker(environment, runner).hello()
conductor.gather()
done = conductor.run_point(PointPlan.from_json(json.loads(sys.argv[1])))
total = environment.stats.total
print(json.dumps([done.rows, total.num_requests, total.num_failures, done.status]))
"""


def test_one_event_a_request(tmp_path: Path) -> None:
    fault = {"first": 3, "last": 7, "then": {"http": {"status": 500}}}
    with ScriptedServer({"timing": {"ttft": "5ms", "gap": "1ms"}, "faults": [fault]}) as server:
        scenario = scenario_of(server.base_url, open_load(50, 20, cooldown="0s"), out=25)
        plan = make_plan(tmp_path, scenario)
        out = subprocess.run(
            [sys.executable, "-c", CODE, json.dumps(plan.to_json())],
            capture_output=True, text=True, check=True, timeout=90,
        )  # fmt: skip
    rows, num_requests, num_failures, status = json.loads(out.stdout.splitlines()[-1])
    assert rows == num_requests >= 20
    assert num_failures == 5
    assert status == "complete"
