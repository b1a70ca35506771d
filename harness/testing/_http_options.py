"""The parts of a script that shape the exchange: status, headers, framing, broken connections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from harness.testing._chunk_options import Options
from harness.units import Seconds


class Proxy(Options):
    """A buffering proxy between server and client: it flushes at either limit."""

    bytes: int = Field(default=4096, ge=1, description="Flush when this much is held.")
    time: Seconds = Field(default=0.2, description="Flush when the oldest byte is this old.")


class Http(Options):
    framing: Literal["chunked", "content_length", "close"] = Field(
        default="chunked", description="How the end of a streamed body is known."
    )
    chunk_extensions: bool = Field(default=False, description="`;name=value` after chunk sizes.")
    trailers: bool = Field(default=False, description="Trailer fields after the last chunk.")
    interim: tuple[int, ...] = Field(default=(), description="Uninvited 1xx answers first.")
    status: int = Field(default=200, ge=200, le=599, description="Status of the answer.")
    retry_after: Seconds | None = Field(default=None, description="Sent with the status.")
    retry_after_form: Literal["seconds", "date"] = Field(
        default="seconds", description="Whole seconds, or an HTTP date."
    )
    location: str | None = Field(default=None, description="Sent with the status: a redirect.")
    fault: str | None = Field(default=None, description="Sent as x-harness-fault.")
    body: Literal["answer", "error", "text", "json"] = Field(
        default="answer",
        description="What status 200 carries: the answer, an error object, plain text, or plain"
        " JSON of the whole answer although a stream was asked for.",
    )
    error_at: int | None = Field(
        default=None, ge=0, description="Instead of this token chunk, an error event; then the end."
    )
    content_type: str | None = Field(default=None, description="Instead of the right one.")
    gzip: bool = Field(default=False, description="The body is compressed, asked for or not.")
    proxy: Proxy | None = Field(default=None, description="A proxy that buffers the stream.")
    write_bytes: int | None = Field(
        default=None, ge=1, description="One write to the socket is at most this long."
    )
    reject_fields: tuple[str, ...] = Field(
        default=(), description="Requests with one of these keys get 400; dots reach inside."
    )
    check_model: bool = Field(default=False, description="Another model than ours gets 404.")
    keep_alive: bool = Field(default=True, description="The connection serves further requests.")

    @model_validator(mode="after")
    def _known_length(self) -> Http:
        if self.gzip and self.framing == "content_length":
            raise ValueError("a compressed stream has no known length; write framing: chunked")
        if (self.chunk_extensions or self.trailers) and self.framing != "chunked":
            raise ValueError("extensions and trailers need framing: chunked")
        return self


class Transport(Options):
    fail: Literal["none", "close", "reset", "hang"] = Field(
        default="none", description="End of the connection: FIN, RST, or silence for ever."
    )
    at: int | None = Field(
        default=None, ge=0, description="Token chunk at which it fails; None: before the headers."
    )
    inside: Literal["event", "chunk", "none"] = Field(
        default="event",
        description="Half of that event is sent, in a whole HTTP chunk or a torn one; or nothing.",
    )
    idle_close: Seconds | None = Field(
        default=None, description="An idle connection is closed after this; None: never."
    )
    tls_delay: Seconds = Field(
        default=0.0, description="An accepted connection's TLS handshake waits this long."
    )
    read_bytes_per_s: int | None = Field(
        default=None, ge=1, description="The request is read this slowly."
    )
