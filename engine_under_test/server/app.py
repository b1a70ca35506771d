"""The ASGI application: a table of routes, the checks every request passes, one shape of errors.

It builds nothing and owns nothing but the arrival counter; engine, tokenizer and model come in a
ServerState.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..async_engine import AsyncEngine
from ..engine_process import GrammarOrders
from ..faults import FaultPlan, RequestFault
from ..metrics import EngineMetrics
from ..structured import GrammarCompiler
from ..tokenizer import Tokenizer
from .adapters import AdapterStore
from .answer import Answer, Wishes
from .body_parser import BodyParser
from .call_grammar import Constraint, Marks
from .chat import ChatDialect, ToolChatDialect, prompt_text
from .completions import CompletionDialect, prompts
from .constraints import constraint
from .embeddings import EmbeddingAnswer, EmbeddingBody, requests_of
from .errors import ApiError
from .exchange import ClientGone, Exchange, Receive, Scope, Send
from .models import ServedModel
from .protocol import ChatBody, CompletionBody, GenerationBody
from .requests import check_counts, check_number, encode, fan_out
from .sequence import Sequence
from .sse import Dialect, Envelope

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ServerState:
    """All that a request handler may use."""

    engine: AsyncEngine
    tokenizer: Tokenizer
    model: ServedModel
    metrics: EngineMetrics
    parser: BodyParser
    adapters: AdapterStore
    grammars: GrammarCompiler | GrammarOrders
    marks: Marks
    api_key: str = ""
    faults: FaultPlan | None = None
    num_arrivals: int = field(default=0)


Handler = Callable[["App", Exchange], Awaitable[None]]


class App:
    """Plain ASGI, HTTP and lifespan."""

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.num_open = 0  # requests whose answer is not done with

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            self.num_open += 1
            try:
                await self._http(Exchange(scope, receive, send))
            finally:
                self.num_open -= 1

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.state.engine.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.state.engine.stop()
        self.state.grammars.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, exchange: Exchange) -> None:
        if self.state.faults is not None:
            exchange.reply_headers.append((b"x-harness-fault", self.state.faults.header.encode()))
        spec = self.state.model.engine_config.spec
        if spec is not None and spec.synthetic_rates:
            label = (b"x-harness-synthetic-acceptance", spec.synthetic_label.encode())
            exchange.reply_headers.append(label)
        if request_id := exchange.headers.get(b"x-request-id"):
            exchange.reply_headers.append((b"x-request-id", request_id))
        try:
            handler = self._route(exchange)
            await handler(self, exchange)
        except ApiError as error:
            if not exchange.has_started:
                await exchange.send_json(error.status, error.body, error.headers)
        except ClientGone:
            return
        except Exception:
            log.exception("a request failed in the server")
            if exchange.has_started:
                raise
            failure = ApiError(500, "internal server error; the server's log says more")
            await exchange.send_json(500, failure.body)

    def _route(self, exchange: Exchange) -> Handler:
        path = exchange.path.rstrip("/")
        if path.startswith("/v1"):
            self._check_key(exchange)
        methods = ROUTES.get("/v1/models/" if path.startswith("/v1/models/") else path)
        if methods is None:
            raise ApiError(404, f"no such path: {exchange.path[:200]}", code="not_found")
        # the server sends no body after HEAD, so it is GET
        method = "GET" if exchange.method == "HEAD" else exchange.method
        handler = methods.get(method)
        if handler is None:
            allow = (*methods, "HEAD") if "GET" in methods else tuple(methods)
            message = f"use {' or '.join(methods)} here"
            raise ApiError(405, message, code="method_not_allowed", allow=allow)
        return handler

    def _check_key(self, exchange: Exchange) -> None:
        key = self.state.api_key
        scheme, _, given = exchange.headers.get(b"authorization", b"").partition(b" ")
        is_right = hmac.compare_digest(given.strip(), key.encode())
        if key and not (scheme.lower() == b"bearer" and is_right):
            raise ApiError(401, "wrong or missing API key", code="invalid_api_key")

    def _check_model(self, name: str | None) -> None:
        if name not in (None, self.state.model.name) and self.state.adapters.get(name) is None:
            message = (
                f"the model '{name[:200]}' does not exist; this server has"
                f" '{self.state.model.name}'"
            )
            raise ApiError(404, message, "model", "model_not_found")

    # --- generation and embeddings ------------------------------------------------------------

    async def chat(self, exchange: Exchange) -> None:
        raw = await exchange.read_json()
        received_ns = time.monotonic_ns()
        check_counts(raw, self.state.model.max_model_len)
        body = self.state.parser.parse(ChatBody, raw)
        self._check_model(body.model)
        tokenizer = self.state.tokenizer
        demanded = constraint(body, self.state.marks)
        window = self.state.model.max_model_len
        check_number(1, body.n, self.state.model, "messages")
        text = prompt_text(body, tokenizer, window)
        # The template writes its own special tokens.
        ids = await encode(tokenizer, [text], window, "messages", add_special_tokens=False)
        max_tokens = body.max_completion_tokens or body.max_tokens
        wording = ToolChatDialect if body.callable_tools else ChatDialect
        dialect = wording(self._envelope("chatcmpl", body), tokenizer)
        await self._generate(exchange, body, ids, max_tokens, dialect, received_ns, demanded)

    async def complete(self, exchange: Exchange) -> None:
        raw = await exchange.read_json()
        received_ns = time.monotonic_ns()
        check_counts(raw, self.state.model.max_model_len)
        body = self.state.parser.parse(CompletionBody, raw)
        self._check_model(body.model)
        tokenizer = self.state.tokenizer
        demanded = constraint(body, self.state.marks)
        given, window = prompts(body.prompt), self.state.model.max_model_len
        check_number(len(given), body.n, self.state.model, "prompt")
        ids = await encode(
            tokenizer, given, window, "prompt", add_special_tokens=body.add_special_tokens
        )
        dialect = CompletionDialect(self._envelope("cmpl", body), tokenizer)
        await self._generate(exchange, body, ids, body.max_tokens, dialect, received_ns, demanded)

    async def _generate(
        self,
        exchange: Exchange,
        body: GenerationBody,
        prompt_ids: list[list[int]],
        max_tokens: int | None,
        dialect: Dialect,
        received_ns: int,
        demanded: Constraint | None,
    ) -> None:
        state = self.state
        sequences: list[Sequence] = fan_out(
            body,
            prompt_ids,
            max_tokens,
            state.model,
            state.tokenizer,
            dialect,
            received_ns,
        )
        adapter = state.adapters.get(body.model)
        for sequence in sequences:
            sequence.request.adapter = adapter
            if demanded is not None and (demanded.is_demanded or not state.model.is_synthetic):
                sequence.request.grammar = state.grammars.submit(demanded)
        options = body.stream_options
        wishes = Wishes(
            is_streaming=body.stream,
            has_usage=options.include_usage or options.continuous_usage_stats,
            is_continuous=options.continuous_usage_stats,
            has_timings=exchange.header("x-harness-timings") == "1",
        )
        fault = self._draw_fault(exchange)
        await Answer(exchange, state.engine, sequences, dialect, wishes, fault).serve()

    def _envelope(self, prefix: str, body: GenerationBody) -> Envelope:
        has_usage = body.stream_options.include_usage
        adapter = self.state.adapters.get(body.model)
        name = self.state.model.name if adapter is None else adapter.name
        return Envelope(prefix, name, has_usage)

    def _draw_fault(self, exchange: Exchange) -> RequestFault | None:
        """The plan's verdict on this request. Raises ApiError for one that fails at admission."""
        state = self.state
        ordinal, state.num_arrivals = state.num_arrivals, state.num_arrivals + 1
        if state.faults is None:
            return None
        key = exchange.header("x-request-id") or str(ordinal)
        fault = state.faults.for_request(key, state.engine.stats.num_steps)
        if fault is not None:
            state.metrics.count_fault(fault.name)
            exchange.reply_headers.append((b"x-harness-fault-hit", fault.name.encode()))
            if fault.at_admission:
                raise ApiError(
                    fault.error_status, "injected by the fault plan", code="injected_fault"
                )
        return fault

    async def embed(self, exchange: Exchange) -> None:
        raw = await exchange.read_json()
        received_ns = time.monotonic_ns()
        state = self.state
        check_counts(raw, state.model.max_model_len, ("input",), num_answer=0)
        body = state.parser.parse(EmbeddingBody, raw)
        self._check_model(body.model)
        adapter = state.adapters.get(body.model)
        requests = await requests_of(body, state.model, state.tokenizer, adapter, received_ns)
        name = state.model.name if adapter is None else adapter.name
        fault = self._draw_fault(exchange)
        await EmbeddingAnswer(
            exchange, state.engine, requests, body, state.model, name, fault
        ).serve()

    # --- the rest -----------------------------------------------------------------------------

    async def models(self, exchange: Exchange) -> None:
        state = self.state
        data = [state.model.describe(), *state.adapters.describe(state.model.created_s)]
        await exchange.send_json(200, {"object": "list", "data": data})

    async def model(self, exchange: Exchange) -> None:
        name, state = exchange.path.removeprefix("/v1/models/"), self.state
        self._check_model(name)
        found = [a for a in state.adapters.describe(state.model.created_s) if a["id"] == name]
        await exchange.send_json(200, found[0] if found else state.model.describe())

    async def load_adapter(self, exchange: Exchange) -> None:
        """Bounded by the configured folder; a rank or file that does not fit is a 400."""
        body = await exchange.read_json()
        name = await asyncio.to_thread(self.state.adapters.load, body)
        await exchange.send_json(200, {"status": "loaded", "lora_name": name})

    async def unload_adapter(self, exchange: Exchange) -> None:
        name = self.state.adapters.unload(await exchange.read_json())
        await exchange.send_json(200, {"status": "unloaded", "lora_name": name})

    async def health(self, exchange: Exchange) -> None:
        """200 while the step loop beats, 503 once it has hung or died."""
        is_alive = self.state.engine.is_alive
        status = "ok" if is_alive else "the step loop does not beat"
        await exchange.send_json(200 if is_alive else 503, {"status": status})

    async def show_metrics(self, exchange: Exchange) -> None:
        text = self.state.metrics.render()
        await exchange.send_text(200, text, b"text/plain; version=0.0.4; charset=utf-8")


ROUTES: dict[str, dict[str, Handler]] = {
    "/v1/chat/completions": {"POST": App.chat},
    "/v1/completions": {"POST": App.complete},
    "/v1/embeddings": {"POST": App.embed},
    "/v1/models": {"GET": App.models},
    "/v1/models/": {"GET": App.model},
    "/v1/load_lora_adapter": {"POST": App.load_adapter},
    "/v1/unload_lora_adapter": {"POST": App.unload_adapter},
    "/health": {"GET": App.health},
    "/metrics": {"GET": App.show_metrics},
}
