"""What the engine says about one HTTP request, from its admission to its end, however it ends.

A client that leaves ends its sequences at once, and what fails becomes what a client is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ..async_engine import AsyncEngine, EngineDead, Stream
from ..errors import EngineError
from ..request import Request
from .errors import ApiError, of_engine
from .exchange import Exchange, watch
from .sse import DONE, error_event


@asynccontextmanager
async def following(
    exchange: Exchange,
    engine: AsyncEngine,
    requests: Sequence[Request],
    prompt_field: str,
    num_first: int | None = None,
) -> AsyncIterator[Stream]:
    """Admits the requests; what still runs of them when the block ends is dropped.

    num_first: only so many of them, the caller submits the others; None: all.

    Raises ApiError where nothing has been sent yet, else the failure is the stream's last event.
    ClientGone passes through.
    """
    leaving = None
    try:
        stream = engine.submit(requests[:num_first])
        leaving = watch(exchange, stream.close)
        yield stream
    except (EngineError, ApiError) as error:
        await _tell(exchange, error, prompt_field)
    except asyncio.CancelledError:
        # The server's grace period is over. A client must not take that for a lost network.
        await _tell(exchange, EngineDead("the server is shutting down"), prompt_field)
    finally:
        if leaving is not None:
            leaving.cancel()
        engine.release(requests)


async def _tell(exchange: Exchange, error: EngineError | ApiError, prompt_field: str) -> None:
    failure = of_engine(error, prompt_field) if isinstance(error, EngineError) else error
    if not exchange.has_started:
        raise failure from error
    await exchange.end(error_event(failure.body) + DONE)
