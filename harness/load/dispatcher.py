"""locust's user: it only makes sure that the process's Load runs. Load never lives in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import gevent
from locust import User, task


class Dispatcher(User):
    """One a worker. start_once: set by the worker before locust starts any user."""

    start_once: ClassVar[Callable[[], None]]

    @task
    def keep_running(self) -> None:
        type(self).start_once()
        gevent.sleep(1.0)
