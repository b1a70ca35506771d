"""Worker processes as another host would run them, some of them not quite in order.

Each is `python -m harness.load worker` in a process of its own, with one thing changed before it
starts: its clock, its code, its environment. Nothing else about them is different.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TOKEN = "a secret of these tests"
START = "import sys, runpy; sys.argv[0] = 'harness.load'; from harness.load.__main__ import main; "

# another host's axis: every read of the monotonic clock, and the one absolute timer set by it
SHIFTED = """
import locust, time
real, began, ppm = time.monotonic_ns, time.monotonic_ns(), {drift_ppm}
def shift(now):
    return {offset_ns} + int((now - began) * ppm / 1e6)
time.monotonic_ns = lambda: real() + shift(real())
from harness.load import alarm
set_alarm = alarm.Alarm.set
alarm.Alarm.set = lambda self, at_ns: set_alarm(self, at_ns - shift(real()))
"""
OTHER_VERSION = "import locust, harness; harness.__version__ = '0.0.9'"
OTHER_SCHEMA = "import locust; import harness.load.hostfacts as h; h.SCHEMA_VERSION = 99"
OTHER_SCHEDULE = """
import locust, dataclasses
import harness.load.setup as setup
build = setup.build_schedule
setup.build_schedule = lambda point, materials: build(
    dataclasses.replace(point, seed=point.seed + 1), materials)
"""
OTHER_BODIES = """
import locust
import harness.load.setup as setup
setup.opening_sha256 = lambda *given: "0" * 64
"""
SLOW_PONG = """
import locust, gevent
from harness.load.membership import Membership
on_ping = Membership._on_ping
def late(self, **given):
    gevent.sleep(0.025)
    on_ping(self, **given)
Membership._on_ping = late
"""


def shifted(offset_s: float, drift_ppm: float = 0.0) -> str:
    return SHIFTED.format(offset_ns=round(offset_s * 1e9), drift_ppm=drift_ppm)


class Peer:
    """A context manager. change: code that runs first.  Its last words are in `said`."""

    def __init__(
        self, address: str, change: str = "import locust", *, token: str = TOKEN,
        descriptors: int | None = None, env: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        host, _, port = address.rpartition(":")
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.said: list[dict[str, Any]] = []

        def limit() -> None:
            if descriptors is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{change}\n{START}main()", "worker", "--host", host,
             "--port", port, "--store", self._folder.name, "--join-s", "200"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env=os.environ | {"HARNESS_TOKEN": token} | (env or {}), preexec_fn=limit,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with suppress(ValueError):
                self.said.append(json.loads(line))

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        code = self.process.wait(120)
        self._reader.join(10)
        return code

    @property
    def refusal(self) -> str:
        """What it was refused for; empty where it was not."""
        errors = [row["error"] for row in self.said if row["event"] == "refused"]
        return f"{errors[-1]['what']}: {errors[-1]['why']}" if errors else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self.process.stdin:
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(3)
        self.process.kill()
        self.process.wait()
        self._reader.join(10)
        if self.process.stdout:
            self.process.stdout.close()
        self._folder.cleanup()


class Lines:
    """What a load process says, and where it listens."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def __call__(self, text: str) -> None:
        self.all.append(text)

    @property
    def address(self) -> str:
        """From the command that is to be typed elsewhere."""
        text = next(line for line in self.all if "--master" in line)
        return text.split("--master ")[1].split()[0]

    def has(self, words: str) -> Callable[[], bool]:
        return lambda: any(words in line for line in self.all)
