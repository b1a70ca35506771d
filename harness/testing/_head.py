"""Response heads and the small bodies that are not a stream."""

from __future__ import annotations

import json
from email.utils import formatdate
from http import HTTPStatus
from time import time
from typing import Any

from harness.testing._ask import BadRequest
from harness.testing._http_options import Http


def head(status: int, fields: dict[str, str]) -> bytes:
    """Status line and fields, up to the body."""
    reason = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unnamed"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(status: int, body: bytes, content_type: str = "application/json", **fields: str) -> bytes:
    """A complete response."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    known = {"content-type": content_type, "content-length": str(len(body))}
    return head(status, known | named) + body


def json_response(value: Any) -> bytes:
    return whole(200, json.dumps(value).encode())


def error_body(message: str, status: int, param: str | None = None) -> bytes:
    kind = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}
    error = {
        "message": message, "type": kind.get(status, "server_error"), "param": param, "code": status
    }  # fmt: skip
    return json.dumps({"error": error}).encode()


def refusal(error: BadRequest) -> bytes:
    return whole(error.status, error_body(error.message, error.status, error.param))


def retry_after(http: Http) -> dict[str, str]:
    """The Retry-After field in the form the script asks for, or nothing."""
    if http.retry_after is None:
        return {}
    if http.retry_after_form == "date":
        return {"retry-after": formatdate(time() + http.retry_after, usegmt=True)}
    return {"retry-after": str(round(http.retry_after))}


def extra_fields(http: Http) -> dict[str, str]:
    """What the script adds to a final head: Retry-After, Location, the mark of a fault."""
    fields = retry_after(http)
    if http.location is not None:
        fields["location"] = http.location
    if http.fault is not None:
        fields["x-harness-fault"] = http.fault
    return fields


def stream_head(http: Http, content_type: str, body_bytes: int | None) -> bytes:
    """The head of a 200. body_bytes: for framing content_length."""
    fields = {"content-type": http.content_type or content_type, "cache-control": "no-cache"}
    if http.gzip:
        fields["content-encoding"] = "gzip"
    if body_bytes is not None:
        fields["content-length"] = str(body_bytes)
    elif http.framing == "chunked":
        fields["transfer-encoding"] = "chunked"
        if http.trailers:
            fields["trailer"] = "x-tail, x-more"
    if not http.keep_alive or http.framing == "close":
        fields["connection"] = "close"
    return head(http.status, fields | extra_fields(http))


def interim(http: Http) -> bytes:
    """The uninvited 1xx answers."""
    return b"".join(head(status, {"x-interim": "yes"}) for status in http.interim)
