"""Events of every legal spelling, and the same events however the bytes were cut."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.load.sse import read_events

CORPUS: list[tuple[bytes, list[tuple[bytes, str]]]] = [
    (b"data: a\n\ndata: b\n\n", [(b"a", ""), (b"b", "")]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"a", ""), (b"b", "")]),
    (b"data: a\r\rdata: b\r\r", [(b"a", ""), (b"b", "")]),
    (b"\xef\xbb\xbfdata: a\n\n", [(b"a", "")]),
    (b": ping\n\ndata: a\n\n:\n", [(b"a", "")]),
    (b"data:a\n\ndata:  a\n\n", [(b"a", ""), (b" a", "")]),
    (b"data\n\ndata: x\ndata\ndata: y\n\n", [(b"", ""), (b"x\n\ny", "")]),
    (b"event: error\ndata: {}\n\n", [(b"{}", "error")]),
    (b"event: error\n\n", [(b"", "error")]),
    (b"id: 1\nretry: 5\nfoo: x\ndata: a\n\n", [(b"a", "")]),
    (b"event: x\n\ndata: a\n\n", [(b"a", "")]),
    (b"data: \xe2\x82\xac\n\n", [("€".encode(), "")]),
    (b"data: a\n\r\ndata: b\r\n\n", [(b"a", ""), (b"b", "")]),
    (b"\n\n\ndata: a\n\n\n\n", [(b"a", "")]),
    (b"", []),
]


@pytest.mark.parametrize(("body", "expected"), CORPUS)
def test_grammar(body: bytes, expected: list[tuple[bytes, str]]) -> None:
    events = read_events(body)
    assert [(d, events.names.get(k, "")) for k, d in enumerate(events.data)] == expected
    assert events.is_last_closed


def test_last_event_without_blank_line_counts_and_is_flagged() -> None:
    events = read_events(b"data: a\n\ndata: b")
    assert events.data == [b"a", b"b"]
    assert not events.is_last_closed
    events.drop_unclosed()
    assert events.data == [b"a"]


def test_an_event_ends_at_its_blank_line() -> None:
    assert read_events(b"data: a\n\ndata: b\n\n").ends == [9, 18]
    # the CR already ends the blank line: its LF carries no news
    assert read_events(b"data: a\r\n\r\n").ends == [10]


Row = tuple[bytes, str, int]


def rows_of(body: bytes, base: int = 0, *, is_final: bool = True) -> tuple[list[Row], int]:
    found = read_events(body, base, is_final=is_final)
    names = [found.names.get(k, "") for k in range(len(found))]
    return list(zip(found.data, names, found.ends, strict=True)), found.consumed


def read_in_parts(body: bytes, cuts: list[int]) -> list[Row]:
    """As the recorder does it: parts arrive, what is unfinished waits for the next."""
    events: list[Row] = []
    base, waiting, last = 0, b"", 0
    for cut in [*sorted(cuts), len(body)]:
        waiting += body[last:cut]
        last = cut
        rows, consumed = rows_of(waiting, base, is_final=cut == len(body))
        events += rows
        base, waiting = base + consumed, waiting[consumed:]
        if cut == len(body):
            break
    return events


def test_every_single_cut_of_the_corpus_gives_the_same_events() -> None:
    for body, _ in CORPUS:
        whole, _ = rows_of(body)
        for cut in range(len(body)):
            assert read_in_parts(body, [cut]) == whole, (body, cut)


LINES = st.sampled_from(
    [
        b"data: {}",
        b"data:x",
        b"data",
        b": c",
        b"event: error",
        b"",
        b"",
        b"id: 1",
        "data: ñ".encode(),
    ]
)


@given(
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12),
    st.lists(st.integers(0, 120), max_size=5),
)
@example([(b"data: a", b"\r"), (b"", b"\r")], [8])
def test_random_streams_under_random_cuts(
    lines: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    body = b"".join(line + end for line, end in lines)
    inside = [cut for cut in cuts if cut < len(body)]
    assert read_in_parts(body, inside) == rows_of(body)[0]
