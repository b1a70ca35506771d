"""`python -m harness.load master|worker ...`: the processes that drive load. Spawned, never typed.

Importing locust patches the process, so it comes first, and only here. Commands come as JSON lines
on stdin, events leave as JSON lines on stdout; when stdin closes the process ends at once, so no
load outlives the command that asked for it.
"""

from __future__ import annotations

import locust  # isort: skip  # noqa: F401  patches sockets and threads before anything else

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import gevent
from gevent.queue import Queue
from locust.env import Environment

from harness.errors import ExitCode, HarnessError, UsageError
from harness.load.addresses import reachable_as
from harness.load.children import WorkerChildren
from harness.load.conductor import REMOTE_JOIN_S, Conductor, Crew
from harness.load.dispatcher import Dispatcher
from harness.load.failure import error_to_json
from harness.load.membership import Membership
from harness.load.messages import TOKEN_ENV
from harness.load.plan import Done, LoadEvent, PointPlan
from harness.load.point_run import PointLost
from harness.load.roster import Roster
from harness.load.setup import descriptor_limit
from harness.load.worker import Worker

NICENESS = -10
# Python's 5 ms are how long the thread that writes to disk may keep the hub from its sockets.
SWITCH_S = 0.0002
GOODBYE_S = 0.3  # for messages to leave before the process does
_READ_BYTES = 65_536


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m harness.load")
    roles = parser.add_subparsers(dest="role", required=True)
    master = roles.add_parser("master")
    master.add_argument("--workers", type=int, default=1)
    master.add_argument("--remote-workers", type=int, default=0)
    master.add_argument("--bind", default="127.0.0.1")
    master.add_argument("--port", type=int, default=0)
    master.add_argument("--join-s", type=float, default=REMOTE_JOIN_S)
    worker = roles.add_parser("worker")
    worker.add_argument("--host", default="127.0.0.1")
    worker.add_argument("--port", type=int, required=True)
    worker.add_argument("--store", type=Path, help="of another host's run: where its files are put")
    worker.add_argument("--join-s", type=float, default=REMOTE_JOIN_S)
    given = parser.parse_args()
    descriptor_limit()
    _come_first()
    if given.role == "worker":
        _be_worker(given.host, given.port, given.store, given.join_s)
    else:
        _be_master(given.workers, given.remote_workers, given.bind, given.port, given.join_s)


def _come_first() -> None:
    """A late client measures itself: where it is allowed, it is scheduled before other work. It
    needs little CPU, and how late it was all the same is on record (send and hub lag)."""
    sys.setswitchinterval(SWITCH_S)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def _be_worker(host: str, port: int, store: Path | None, join_s: float) -> None:
    here: list[Membership] = []

    def on_closed() -> None:
        if here:
            here[0].part()
            gevent.sleep(GOODBYE_S)

    # first, since a worker whose master died before it could connect tries for minutes
    until_closed = gevent.spawn(lambda: list(_stdin_lines(on_closed)))
    nobody = gevent.spawn_later(join_s, _no_master, host, port)
    environment = Environment(user_classes=[Dispatcher])
    try:
        runner = environment.create_worker_runner(host, port)
    except OSError as error:
        _refuse(UsageError(f"no master at {host}:{port}", why=str(error), do="check --master"))
    nobody.kill()
    is_remote = store is not None
    membership = Membership(
        environment, runner, is_remote=is_remote, say=_print if is_remote else _tell_log,
        leave=_leave,
    )  # fmt: skip
    Worker(environment, runner, membership, store)
    membership.hello()
    here.append(membership)
    until_closed.join()


def _no_master(host: str, port: int) -> None:
    _refuse(UsageError(
        f"no master answers at {host}:{port}", why="nothing was heard",
        do="start harness run --remote-workers there first, and check --master and firewalls",
    ))  # fmt: skip


def _refuse(error: HarnessError) -> None:
    _print({"event": "refused", "error": error_to_json(error)})
    os._exit(int(error.exit_code))


def _leave(code: int) -> None:
    gevent.sleep(GOODBYE_S)
    os._exit(code)


def _be_master(num_local: int, num_remote: int, bind: str, port: int, join_s: float) -> None:
    environment = Environment(user_classes=[Dispatcher])
    roster, conductor = (
        _one_process(environment) if (num_local, num_remote) == (1, 0)
        else _many(environment, num_local, num_remote, bind, port, join_s)
    )  # fmt: skip
    plans: Queue = Queue()
    gevent.spawn(_obey, conductor, roster, plans)
    try:
        conductor.gather()
    except PointLost as loss:
        _end(roster, partial(_emit, Done(loss.status, 0, str(loss))))
    except HarnessError as error:
        _end(roster, partial(_fail, error))
    _print({"event": "up"})
    while True:
        plan = plans.get()
        try:
            _emit(conductor.run_point(plan))
        except HarnessError as error:
            _fail(error)


def _one_process(environment: Environment) -> tuple[Roster, Conductor]:
    runner = environment.create_local_runner()
    roster = Roster(runner, _say, dict)
    conductor = Conductor(runner, roster, Crew(1), _emit)
    membership = Membership(
        environment, runner, is_remote=False, say=_tell_log, leave=os._exit
    )  # fmt: skip
    Worker(environment, runner, membership)
    membership.hello()
    return roster, conductor


def _many(
    environment: Environment, num_local: int, num_remote: int, bind: str, port: int, join_s: float
) -> tuple[Roster, Conductor]:
    os.environ.setdefault(TOKEN_ENV, os.urandom(16).hex())
    try:
        runner = environment.create_master_runner(bind, port)
    except (Exception, SystemExit) as error:  # locust exits where the port is taken
        why = str(error) if isinstance(error, Exception) else "the port is taken"
        _fail(UsageError(f"cannot listen on {bind}:{port}", why=why, do="choose another --bind"))
        os._exit(1)
    children = WorkerChildren(num_local, bind, runner.server.port)
    roster = Roster(runner, _say, children.dead)
    address = f"{reachable_as(bind)}:{runner.server.port}"
    invitation = f"harness worker --master {address} --workers {num_remote}"
    if num_remote:
        _say(
            f"waiting for {num_remote} remote load workers. On another host, with the same"
            f" {TOKEN_ENV} exported, type:\n  {invitation}"
        )
        if num_remote > 1:
            _say("or on several hosts, with --workers adding up to that number")
    crew = Crew(num_local, num_remote, join_s, invitation)
    return roster, Conductor(runner, roster, crew, _emit, children.replace_dead)


def _end(roster: Roster, last_word: Callable[[], None]) -> None:
    last_word()
    roster.dismiss()
    gevent.sleep(GOODBYE_S)
    os._exit(1)


def _obey(conductor: Conductor, roster: Roster, plans: Any) -> None:
    commands: dict[str, Callable[[dict[str, Any]], None]] = {
        "run": lambda row: plans.put(PointPlan.from_json(row["plan"])),
        "stop": lambda row: conductor.request_stop(),
        "abort": lambda row: conductor.request_abort(),
    }

    def on_closed() -> None:
        if roster.present(is_remote=True):
            roster.dismiss()
            gevent.sleep(GOODBYE_S)

    for line in _stdin_lines(on_closed):
        row = json.loads(line)
        commands[row["do"]](row)


def _stdin_lines(on_closed: Callable[[], None]) -> Iterator[bytes]:
    """Lines of stdin without blocking the hub; its end is the end of the process."""
    os.set_blocking(0, False)
    watcher = gevent.get_hub().loop.io(0, 1)
    rest = b""
    while True:
        gevent.get_hub().wait(watcher)
        try:
            part = os.read(0, _READ_BYTES)
        except BlockingIOError:
            continue
        if not part:
            on_closed()
            os._exit(int(ExitCode.OK))
        *lines, rest = (rest + part).split(b"\n")
        yield from lines


def _emit(event: LoadEvent) -> None:
    name = "done" if isinstance(event, Done) else "pulse"
    _print({"event": name} | event.to_json())


def _say(text: str) -> None:
    _print({"event": "say", "text": text})


def _fail(error: HarnessError) -> None:
    _print({"event": "failed", "error": error_to_json(error)})


def _print(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


def _tell_log(row: dict[str, Any]) -> None:
    """A local worker speaks through the master; why it was refused is also left in the log."""
    if row["event"] == "refused":
        print(row["error"]["what"], row["error"]["why"], file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
