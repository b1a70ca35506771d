"""Runs the application under uvicorn until a signal, or the end of the parent's pipe, stops it.

Prints the ready line only once a request would be served: weights warm, socket listening, step
loop beating. TCP_NODELAY is set on every connection by asyncio and uvloop alike.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

import uvicorn

from ..kept_memory import keep_freed_memory
from .app import App

# Longer than load generators keep idle connections, so that the client closes first.
KEEP_ALIVE_S = 75
SHUTDOWN_GRACE_S = 3
WRITE_TIMEOUT_S = 60
# The step thread and the event loop share one interpreter lock; CPython's 5 ms hand-over would show
# up as latency whenever both have Python to run.
SWITCH_INTERVAL_S = 0.0005
# A step of 64 streams makes hundreds of objects that die at once by their reference counts; the
# default of 700 would look through them at every second step for cycles that are not there.
YOUNG_OBJECTS = 20_000


def bind(host: str, port: int, write_timeout_s: float = WRITE_TIMEOUT_S) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError.

    A client that takes nothing for write_timeout_s while something waits for it is cut off, and
    what was kept for it is let go. The kernel does it (TCP_USER_TIMEOUT, RFC 5482; Linux), so it
    costs a token nothing; where there is no such option an answer is kept until the client leaves.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it from the listener
        limit_ms = round(write_timeout_s * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit_ms)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.set_inheritable(True)
    return sock


def run(app: App, sock: socket.socket, *, exits_with_parent: bool) -> None:
    """Serves until stopped. Signals end it in order; open streams are cut after a grace period."""
    server = make_server(app)
    # uvicorn raises the signal again when it is done; by then it has said all there is to say.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    settle()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(server, sock, exits_with_parent))


def settle() -> None:
    """The interpreter as a server wants it; call once everything is loaded."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()  # weights and code are for ever: collections need not walk them
    gc.set_threshold(YOUNG_OBJECTS)
    keep_freed_memory()


def make_server(app: App) -> uvicorn.Server:
    """uvicorn as we run it: its fast parts when importable, no access log."""
    config = uvicorn.Config(
        app,
        http="httptools" if importlib.util.find_spec("httptools") else "h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        backlog=4096,
    )
    return uvicorn.Server(config)


async def _serve(server: uvicorn.Server, sock: socket.socket, exits_with_parent: bool) -> None:
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    if exits_with_parent:
        loop = asyncio.get_running_loop()
        _on_stdin_end(lambda: loop.call_soon_threadsafe(setattr, server, "should_exit", True))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if server.started:
        host, port = sock.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        print(f"ready http://{host}:{port}/v1", flush=True)
    await serving


def _on_stdin_end(stop: Callable[[], object]) -> None:
    """Calls stop when the pipe at stdin closes, which is when its writer exits."""

    def wait() -> None:
        # os.read, not sys.stdin: its lock would be held while the interpreter shuts down.
        while os.read(0, 4096):
            pass
        stop()

    threading.Thread(target=wait, name="parent-pipe", daemon=True).start()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop
    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
