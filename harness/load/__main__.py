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
from typing import Any

import gevent
from gevent.queue import Queue
from locust.env import Environment

from harness.load.children import WorkerChildren
from harness.load.conductor import Conductor, PointLost
from harness.load.dispatcher import Dispatcher
from harness.load.plan import Done, LoadEvent, PointPlan
from harness.load.setup import descriptor_limit
from harness.load.worker import Worker

NICENESS = -10
_READ_BYTES = 65_536


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m harness.load")
    roles = parser.add_subparsers(dest="role", required=True)
    master = roles.add_parser("master")
    master.add_argument("--workers", type=int, default=1)
    master.add_argument("--bind", default="127.0.0.1")
    worker = roles.add_parser("worker")
    worker.add_argument("--host", default="127.0.0.1")
    worker.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    descriptor_limit()
    _come_first()
    if given.role == "worker":
        _be_worker(given.host, given.port)
    else:
        _be_master(given.workers, given.bind)


def _come_first() -> None:
    """A late client measures itself: where it is allowed, it is scheduled before other work. It
    needs little CPU, and how late it was all the same is on record (send and hub lag)."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def _be_worker(host: str, port: int) -> None:
    # first, since a worker whose master died before it could connect tries for minutes
    until_closed = gevent.spawn(lambda: list(_stdin_lines()))
    environment = Environment(user_classes=[Dispatcher])
    runner = environment.create_worker_runner(host, port)
    Worker(environment, runner).hello()
    until_closed.join()


def _be_master(num_workers: int, bind: str) -> None:
    environment = Environment(user_classes=[Dispatcher])
    if num_workers == 1:
        local = environment.create_local_runner()
        conductor = Conductor(local, 1, _emit, list)
        Worker(environment, local).hello()
    else:
        os.environ.setdefault("HARNESS_TOKEN", os.urandom(16).hex())
        runner = environment.create_master_runner(bind, 0)
        children = WorkerChildren(num_workers, bind, runner.server.port)
        conductor = Conductor(runner, num_workers, _emit, children.lost)
    plans: Queue = Queue()
    gevent.spawn(_obey, conductor, plans)
    try:
        conductor.gather()
    except PointLost as loss:
        _emit(Done(loss.status, 0, str(loss)))
        os._exit(1)
    print(json.dumps({"event": "up"}), flush=True)
    while True:
        _emit(conductor.run_point(plans.get()))


def _obey(conductor: Conductor, plans: Any) -> None:
    commands: dict[str, Callable[[dict[str, Any]], None]] = {
        "run": lambda row: plans.put(PointPlan.from_json(row["plan"])),
        "stop": lambda row: conductor.request_stop(),
        "abort": lambda row: conductor.request_abort(),
    }
    for line in _stdin_lines():
        row = json.loads(line)
        commands[row["do"]](row)


def _stdin_lines() -> Iterator[bytes]:
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
            os._exit(0)
        *lines, rest = (rest + part).split(b"\n")
        yield from lines


def _emit(event: LoadEvent) -> None:
    name = "done" if isinstance(event, Done) else "pulse"
    print(json.dumps({"event": name} | event.to_json()), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
