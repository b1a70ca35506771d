"""The scripted endpoint in a thread of this process; for tests and for calibration.

`with ScriptedServer({"timing": {"ttft": "50ms"}}) as server: ... server.base_url`. It shares this
process's interpreter lock with the client: to judge a client's timing, run it as a process of its
own (`python -m harness.testing`). Only loopback is ever bound.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.errors import UsageError
from harness.testing._choice import read_script
from harness.testing._loop import Loop, bind
from harness.testing._service import Service
from harness.testing.record import RequestLog
from harness.testing.script import Script

HOSTS = ("127.0.0.1", "::1")


class ScriptedServer:
    """script: a document, or the mapping it is read from (raises ScenarioError).

    port 0 picks a free one. tls: (certificate chain, key) as PEM files. host: one of HOSTS; OSError
    where the machine has no such address.
    """

    def __init__(
        self,
        script: Script | Mapping[str, Any] | None = None,
        port: int = 0,
        tls: tuple[Path | str, Path | str] | None = None,
        host: str = HOSTS[0],
    ) -> None:
        if host not in HOSTS:
            raise UsageError(f"{host} is no loopback address", do="write " + " or ".join(HOSTS))
        self.script = read_script({} if script is None else script)
        context = None
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*map(str, tls))
        listener = bind(host, port)
        self.port: int = listener.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.base_url = f"{'https' if tls else 'http'}://{name}:{self.port}/v1"
        self._service = Service(self.script)
        self._loop = Loop(listener, self._service, context)
        self._thread: threading.Thread | None = None

    @property
    def requests(self) -> tuple[RequestLog, ...]:
        """Generation requests so far, oldest first; those still running too."""
        return tuple(self._service.requests)

    @property
    def origin_ns(self) -> int:
        """The server's start, on CLOCK_MONOTONIC: the origin of step grid and outages."""
        return self._service.origin_ns

    def serve(self) -> None:
        """Serve in this thread until `stop`."""
        self._loop.run()

    def stop(self) -> None:
        """From any thread."""
        self._loop.stop()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve, name="scripted-server", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.stop()
        if self._thread is not None:
            self._thread.join(10)
