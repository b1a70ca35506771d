"""Framing: every kind of body, under every split; malformed heads are refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.faults import MalformedFault
from harness.load.http1 import ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD: dict[str, tuple[bytes, bytes, bool]] = {
    # name: (response, body, connection may be kept)
    "counted": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello", True),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "chunked": (CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!", True),
    "end mark inside a chunk": (
        CHUNKED + b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", True,
    ),
    "extensions, trailers": (
        CHUNKED + b"5;name=v\r\nhello\r\n00;x\r\nX-T: 1\r\nY: 2\r\n\r\n", b"hello", True,
    ),
    "upper-case size": (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", True),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
        + OK + b"Content-Length: 2\r\n\r\nab", b"ab", True,
    ),
    "close": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
    "http/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab", False),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab", b"ab", True),
}  # fmt: skip


def read(parts: list[bytes]) -> ResponseReader:
    reader = ResponseReader()
    for part in parts:
        reader.feed(part)
    return reader


@pytest.mark.parametrize("name", GOOD)
def test_whole_and_under_every_single_and_double_cut(name: str) -> None:
    raw, body, keeps = GOOD[name]
    for first, second in itertools.combinations_with_replacement(range(len(raw) + 1), 2):
        reader = read([raw[:first], raw[first:second], raw[second:]])
        assert (bytes(reader.body), reader.is_done, reader.keeps_alive) == (body, True, keeps)
    one_by_one = read([raw[k : k + 1] for k in range(len(raw))])
    assert bytes(one_by_one.body) == body


def test_never_done_before_the_last_byte() -> None:
    for name, (raw, _, _) in GOOD.items():
        assert not read([raw[:-1]]).is_done, name


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_chunks_of_any_bytes_under_any_cuts(chunks: list[bytes], data: st.DataObject) -> None:
    raw = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    bounds = [0, *cuts, len(raw)]
    reader = read([raw[a:b] for a, b in itertools.pairwise(bounds)])
    assert bytes(reader.body) == b"".join(chunks)
    assert reader.is_done


def test_body_until_the_connection_ends() -> None:
    reader = read([OK + b"\r\n", b"abc", b"def"])
    assert not reader.is_done
    assert reader.eof()
    assert bytes(reader.body) == b"abcdef"
    assert not reader.keeps_alive


@pytest.mark.parametrize("cut", [10, 60, len(CHUNKED) + 4])
def test_an_early_end_is_no_end(cut: int) -> None:
    raw = CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"
    assert not read([raw[:cut]]).eof()


def test_bytes_after_the_end_spoil_the_connection() -> None:
    reader = read([OK + b"Content-Length: 2\r\n\r\nabEXTRA"])
    assert reader.is_done
    assert reader.extra == b"EXTRA"
    assert not reader.keeps_alive


@pytest.mark.parametrize("cut", [9, 10, 11, 12])
def test_a_size_line_cut_after_a_whole_chunk_waits_for_its_rest(cut: int) -> None:
    """The sizes are known and the first chunk ends where the cut one would, were it at the start:
    looked up without its line end, it was once taken again and again for ever."""
    tail = b"3\r\nabc\r\n5\r\nhello\r\n0\r\n\r\n"
    reader = read([CHUNKED + b"5\r\nhello\r\n3\r\nabc\r\n", tail[:cut], tail[cut:]])
    assert bytes(reader.body) == b"helloabcabchello"
    assert reader.is_done


def test_a_folded_header_is_one_line() -> None:
    reader = read([OK + b"X-Long: a\r\n  b\r\n\tc\r\nContent-Length: 2\r\n\r\nab"])
    assert reader.is_done
    assert reader.headers["x-long"] == "a b c"


BAD = [
    b"SSH-2.0-OpenSSH\r\n",
    b"HTTP/2 200\r\n\r\n",
    OK + b"no colon\r\n\r\n",
    OK + b"bad name : x\r\n\r\n",
    OK + b"Content-Length: 5, 6\r\n\r\n",
    OK + b"Content-Length: -1\r\n\r\n",
    OK + b"Transfer-Encoding: gzip\r\n\r\n",
    CHUNKED + b"0x5\r\nhello\r\n",
    CHUNKED + b"+5\r\nhello\r\n",
    CHUNKED + b"5_0\r\n",
    CHUNKED + b"zz\r\n",
    CHUNKED + b"3\r\nhello\r\n",
    OK + b"X: " + b"y" * 70_000,
]


@pytest.mark.parametrize("raw", BAD)
def test_malformed_is_refused_whole_and_by_the_byte(raw: bytes) -> None:
    with pytest.raises(MalformedFault):
        read([raw])
    with pytest.raises(MalformedFault):
        read([raw[k : k + 7] for k in range(0, len(raw), 7)])
