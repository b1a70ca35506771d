"""Workers of other hosts, as processes with a clock, a code or a secret of their own.

They reach the master on 127.0.0.2 while the endpoint answers on 127.0.0.1; none of them is told any
path of the run. What the endpoint saw and when is the truth they are held against.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, MeasurementError, UsageError
from harness.load import Done, LoadProcess, Pulse, check_bind
from harness.records import read_spool, read_workers
from harness.testing import ScriptedServer

from .conftest import Point, drive, make_plan, open_load, scenario_of
from .peers import (
    OTHER_BODIES,
    OTHER_SCHEDULE,
    OTHER_SCHEMA,
    OTHER_VERSION,
    SLOW_PONG,
    TOKEN,
    Lines,
    Peer,
    shifted,
)
from .raw_server import GOOD, RawServer
from .test_processes import wait_until

FAST = {"timing": {"ttft": "5ms", "gap": "1ms"}}
LOAD = open_load(40, 60, warmup="0s", cooldown="2s")
LONG = open_load(50, 20_000)
OFFSET_S, DRIFT_PPM = 5.0, 300.0


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_TOKEN", TOKEN)


class Master:
    """A load process that waits for workers of other hosts in a thread of its own."""

    def __init__(self, process: LoadProcess, lines: Lines) -> None:
        self.process, self.lines = process, lines
        self._error: HarnessError | None = None
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._thread.start()
        wait_until(lines.has("--master"))

    def _gather(self) -> None:
        try:
            self.process.gather()
        except HarnessError as error:
            self._error = error

    def gathered(self) -> HarnessError | None:
        """Once all are there, or why not."""
        self._thread.join(120)
        assert not self._thread.is_alive()
        return self._error


@contextmanager
def master(num_local: int, num_remote: int, join_s: float) -> Iterator[Master]:
    lines = Lines()
    with LoadProcess(
        num_local, "127.0.0.2", remote_workers=num_remote, say=lines, join_s=join_s
    ) as process:
        yield Master(process, lines)


def measured(point: Point) -> list[dict[str, Any]]:
    return [row for row in point.rows if row["phase"] == "measured"]


def in_middle(events: Iterator[Done | Pulse]) -> None:
    """Until the load runs."""
    next(e for e in events if isinstance(e, Pulse) and e.sent > 40 and e.workers > 0)


@pytest.mark.e2e
@pytest.mark.slow
def test_two_hosts_with_clocks_of_their_own_measure_what_one_process_does(tmp_path: Path) -> None:
    """One of them is 5 s ahead and 300 ppm fast. Causes come before effects on the one axis: the
    endpoint, whose stamps are the master's, received after it was sent and before it was read."""
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedServer(FAST))
        scenario = scenario_of(server.base_url, LOAD)
        run = stack.enter_context(master(0, 2, 200))
        changes = ("import locust", shifted(OFFSET_S, DRIFT_PPM))
        peers = [stack.enter_context(Peer(run.lines.address, c)) for c in changes]
        with LoadProcess(1) as process:
            alone = drive(process, make_plan(tmp_path / "alone", scenario))
        assert run.gathered() is None
        both = drive(run.process, make_plan(tmp_path / "both", scenario, run_id="other"))
        log = {entry.request_id: entry for entry in server.requests}
        run.process.close()
        assert [peer.end() for peer in peers] == [0, 0]
    assert (alone.done.status, both.done.status) == ("complete", "complete")

    def offered(rows: Sequence[dict[str, object]]) -> list[tuple[object, ...]]:
        names = ("stage", "ordinal", "row", "class", "n_in", "asked_in", "asked_out", "n_out")
        return [tuple(row[name] for name in names) for row in rows]

    assert offered(measured(both)) == offered(measured(alone))
    assert len(measured(both)) == 60
    assert {row["error_class"] for row in both.rows} == {""}
    assert {row["worker"] for row in both.rows} == {0, 1}

    workers = {w["shard"]: w for w in read_workers(both.folder)}
    ahead = next(w for w in workers.values() if w["offset_ns"])
    assert abs(ahead["offset_ns"] / 1e9 - OFFSET_S) < 0.1  # 300 ppm since it began to run
    assert [w["offset_ns"] for w in workers.values() if w is not ahead] == [0]
    assert all(w["is_remote"] for w in workers.values())
    unsure_ns = ahead["uncertainty_ns"]
    assert 0 < unsure_ns <= 10_000_000

    # a clock that runs fast keeps its schedule by itself: what it gained by then is no error
    gained_ns = abs(ahead["end_offset_ns"] - ahead["offset_ns"])
    start_ns = both.stages[0]["start_ns"]
    for mine, theirs in zip(measured(both), measured(alone), strict=True):
        due_ns = theirs["intended_ns"] - alone.stages[0]["start_ns"]
        assert abs(mine["intended_ns"] - start_ns - due_ns) <= 2 * unsure_ns + gained_ns
        seen = log[mine["request_id"]]
        assert mine["sent_ns"] <= seen.recv_ns + unsure_ns
        assert seen.recv_ns <= mine["headers_ns"] + unsure_ns
        assert seen.send_ns[0] <= mine["first_token_ns"] + unsure_ns
    clients = {row["worker"]: row for row in both.clients}
    assert clients[ahead["shard"]]["clock_offset_ns"] == ahead["offset_ns"]
    t1_ns = both.stages[0]["load_end_ns"]
    assert all(start_ns - 60e9 < row["t_ns"] < t1_ns + 60e9 for row in both.clients)


@pytest.mark.e2e
@pytest.mark.slow
def test_two_hosts_send_the_bytes_that_one_process_sends_at_its_rate(tmp_path: Path) -> None:
    """By the account of a server that shares no code with us. Salts are made of the run's id and
    the ordinal, so even they are the same."""
    bodies, seconds = [], []
    for hosts in (0, 2):
        with ExitStack() as stack:
            server = stack.enter_context(RawServer(lambda *_: GOOD))
            load = LOAD | {"arrival": {"kind": "poisson"}, "requests": 200}
            plan = make_plan(tmp_path / str(hosts), scenario_of(server.base_url, load))
            if hosts:
                run = stack.enter_context(master(0, hosts, 200))
                for _ in range(hosts):
                    stack.enter_context(Peer(run.lines.address))
                assert run.gathered() is None
                point = drive(run.process, plan)
            else:
                point = drive(stack.enter_context(LoadProcess(1)), plan)
            ids = [row["request_id"] for row in measured(point)]
            assert {row["error_class"] for row in point.rows} == {""}
            assert set(server.asked.values()) == {1}
            assert len(server.asked) == len(point.rows)
            bodies.append({name: server.bodies[name] for name in ids})
            due_ns = [row["intended_ns"] for row in measured(point)]
            assert all(server.asked_ns[k] > due for k, due in zip(ids, due_ns, strict=True))
            seconds.append((due_ns[-1] - due_ns[0]) / 1e9)
    assert len(bodies[0]) == 200
    assert len(set(bodies[0].values())) == 200
    assert bodies[0] == bodies[1]
    assert seconds[1] == pytest.approx(seconds[0], rel=0.01)


@pytest.mark.e2e
@pytest.mark.slow
def test_who_does_not_fit_is_refused_on_both_sides() -> None:
    cases = {
        "do not share HARNESS_TOKEN": {"token": "another"},
        "package 0.1.0 here, 0.0.9 there": {"change": OTHER_VERSION},
        "records schema 1 here, 99 there": {"change": OTHER_SCHEMA},
        "clock is too uncertain": {"change": shifted(OFFSET_S) + SLOW_PONG},
    }
    with ExitStack() as stack:
        run = stack.enter_context(master(0, 1, 300))
        address = run.lines.address
        peers = [stack.enter_context(Peer(address, **given)) for given in cases.values()]
        for words, peer in zip(cases, peers, strict=True):
            code = peer.end()
            assert words in peer.refusal
            assert code == (4 if "clock" in words else 2)
            wait_until(run.lines.has(words))


@pytest.mark.e2e
@pytest.mark.slow
def test_a_run_without_its_workers_says_what_to_type() -> None:
    with master(0, 1, 1) as run:
        error = run.gathered()
        address = run.lines.address
    assert isinstance(error, UsageError)
    assert "0 of 1 remote load workers joined within 1 s" in error.what
    assert error.why == "the others never said hello"
    assert f"harness worker --master {address} --workers 1" in error.do


# in a process of its own: gevent's hub, and no test is to run under it
PATIENCE = """
from harness.errors import UsageError
from harness.load.conductor import Conductor, Crew

class Fake:
    refusals = ["h: another token", "h: records schema 1 here, 99 there", "h: another token"]
    def register_message(self, name, handler): pass

conductor = Conductor(Fake(), Fake(), Crew(0, 1, 40.0, "harness worker"), print)
conductor._check_patience(39.9, 0, 0)
try:
    conductor._check_patience(40.1, 0, 0)
except UsageError as error:
    print(error.why)
"""


def test_a_run_whose_workers_were_all_refused_names_them_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PATIENCE], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "h: another token; h: records schema 1 here, 99 there\n", done.stderr


@pytest.mark.e2e
@pytest.mark.slow
def test_a_worker_that_cannot_do_its_part_ends_the_point_and_another_may_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_THIS_HOST", "known to the master's host alone")
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedServer(FAST))
        poisson = {"arrival": {"kind": "poisson"}}  # a schedule that depends on its seed
        scenario = scenario_of(server.base_url, LOAD | poisson)
        keyed = scenario_of(server.base_url, LOAD)
        keyed["traffic"][0]["api_key_env"] = "KEY_OF_THIS_HOST"
        wide = scenario_of(server.base_url, LOAD | {"max_in_flight": 400})
        run = stack.enter_context(master(1, 1, 200))
        cases = (
            ("built another schedule", MeasurementError, scenario, {"change": OTHER_SCHEDULE}),
            ("built other requests", MeasurementError, scenario, {"change": OTHER_BODIES}),
            ("KEY_OF_THIS_HOST is not set", UsageError, keyed, {"env": {"KEY_OF_THIS_HOST": ""}}),
            ("too few descriptors", UsageError, wide, {"descriptors": 300}),
        )
        for index, (words, kind, document, given) in enumerate(cases):
            peer = stack.enter_context(Peer(run.lines.address, **given))
            if not index:
                assert run.gathered() is None
            plan = make_plan(tmp_path / str(index), document)
            with pytest.raises(kind, match=words) as caught:
                list(run.process.run(plan))
            assert "load worker 1 on" in caught.value.render()
            assert peer.end() == int(caught.value.exit_code)
            assert words in peer.refusal
        assert server.requests == ()
        stack.enter_context(Peer(run.lines.address))
        good = drive(run.process, make_plan(tmp_path / "good", scenario))
    assert (good.done.status, len(measured(good))) == ("complete", 60)


@pytest.mark.e2e
@pytest.mark.slow
def test_a_host_that_is_lost_is_named_and_its_place_is_taken_in_the_next_point(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedServer(FAST))
        run = stack.enter_context(master(0, 2, 200))
        first, second = (stack.enter_context(Peer(run.lines.address)) for _ in range(2))
        assert run.gathered() is None
        events = run.process.run(make_plan(tmp_path / "long", scenario_of(server.base_url, LONG)))
        in_middle(events)
        first.process.kill()
        third = stack.enter_context(Peer(run.lines.address))  # while the point is being drained
        *_, done = events
        assert isinstance(done, Done)
        assert done.status == "partial"
        assert "lost load worker" in done.reason
        assert "its heartbeat stopped" in done.reason
        rows = read_spool(tmp_path / "long").requests.to_pylist()
        assert len(rows) == done.rows > 40
        assert {row["worker"] for row in rows} == {0, 1}  # what had come of the lost one is kept

        plan = make_plan(tmp_path / "again", scenario_of(server.base_url, LOAD))
        again = drive(run.process, plan)
        assert (again.done.status, len(measured(again))) == ("complete", 60)
        run.process.close()
        assert [second.end(), third.end()] == [0, 0]
        said = [row.get("text", "") for row in third.said]
        assert any("parked" in text for text in said) or "joined" in said


def test_other_hosts_are_let_in_with_a_secret_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_bind("0.0.0.0:5557", 2) == ("0.0.0.0", 5557)
    monkeypatch.delenv("HARNESS_TOKEN")
    assert check_bind("127.0.0.2") == ("127.0.0.2", 0)
    for bind, num_remote in (("0.0.0.0", 0), ("127.0.0.1", 1), ("10.0.0.5:7", 0)):
        with pytest.raises(UsageError, match="without a shared secret"):
            check_bind(bind, num_remote)
