"""Real servers for the tests: the true core with small random weights, behind true sockets."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest

from engine_under_test.config import EngineConfig
from engine_under_test.server.app import App, ServerState
from engine_under_test.server.build import ModelSource, ServerOptions, build, find_model
from engine_under_test.server.serve import bind, make_server

DEADLINE_S = 120  # matters only where a test fails


@dataclass
class Reply:
    """One raw HTTP answer. is_whole: its framing was complete."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of each complete SSE event; `[DONE]` stays text."""
        texts = [e.removeprefix("data: ") for e in self.body.decode().split("\n\n") if e]
        return [t if t == "[DONE]" else json.loads(t) for t in texts]


@dataclass
class Server:
    """A running server, with the official client and a bare one."""

    state: ServerState
    port: int
    key: str = "unused"
    app: App | None = None
    client: openai.OpenAI = field(init=False)

    def __post_init__(self) -> None:
        self.client = openai.OpenAI(
            base_url=f"http://127.0.0.1:{self.port}/v1", api_key=self.key, max_retries=0
        )

    def request(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Header names are given with underscores. bytes bodies go out as they are."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, data, named)
            response = connection.getresponse()
            head = {k.lower(): v for k, v in response.getheaders()}
            try:
                return Reply(response.status, head, response.read())
            except http.client.IncompleteRead as cut:
                return Reply(response.status, head, cut.partial, is_whole=False)
        finally:
            connection.close()

    def chat(self, **fields: Any) -> Any:
        """A short deterministic chat completion by the official client."""
        wanted: dict[str, Any] = {
            "model": self.state.model.name,
            "messages": [{"role": "user", "content": "Tell me a tale"}],
            "max_tokens": 12,
            "seed": 7,
        }
        return self.client.chat.completions.create(**{**wanted, **fields})

    def complete(self, **fields: Any) -> Any:
        """The same for text completions."""
        wanted = {"model": self.state.model.name, "prompt": "Once", "max_tokens": 8, "seed": 7}
        return self.client.completions.create(**{**wanted, **fields})

    def metric(self, name: str) -> float:
        """The sum of a metric's samples, over labels."""
        text = self.request("GET", "/metrics").body.decode()
        lines = [line for line in text.splitlines() if line.startswith(name + "{")]
        assert lines, f"no metric {name}"
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Poll; an assertion fails if the condition has not come true by the deadline."""
        end = time.monotonic() + DEADLINE_S
        while not condition() and time.monotonic() < end:
            time.sleep(0.01)
        assert condition()


@contextmanager
def running(app: App, write_timeout_s: float = 60) -> Iterator[int]:
    """Serve an application from a thread; yields the port."""
    with bind("127.0.0.1", 0, write_timeout_s) as sock:
        server = make_server(app)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.002)
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


Start = Callable[..., Server]


@contextmanager
def starting() -> Iterator[Start]:
    """Yields start(): options of the server by name, all others are the engine's."""
    with ExitStack() as stack:

        def start(
            *,
            api_key: str = "",
            is_strict: bool = False,
            fault_plan: Path | None = None,
            adapters: Path | None = None,
            write_timeout_s: float = 60,
            is_process: bool = False,
            **engine: Any,
        ) -> Server:
            config = EngineConfig(shape="debug", **engine)
            options = ServerOptions(
                "debug", api_key, is_strict, fault_plan, adapters, is_process=is_process
            )
            state = build(ModelSource("debug", shape="debug"), config, options)
            app = App(state)
            port = stack.enter_context(running(app, write_timeout_s))
            server = Server(state, port, key=api_key or "unused", app=app)
            stack.callback(server.client.close)
            return server

        yield start


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers that end with the test."""
    with starting() as begin:
        yield begin


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A fault plan: steps of 20 ms, so that a long answer is still being made when a test that a
    busy machine holds up comes to look at it."""
    plan = tmp_path / "slow.json"
    plan.write_text('{"step_time_add_ms": 20}')
    return plan


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for every test that only asks; float64, so that batch mates change no token."""
    with starting() as begin:
        yield begin(num_blocks=512, dtype="float64")


@pytest.fixture(scope="session")
def tiny() -> Iterator[openai.OpenAI]:
    """The official client of a server of the trained model."""
    source = find_model("tiny")
    state = build(source, EngineConfig(model_dir=source.directory, num_blocks=256), ServerOptions())
    with running(App(state)) as port:
        server = Server(state, port)
        yield server.client
        server.client.close()
