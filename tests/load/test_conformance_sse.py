"""Every way a server may spell and cut its events: the same answer comes out, at its own times."""

from __future__ import annotations

from typing import Any

import pytest

from harness.load import LoadProcess

from .cases import EARLY_NS, Run, run_cases

pytestmark = pytest.mark.e2e
OUT = 12
TEXT = "the river runs past old mill and under stone bridge where children"
ODD = {"bom": True, "comments": True, "multi_line": True, "other_fields": True}

SPELLINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "crlf": {"sse": {"line_end": "crlf"}},
    "bare cr": {"sse": {"line_end": "cr"}},
    "no space": {"sse": {"space": False}},
    "byte order mark": {"sse": {"bom": True}},
    "comments": {"sse": {"comments": True, "comment_every": "2ms"}},
    "several data lines": {"sse": {"multi_line": True}},
    "other fields": {"sse": {"other_fields": True}},
    "no [DONE]": {"sse": {"done": False}},
    "no [DONE], no blank line": {"sse": {"done": False, "last_blank_line": False}},
    "text after [DONE]": {"sse": {"after_done": '{"choices":[{"delta":{"content":"no"}}]}'}},
    "everything, lf": {"sse": ODD},
    "everything, crlf": {"sse": ODD | {"line_end": "crlf"}},
    "everything, cr": {"sse": ODD | {"line_end": "cr", "space": False}},
    "one write of 7 bytes": {"http": {"write_bytes": 7}},
    "cut after a byte": {"chunks": {"split_at": 1}},
    "cut in the field": {"chunks": {"split_at": 4}},
    "cut in the json": {"chunks": {"split_at": 40}},
    "cut before the blank line": {"chunks": {"split_at": -1}},
    "cut before the last line": {"chunks": {"split_at": -2}},
    "cut in a crlf": {"chunks": {"split_at": -1}, "sse": {"line_end": "crlf"}},
    "cut between two crlf": {"chunks": {"split_at": -2}, "sse": {"line_end": "crlf"}},
    "cut in two cr": {"chunks": {"split_at": -1}, "sse": {"line_end": "cr"}},
    "four events a segment": {"chunks": {"events_per_segment": 4}},
    "finish with the last token": {"chunks": {"finish": "last_token"}},
    "content-length": {"http": {"framing": "content_length"}},
    "until the connection ends": {"http": {"framing": "close"}},
    "chunk extensions, trailers": {"http": {"chunk_extensions": True, "trailers": True}},
    "interim answers": {"http": {"interim": [102, 103]}},
    "usage is null before": {"usage": {"null_before": True, "where": "finish"}},
}
OTHERS: dict[str, dict[str, Any]] = {
    "split character": {"chunks": {"split_utf8": True, "text": "né€🙂 "}},
    "huge events": {"chunks": {"pad_bytes": 300_000}, "tokens": {"output": 4}},
    "huger events": {"chunks": {"pad_bytes": 1_200_000}, "tokens": {"output": 2}},
    "huge text": {"chunks": {"text": "word " * 60_000}, "tokens": {"output": 3},
                  "usage": {"where": "finish"}},
    "three seconds of huge events": {
        "chunks": {"pad_bytes": 90_000}, "timing": {"ttft": "5ms", "gap": "250ms"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def run(load_process: LoadProcess, tmp_path_factory: pytest.TempPathFactory) -> Run:
    cases = {name: (1, then) for name, then in (SPELLINGS | OTHERS).items()}
    folder = tmp_path_factory.mktemp("sse")
    return run_cases(load_process, folder, cases, rate=20, samples=1000)


def test_31_the_same_events_however_they_are_spelled_and_cut(run: Run) -> None:
    for name in SPELLINGS:
        row = run[name].row
        assert row["error_class"] == "", (name, row["error_detail"])
        assert (row["n_out"], len(row["chunk_ns"])) == (OUT, OUT), name
        assert run.sample(name) == TEXT, name


def test_an_event_has_the_stamp_of_its_own_end(run: Run) -> None:
    """Never before the server sent it whole; the second half of a cut event comes 1 ms later."""
    for name in SPELLINGS:
        row, sent = run[name].row, run[name].sent
        first = sent[1] - EARLY_NS + 1_000_000 * name.startswith("cut")
        if name == "cut in a crlf":
            first -= 1_000_000  # CR LF CR ends the blank line already: it is in the first half
        assert row["first_token_ns"] >= first, name
        assert row["chunk_ns"] == sorted(row["chunk_ns"])


def test_several_events_of_a_segment_share_its_stamp(run: Run) -> None:
    row = run["four events a segment"].row
    assert row["num_coalesced"] >= 9  # twelve tokens in three segments
    assert len(set(row["chunk_ns"])) <= 3
    assert row["num_events"] == run["plain"].row["num_events"]


def test_a_character_cut_in_two_stays_one(run: Run) -> None:
    row = run["split character"].row
    assert (row["error_class"], row["n_out"]) == ("", OUT)
    assert run.sample("split character") == "né€🙂 " * OUT


@pytest.mark.parametrize(
    ("name", "num", "least_bytes"),
    [
        ("huge events", 4, 4 * 300_000),
        ("huger events", 2, 2 * 1_200_000),
        ("huge text", 3, 3 * 300_000),
        ("three seconds of huge events", OUT, OUT * 90_000),
    ],
)
def test_huge_events_are_read_whole(run: Run, name: str, num: int, least_bytes: int) -> None:
    row = run[name].row
    assert row["error_class"] == "", row["error_detail"]
    assert (row["n_out"], len(row["chunk_ns"])) == (num, num)
    assert row["bytes_in"] > least_bytes
    for stamp, sent in zip(row["chunk_ns"], run[name].sent[1:], strict=False):
        assert stamp >= sent - EARLY_NS
