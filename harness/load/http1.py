"""Incremental framing of one HTTP/1.1 response: where its body is and when it ends.

Bytes may be split anywhere. 1xx answers are skipped; a body is chunked (extensions and trailers
included), counted, or ends with the connection. The end is found by framing alone, never by
looking for the bytes `0\\r\\n\\r\\n`. Nothing is decoded here.
"""

from __future__ import annotations

import re

from harness.load.faults import MalformedFault

MAX_HEAD_BYTES = 65_536
MAX_LINE_BYTES = 16_384
_CRLF = b"\r\n"
_HEX = re.compile(rb"[0-9A-Fa-f]{1,15}")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (.*))?")
_FOLD = re.compile(rb"\r\n[ \t]+")  # obsolete, still to be read as a space (RFC 9112, 5.2)
_LENGTH = re.compile(r"[0-9]{1,18}")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEAD, _SIZE, _DATA, _DATA_END, _TRAILER, _COUNTED, _CLOSE, _DONE = range(8)
_sizes: dict[bytes, int] = {}  # chunk-size lines seen before, already validated


class ResponseReader:
    """Feed it bytes; `body` grows, `is_done` turns true. Raises MalformedFault.

    body_base: body bytes already taken away by the parser; body offsets count from the start.
    extra: bytes after the end (the connection must not be used again).
    """

    __slots__ = (
        "_left", "_rest", "_state", "body", "body_base", "ends_with_connection", "extra",
        "has_head", "headers", "is_done", "keeps_alive", "num_interim", "status", "trailers",
    )  # fmt: skip

    def __init__(self) -> None:
        self._state, self._rest, self._left = _HEAD, b"", 0
        self.body, self.body_base = bytearray(), 0
        self.status, self.num_interim = 0, 0
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.has_head = self.is_done = self.ends_with_connection = False
        self.keeps_alive = False
        self.extra = b""

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; True once the response is complete."""
        if self._state == _SIZE and not self._rest:
            # what servers nearly always send: whole chunks, and one a segment
            at, end = 0, len(data)
            while at < end:
                cut = data.find(_CRLF, at)
                size = _sizes.get(data[at:cut]) if cut > 0 else None
                if not size:
                    break
                stop = cut + 2 + size
                if data[stop : stop + 2] != _CRLF:
                    break
                self.body += data[cut + 2 : stop]
                at = stop + 2
            else:
                return False
            if at:
                data = data[at:]
        return self._feed(data)

    def eof(self) -> bool:
        """The connection ended; True where that is how this response ends."""
        if self._state == _CLOSE:
            self._state, self.is_done = _DONE, True
        return self.is_done

    def _feed(self, data: bytes) -> bool:
        data = self._rest + data if self._rest else data
        self._rest = b""
        at, size = 0, len(data)
        while True:
            state = self._state
            if state in (_DATA, _COUNTED):
                take = min(self._left, size - at)
                self.body += data[at : at + take]
                at += take
                self._left -= take
                if self._left:
                    return False
                if state == _COUNTED:
                    self._finish()
                else:
                    self._state = _DATA_END
            elif state in (_SIZE, _TRAILER):
                cut = data.find(_CRLF, at)
                if cut < 0 or cut - at > MAX_LINE_BYTES:
                    return self._keep(data, at, MAX_LINE_BYTES)
                line, at = data[at:cut], cut + 2
                if state == _SIZE:
                    self._left = _chunk_size(line)
                    self._state = _DATA if self._left else _TRAILER
                elif line:
                    _add_field(self.trailers, line)
                else:
                    self._finish()
            elif state == _DATA_END:
                if size - at < 2:
                    return self._keep(data, at, 2)
                if data[at : at + 2] != _CRLF:
                    raise MalformedFault("a chunk is longer than it says")
                at, self._state = at + 2, _SIZE
            elif state == _HEAD:
                cut = data.find(b"\r\n\r\n", at)
                if cut < 0:
                    if size - at >= 5 and not data.startswith(b"HTTP/", at):
                        raise MalformedFault("the answer is not HTTP/1.1")
                    return self._keep(data, at, MAX_HEAD_BYTES)
                head, at = data[at:cut], cut + 4
                self._read_head(head)
            elif state == _CLOSE:
                self.body += data[at:]
                return False
            else:
                self.extra = data[at:]
                self.keeps_alive = self.keeps_alive and not self.extra
                return True

    def _keep(self, data: bytes, at: int, limit: int) -> bool:
        if len(data) - at > limit:
            raise MalformedFault("a header or a chunk's first line is too long")
        self._rest = data[at:]
        return False

    def _finish(self) -> None:
        self._state, self.is_done = _DONE, True

    def _read_head(self, head: bytes) -> None:
        first, *lines = _FOLD.sub(b" ", head).split(_CRLF)
        match = _STATUS.fullmatch(first)
        if not match:
            raise MalformedFault("the status line is not HTTP/1.1")
        status = int(match[2])
        fields: dict[str, str] = {}
        for line in lines:
            _add_field(fields, line)
        if status < 200 and status != 101:
            self.num_interim += 1
            return
        self.status, self.headers, self.has_head = status, fields, True
        connection = fields.get("connection", "").lower()
        self.keeps_alive = "close" not in connection and (
            match[1] == b"1" or "keep-alive" in connection
        )
        self._state = self._body_state(status, fields)
        if self._state == _DONE:
            self.is_done = True
        elif self._state == _CLOSE:
            self.keeps_alive, self.ends_with_connection = False, True

    def _body_state(self, status: int, fields: dict[str, str]) -> int:
        if status in (204, 304):
            return _DONE
        coding = fields.get("transfer-encoding", "").lower().replace(" ", "")
        if coding:
            if coding != "chunked":
                raise MalformedFault("a transfer coding other than chunked")
            return _SIZE
        lengths = {text.strip() for text in fields.get("content-length", "").split(",")} - {""}
        if not lengths:
            return _CLOSE
        length = lengths.pop()
        if lengths or not _LENGTH.fullmatch(length):
            raise MalformedFault("content-length is not one number")
        self._left = int(length)
        return _COUNTED if self._left else _DONE


def _chunk_size(line: bytes) -> int:
    """The number of a chunk-size line; extensions after `;` are allowed and ignored."""
    number = line.partition(b";")[0].rstrip(b" \t")
    if not _HEX.fullmatch(number):
        raise MalformedFault("a chunk size is not a hexadecimal number")
    size = int(number, 16)
    if number == line and len(_sizes) < 4096:
        _sizes[line] = size
    return size


def _add_field(fields: dict[str, str], line: bytes) -> None:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        raise MalformedFault("a header line is not a header")
    key = name.decode("ascii").lower()
    text = value.strip(b" \t").decode("latin-1")
    fields[key] = f"{fields[key]}, {text}" if key in fields else text
