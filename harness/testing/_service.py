"""Requests to answers: the table of paths, keys, behaviours, the queue, and the log."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic_ns
from typing import Protocol

from harness.testing._ask import Ask, BadRequest, Head, has_field, read_ask
from harness.testing._choice import Choice, Chooser
from harness.testing._connection import Connection
from harness.testing._due import chunk_offsets_ns
from harness.testing._events import Answer
from harness.testing._exchange import Exchange
from harness.testing._head import json_response, refusal, whole
from harness.testing._transcripts import Transcript, read_form
from harness.testing._vectors import VectorAnswer, read_texts
from harness.testing.record import RequestLog
from harness.testing.script import Outage, Script
from harness.units import NS_PER_S

_READERS: dict[str, Callable[[bytes], Ask]] = {
    "/v1/chat/completions": partial(read_ask, is_chat=True),
    "/v1/completions": partial(read_ask, is_chat=False),
    "/v1/embeddings": read_texts,
}

_FORM = "/v1/audio/transcriptions"


def _answer(choice: Choice, ask: Ask, model: str) -> Answer:
    if ask.num_texts:
        return VectorAnswer(choice.behaviour, ask, model)
    if ask.audio_s:
        return Transcript(choice.behaviour, ask, model)
    return Answer(choice.behaviour, ask, model, choice.templates)


class Listener(Protocol):
    def listen(self) -> None: ...
    def refuse(self) -> None: ...
    def leave_unaccepted(self) -> None: ...


class Service:
    """What the loop asks. requests: the log, oldest first, the last `log_requests` only."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: deque[RequestLog] = deque(maxlen=script.log_requests)
        self.num_requests = 0
        self.origin_ns = monotonic_ns()
        self._chooser = Chooser(script)
        self._free_ns = [0] * (script.servers or 0)
        self._running: dict[Connection, RequestLog] = {}
        self._num_done = self._output_tok = self._prompt_tok = 0  # answers that came to their end
        self._pages: dict[tuple[str, str], Callable[[], bytes]] = {
            ("GET", "/health"): lambda: whole(200, b"", "text/plain"),
            ("GET", "/v1/models"): self._models,
            ("GET", "/metrics"): self._metrics,
            ("GET", "/script/log"): lambda: json_response([r.to_json() for r in self.requests]),
        }

    def answer(
        self, connection: Connection, request: Head, payload: bytes, recv_ns: int
    ) -> Iterator[int] | None:
        """Answer at once (None), or a generator the loop resumes."""
        try:
            self._check_key(request)
            if request.method == "POST" and request.path in (*_READERS, _FORM):
                return self._generate(connection, request, payload, recv_ns)
            page = self._pages.get((request.method, request.path))
            if page is None:
                raise BadRequest(404, f"no {request.method} {request.path} here")
            connection.send(page())
        except BadRequest as error:
            connection.send(refusal(error))
        return None

    def _check_key(self, request: Head) -> None:
        key = self.script.api_key
        if key is None or request.path == "/health":
            return
        if request.headers.get("authorization") != f"Bearer {key}":
            raise BadRequest(401, "the key is missing or wrong")

    def _generate(
        self, connection: Connection, request: Head, payload: bytes, recv_ns: int
    ) -> Iterator[int]:
        most = self.script.most_running
        if most is not None and len(self._running) >= most:
            raise BadRequest(503, f"overloaded: {len(self._running)} requests are running")
        if request.path == _FORM:
            ask = read_form(payload, request.headers.get("content-type", ""))
        else:
            ask = _READERS[request.path](payload)
        asked = request.headers.get("x-script")
        choice = self._chooser.choose(self.num_requests, asked, ask.body.get("model"))
        http = choice.behaviour.http
        for name in http.reject_fields:
            if has_field(ask.body, name):
                raise BadRequest(400, f"unsupported parameter: {name}", param=name)
        if http.check_model and ask.body.get("model") != self.script.model:
            raise BadRequest(404, f"the model {ask.body.get('model')!r} does not exist")
        answer = _answer(choice, ask, self.script.model)
        log = RequestLog(self.num_requests, request.path, recv_ns, recv_ns, ask.opening)
        log.request_id = request.headers.get("x-request-id", "")
        log.prompt_tok, log.output_tok, log.fault = (
            answer.prompt_tok, answer.output_tok, choice.fault
        )  # fmt: skip
        self.num_requests += 1
        self.requests.append(log)
        return self._run(connection, answer, log, choice)

    def _run(
        self, connection: Connection, answer: Answer, log: RequestLog, choice: Choice
    ) -> Iterator[int]:
        offsets_ns = chunk_offsets_ns(
            choice.behaviour.timing, max(1, len(answer.token_chunks)), answer.prompt_tok,
            self.script.seed, log.ordinal,
        )  # fmt: skip
        hearing_ns = round(choice.behaviour.timing.per_audio_s * answer.ask.audio_s * NS_PER_S)
        offsets_ns = [offset_ns + hearing_ns for offset_ns in offsets_ns]
        if self._free_ns:  # first come, first served: the server that is free first takes it
            log.start_ns = max(log.recv_ns, self._free_ns[0])
            heapq.heapreplace(self._free_ns, log.start_ns + offsets_ns[-1])
        connection.write_bytes = choice.behaviour.http.write_bytes
        exchange = Exchange(
            connection, answer, log, offsets_ns, self.script.outages, self.origin_ns
        )
        self._running[connection] = log
        yield from exchange.run()
        self._running.pop(connection, None)
        log.end_ns = monotonic_ns()
        if log.outcome == "running":
            log.outcome = "done"
            if log.status < 300:
                self._num_done += 1
                self._output_tok += log.output_tok
                self._prompt_tok += log.prompt_tok
        if not exchange.keeps_connection:
            connection.close()

    def client_left(self, connection: Connection) -> None:
        """The connection ended; a running request notes it."""
        log = self._running.pop(connection, None)
        if log is not None:
            log.end_ns = monotonic_ns()
            if log.outcome == "running":
                log.outcome = "client_closed"

    def idle(self, connection: Connection) -> Iterator[int] | None:
        """Closes the connection when it stays idle for longer than the script allows."""
        idle_close_s = self.script.transport.idle_close
        if idle_close_s is None:
            return None
        return self._close_idle(connection, round(idle_close_s * NS_PER_S))

    def _close_idle(self, connection: Connection, idle_ns: int) -> Iterator[int]:
        since_ns = connection.idle_since_ns
        yield since_ns + idle_ns
        if connection.state == "reading" and connection.idle_since_ns == since_ns:
            connection.close()

    def listener_outages(self, listener: Listener) -> list[Iterator[int]]:
        kinds = {"refuse": listener.refuse, "no_accept": listener.leave_unaccepted}
        return [
            self._outage(outage, kinds[outage.kind], listener.listen)
            for outage in self.script.outages
            if outage.kind in kinds
        ]

    def _outage(
        self, outage: Outage, begin: Callable[[], None], end: Callable[[], None]
    ) -> Iterator[int]:
        start_ns = self.origin_ns + round(outage.start * NS_PER_S)
        while True:
            yield start_ns
            begin()
            yield start_ns + round(outage.duration * NS_PER_S)
            end()
            if outage.every is None:
                return
            start_ns += round(outage.every * NS_PER_S)

    def _models(self) -> bytes:
        model = {"id": self.script.model, "object": "model", "created": 0, "owned_by": "script"}
        return json_response({"object": "list", "data": [model]})

    def _metrics(self) -> bytes:
        lines = [
            "# TYPE scripted_requests_total counter",
            f"scripted_requests_total {self.num_requests}",
            "# TYPE scripted_requests_running gauge",
            f"scripted_requests_running {len(self._running)}",
            "# TYPE scripted_requests_finished_total counter",
            f"scripted_requests_finished_total {self._num_done}",
            "# TYPE scripted_output_tokens_total counter",
            f"scripted_output_tokens_total {self._output_tok}",
            "# TYPE scripted_prompt_tokens_total counter",
            f"scripted_prompt_tokens_total {self._prompt_tok}",
        ]
        return whole(200, ("\n".join(lines) + "\n").encode(), "text/plain; version=0.0.4")
