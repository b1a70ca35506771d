"""python -m benchmarks.constant_server STAMPS [--ttft 0.1] [--gap 0.02]

A second, independent endpoint with known times: blocking sockets, a thread a connection, nothing
shared with `harness.testing` or with the harness itself, so that an error common to both shows.
The k-th token is due at arrival + ttft + k gap, by absolute times; each is one event, one HTTP
chunk, one send, with TCP_NODELAY. What it did goes to STAMPS, a JSON line an answer, all times
CLOCK_MONOTONIC: `recv_ns` when the request's last byte reached the kernel (SO_TIMESTAMPNS; a busy
machine wakes us up to a millisecond later), `read_ns` right after the read of it, `send_ns` right
before the send of each token. Prints its port; ends when its standard input does. Linux only.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import threading
import time
from typing import Any, NamedTuple, TextIO

MODEL = "constant"
SO_TIMESTAMPNS = 35  # asm-generic/socket.h


class Request(NamedTuple):
    """first: its first line. headers: by lower-case name. rest: bytes that came after it."""

    first: str
    headers: dict[str, str]
    body: bytes
    rest: bytes
    recv_ns: int
    read_ns: int


class Server:
    """Listens on a port of 127.0.0.1. stamps: where answers are written down."""

    def __init__(self, stamps: TextIO, ttft_s: float, gap_s: float) -> None:
        self._stamps, self._lock = stamps, threading.Lock()
        self._ttft_ns, self._gap_ns = round(ttft_s * 1e9), round(gap_s * 1e9)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            rest = b""
            while (request := _read_request(connection, rest)) is not None:
                rest = request.rest
                try:
                    self._answer(connection, request)
                except OSError:
                    return

    def _answer(self, connection: socket.socket, request: Request) -> None:
        if request.first.startswith("GET /v1/models "):
            connection.sendall(_plain({"object": "list", "data": [{"id": MODEL}]}))
        elif not request.first.startswith("POST /v1/chat/completions "):
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        else:
            asked = json.loads(request.body)
            if asked.get("stream"):
                self._stream(connection, request, asked)
            else:
                connection.sendall(_plain({"usage": _usage(asked, 1)}))

    def _stream(self, connection: socket.socket, request: Request, asked: dict[str, Any]) -> None:
        num_tok = int(asked.get("max_tokens", 16))
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        token = _event({"choices": [{"index": 0, "delta": {"content": " tok"}}]})
        send_ns = []
        for k in range(num_tok):
            _wait_until(request.recv_ns + self._ttft_ns + k * self._gap_ns)
            send_ns.append(time.monotonic_ns())
            connection.sendall(token)
        # a gap later, so that the last token shares no read with it
        _wait_until(request.recv_ns + self._ttft_ns + num_tok * self._gap_ns)
        finish = _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
        usage = _event({"choices": [], "usage": _usage(asked, num_tok)})
        row = {
            "request_id": request.headers.get("x-request-id", ""),
            "recv_ns": request.recv_ns, "read_ns": request.read_ns, "send_ns": send_ns,
        }  # fmt: skip
        with self._lock:  # before the end is told: who has the answer finds it written down
            print(json.dumps(row), file=self._stamps, flush=True)
        connection.sendall(finish + usage + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _read_request(connection: socket.socket, data: bytes) -> Request | None:
    """The next one; None at the end."""
    recv_ns = read_ns = time.monotonic_ns()
    while True:
        head, blank, body = data.partition(b"\r\n\r\n")
        if blank:
            first, *lines = head.decode("latin-1").split("\r\n")
            fields = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in fields}
            size = int(headers.get("content-length", 0))
            if len(body) >= size:
                return Request(first, headers, body[:size], body[size:], recv_ns, read_ns)
        try:
            part, ancillary, _, _ = connection.recvmsg(1 << 20, 64)
        except OSError:
            return None
        read_ns = time.monotonic_ns()
        if not part:
            return None
        data, recv_ns = data + part, read_ns
        for _, kind, value in ancillary:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("qq", value)
                recv_ns = seconds * 1_000_000_000 + nanoseconds - _wall_offset_ns()


def _wall_offset_ns() -> int:
    """REALTIME - MONOTONIC: the one of five reads that was least disturbed."""
    reads = []
    for _ in range(5):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        reads.append((after - before, wall - (before + after) // 2))
    return min(reads)[1]


def _wait_until(due_ns: int) -> None:
    left_ns = due_ns - time.monotonic_ns()
    if left_ns > 0:
        time.sleep(left_ns / 1e9)


def _usage(asked: dict[str, Any], num_tok: int) -> dict[str, int]:
    """A token a word of the prompt."""
    num_in = sum(len(message["content"].split()) for message in asked["messages"])
    return {"prompt_tokens": num_in, "completion_tokens": num_tok, "total_tokens": num_in + num_tok}


def _plain(value: dict[str, Any]) -> bytes:
    body = json.dumps(value).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


def _event(value: dict[str, Any]) -> bytes:
    return _chunk(b"data: " + json.dumps(value).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.constant_server")
    parser.add_argument("stamps")
    parser.add_argument("--ttft", type=float, default=0.1)
    parser.add_argument("--gap", type=float, default=0.02)
    flags = parser.parse_args()
    with open(flags.stamps, "a", encoding="ascii") as stamps:
        server = Server(stamps, flags.ttft, flags.gap)
        print(server.port, flush=True)
        threading.Thread(target=server.run, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
