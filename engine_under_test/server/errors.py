"""Failures as OpenAI's clients expect them.

A status, and {"error": {"message", "type", "param", "code"}}. The engine's own refusals become 400,
429 and 503 here and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..async_engine import EngineDead
from ..errors import EngineError, QueueFull, RequestRefused

RETRY_AFTER_S = 1


@dataclass(slots=True, eq=False)
class ApiError(Exception):
    """One refusal. param names the field at fault, code is what programs compare.

    allow: the methods there are, of a 405.
    """

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    allow: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        return {
            "error": {
                "message": self.message,
                "type": _TYPES.get(self.status, "server_error"),
                "param": self.param,
                "code": self.code,
            }
        }

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        if self.status == 429:
            return [(b"retry-after", b"%d" % RETRY_AFTER_S)]
        if self.status == 401:
            return [(b"www-authenticate", b"Bearer")]
        return [(b"allow", ", ".join(self.allow).encode())] if self.allow else []


_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the request can never be served as it is."""
    return ApiError(400, message, param, code)


def of_engine(error: EngineError, prompt_field: str) -> ApiError:
    """What the engine refused, in the API's words; it refuses for the prompt's sake."""
    if isinstance(error, QueueFull):
        return ApiError(429, error.what, code="queue_full")
    if isinstance(error, EngineDead):
        return ApiError(503, error.what, code="engine_dead")
    return bad_request(str(error), prompt_field)


def of_grammar(refusal: RequestRefused) -> ApiError:
    """A schema that cannot be kept; its `where` begins with the request's field."""
    where = refusal.where or "response_format"
    parts = [f"'{where}': {refusal.what}", refusal.why]
    field = re.split(r"[.#]", where)[0]
    return bad_request(": ".join(filter(None, parts)), field, "unsupported_schema")
