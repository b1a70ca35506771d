"""Tables, traces, data sets, tokenizers and words: what is read, and how bad rows are named."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from harness.scenario import expand, load_resolved, read_materials
from harness.scenario._datasets import read_dataset
from harness.scenario._files import FileFault
from harness.scenario._tables import QuantileTable, read_table
from harness.scenario._tasks import read_schema, read_tools
from harness.scenario._traces import read_trace
from harness.scenario.document import Columns
from harness.scenario.materials import shipped_words
from harness.traffic import build_schedule


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_quantile_table(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "# source\nq,a,b\n0,10,0\n0.5,20,0\n1,40,8\n")
    table = read_table(path, "a")
    assert table.q.tolist() == [0, 0.5, 1]
    assert table.mean == 0.5 * 15 + 0.5 * 30  # two trapezoids
    with pytest.raises(FileFault, match="no column 'c'; it has q, a, b"):
        read_table(path, "c")


def test_rows_as_draws_become_empirical_quantiles(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "t.csv", "n\n30\n10\n20\n"), "n")
    assert table.q.tolist() == [0, 0.5, 1]
    assert table.value.tolist() == [10, 20, 30]
    one = read_table(write(tmp_path, "u.csv", "n\n7\n"), "n")
    assert (one.q.tolist(), one.value.tolist()) == ([0, 1], [7, 7])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q,a\n", "holds no rows"),
        ("q,a\n0,1\n0.5,x\n1,2\n", "line 3 of t.csv: 'a' is not a number"),
        (
            "# c\nq,a\n0,1\n0.5,-1\n1,2\n",
            "line 4 of t.csv: 'a' is not a number from 0 to 100,000,000",
        ),
        ("q,a\n0,1\n0.5\n1,2\n", "line 3 of t.csv"),
        ("q,a\n0,1\n0.9,2\n", "must rise from 0 to 1"),
        ("q,a\n0,1\n0.5,2\n0.5,3\n1,4\n", "must rise from 0 to 1"),
        ("q,a\n0,1\n0.5,9\n1,2\n", "line 4 of t.csv: 'a' falls although q rises"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileFault, match=message):
        read_table(write(tmp_path, "t.csv", text), "a")


def test_table_cut_at_max_is_the_law_of_redrawing() -> None:
    table = QuantileTable(np.array([0.0, 0.5, 1.0]), np.array([0.0, 10.0, 30.0]))
    cut = table.below(20)  # q(20) = .75, so q is divided by .75
    assert cut.q.tolist() == pytest.approx([0, 2 / 3, 1])
    assert cut.value.tolist() == [0, 10, 20]
    assert table.below(30) is table
    assert table.below(None) is table
    with pytest.raises(ValueError, match="the smallest is 5"):
        QuantileTable(np.array([0.0, 1.0]), np.array([5.0, 9.0])).below(4)


AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:15:46.6805900,374,44\n"
    "2023-11-16 18:15:46.6805901,396,109\n"
    "2023-11-16 18:16:00,879,55\n"
)


def test_azure_keeps_100_ns_digits(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, "a.csv", AZURE), "azure_csv")
    # 1.7e9 seconds of the epoch leave a double about 0.2 us
    assert trace.arrival_s == pytest.approx([0, 1e-7, 13.31941], abs=3e-7)
    assert trace.input_tok.tolist() == [374, 396, 879]
    assert trace.output_tok.tolist() == [44, 109, 55]
    assert trace.hash_ids is None


def test_mooncake_with_blocks_and_gzip(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 3000, "input_length": 600, "output_length": 2, "hash_ids": [0, 5]},
        {"timestamp": 0, "input_length": 100, "output_length": 9, "hash_ids": [0]},
    ]
    path = tmp_path / "m.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    trace = read_trace(path, "mooncake_jsonl")
    assert trace.arrival_s.tolist() == [0, 3]
    assert trace.hash_ids == ((0,), (0, 5))
    assert trace.block_tok == 512


def test_burstgpt_drops_failures_and_counts_them(tmp_path: Path) -> None:
    text = (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n"
        "45,ChatGPT,1087,0,1087,Conversation log\n"
        "118,GPT-4,417,276,693,API log\n"
    )
    trace = read_trace(write(tmp_path, "b.csv", text), "burstgpt_csv")
    assert trace.arrival_s.tolist() == [0, 113]
    assert trace.num_dropped == 1


@pytest.mark.parametrize(
    ("format", "text", "message"),
    [
        ("azure_csv", "a,b\n1,2\n", "no column 'TIMESTAMP'; its first line has a, b"),
        ("azure_csv", AZURE + "tomorrow,1,2\n", "line 5 of t: 'tomorrow' is not a UTC time"),
        ("azure_csv", AZURE + "2023-11-16 18:16:01,x,2\n", "line 5 of t: 'x' is not a number"),
        ("azure_csv", AZURE + "2023-11-16 18:16:01\n", "line 5 of t has too few columns"),
        ("azure_csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n", "holds no usable row"),
        ("azure_csv", "", "no column 'TIMESTAMP'; its first line has nothing"),
        ("mooncake_jsonl", '{"timestamp": 1}\n', "line 1 of t is not a Mooncake row"),
        ("mooncake_jsonl", "\n[1]\n", "line 2 of t is not a Mooncake row"),
        ("burstgpt_csv", "Timestamp,Request tokens,Response tokens\nx,1,2\n", "line 2 of t"),
    ],
)
def test_bad_traces(tmp_path: Path, format: str, text: str, message: str) -> None:
    with pytest.raises(FileFault, match=message):
        read_trace(write(tmp_path, "t", text), format)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "t.gz"
    path.write_bytes(gzip.compress((AZURE + 900 * AZURE.splitlines()[1]).encode())[:-9])
    with pytest.raises(FileFault, match="cannot be read"):
        read_trace(path, "azure_csv")
    path.write_bytes(b"plain")
    with pytest.raises(FileFault, match="cannot be read"):
        read_trace(path, "azure_csv")


def test_dataset_rows(tmp_path: Path) -> None:
    path = write(
        tmp_path, "d.jsonl",
        '{"prompt": "hello", "out": 5}\n\n'
        '{"prompt": [{"role": "user", "content": "hi"}]}\n',
    )  # fmt: skip
    first, second = read_dataset(path, Columns(output_tokens="out"))
    assert (first.prompt, first.messages, first.output_tok) == ("hello", None, 5)
    assert (second.messages, second.output_tok) == ((("user", "hi"),), None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows"),
        ('{"prompt": "a"}\n{"prompt"\n', "line 2 of d.jsonl is not JSON"),
        ("[1]\n", "line 1 of d.jsonl: expected an object"),
        ('{"text": "a"}\n', "line 1 of d.jsonl: no key 'prompt'; it has text"),
        ('{"prompt": "  "}\n', "neither text nor a list of messages"),
        ('{"prompt": [{"role": "me", "content": "x"}]}\n', "a message needs a role"),
        ('{"prompt": [{"role": "user", "content": []}]}\n', "a message needs a role"),
        ('{"prompt": "a", "out": 0}\n', "'out' is not a whole number of tokens"),
        ('{"prompt": "a", "out": true}\n', "'out' is not a whole number of tokens"),
    ],
)
def test_bad_datasets(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileFault, match=message):
        read_dataset(write(tmp_path, "d.jsonl", text), Columns(output_tokens="out"))


def test_files_are_found_beside_the_scenario_and_pinned(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "t.csv", "n\n30\n10\n")
    loaded = load(overrides=[
        "traffic.chat.workload.input_tokens={kind: empirical, file: t.csv, column: n}",
        "traffic.chat.workload.output_tokens="
        "{kind: empirical, file: lengths/azure-conv-2023.csv, column: output}",
    ])  # fmt: skip
    materials = read_materials(loaded.document, loaded.search_paths)
    mine = (str(tmp_path / "t.csv"), "n")
    assert set(materials.tables) == {mine, ("lengths/azure-conv-2023.csv", "output")}
    # anywhere else the same document reads the same files
    assert set(read_materials(loaded.document, ()).tables) == set(materials.tables)


@pytest.mark.parametrize(
    ("override", "path", "message"),
    [
        ("traffic.chat.workload.input_tokens={kind: empirical, file: t.csv, column: m}",
         "traffic.chat.workload.input_tokens.file", "no column 'm'; it has n"),
        ("traffic.chat.workload.input_tokens={kind: empirical, file: t.csv, column: n, max: 3}",
         "traffic.chat.workload.input_tokens.max", "the smallest is 10"),
        ("traffic.chat.workload={kind: trace, file: t.csv, format: azure_csv}",
         "traffic.chat.workload.file", "no column 'TIMESTAMP'"),
        ("traffic.chat.workload={kind: trace, file: b.csv, format: burstgpt_csv, max_input_tokens:"
         " 5}", "traffic.chat.workload.max_input_tokens", "the shortest has 7 tokens"),
        ("tokens={kind: tokenizer, file: t.csv}", "tokens.file", "not a tokenizer.json"),
        ("targets.main={kind: scripted, script: t.csv}", "targets.main.script", "holds no script"),
        ("sweep={kind: list, over: {traffic.chat.workload.input_tokens.file: [none.csv]}}",
         "sweep.over.traffic.chat.workload.input_tokens.file.0", "no file 'none.csv'"),
        ("sweep={kind: list, over: {traffic.chat.workload.input_tokens.file: [bad.csv]}}",
         "traffic.0.workload.input_tokens.file", "no column 'n'; it has m"),
        ("sweep={kind: list, over: {traffic.chat.workload.input_tokens: [{kind: empirical, file:"
         " none.csv, column: n}]}}",
         "sweep.over.traffic.chat.workload.input_tokens.0.file", "no file 'none.csv'"),
    ],
)  # fmt: skip
def test_bad_files_are_faults(faults, tmp_path, override, path, message) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "t.csv", "n\n30\n10\n")
    write(tmp_path, "bad.csv", "m\n30\n10\n")
    write(tmp_path, "b.csv", "Timestamp,Request tokens,Response tokens\n0,7,1\n1,9,1\n")
    lengths = "traffic.chat.workload.input_tokens={kind: empirical, file: t.csv, column: n}"
    found = faults(overrides=[lengths, override])
    assert any(f.path == path and message in f.message for f in found), found


def test_tokenizer_bytes(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "tok.json"))
    loaded = load(overrides=["tokens={kind: tokenizer, file: tok.json}"])
    found = read_materials(loaded.document, loaded.search_paths).tokenizer_json
    assert found == (tmp_path / "tok.json").read_bytes()


def test_script_is_read_into_the_document(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "s.yaml", "ttft: 100ms\n")
    loaded = load(overrides=["targets.main={kind: scripted, script: s.yaml}"])
    assert loaded.document.targets["main"].script == {"ttft": "100ms"}


def test_shipped_words() -> None:
    words = shipped_words()
    assert len(words) >= 3000
    assert len(set(words)) == len(words)
    assert all(word.isascii() and word.islower() and word.isalpha() for word in words)


TRACES = os.environ.get("HARNESS_TRACES")


@pytest.mark.skipif(not TRACES, reason="HARNESS_TRACES names no folder of public traces")
@pytest.mark.parametrize(
    ("file", "format", "rows", "mean_in"),
    [
        ("azure/AzureLLMInferenceTrace_conv.csv", "azure_csv", 19366, 1155),
        ("azure/AzureLLMInferenceTrace_code.csv", "azure_csv", 8819, 2048),
        ("mooncake/conversation_trace.jsonl.gz", "mooncake_jsonl", 12031, 12035),
        ("mooncake/synthetic_trace.jsonl.gz", "mooncake_jsonl", 3993, 15325),
    ],
)
def test_public_traces(file: str, format: str, rows: int, mean_in: float) -> None:
    trace = read_trace(Path(str(TRACES)) / file, format)
    assert len(trace) + trace.num_dropped == rows
    assert trace.input_tok.mean() == pytest.approx(mean_in, rel=0.001)
    assert np.all(np.diff(trace.arrival_s) >= 0)


@pytest.mark.parametrize(
    "sweep",
    [
        "{traffic.chat.workload.input_tokens.file: [t.csv, u.csv]}",
        "{traffic.chat.workload.input_tokens: [{kind: empirical, file: u.csv, column: n}]}",
    ],
)
def test_swept_files_are_read_too(load, tmp_path: Path, sweep: str) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, "t.csv", "n\n30\n10\n")
    write(tmp_path, "u.csv", "n\n7\n")
    lengths = "traffic.chat.workload.input_tokens={kind: empirical, file: t.csv, column: n}"
    loaded = load(overrides=[lengths, f"sweep={{kind: list, over: {sweep}}}"])
    # the run's own copy names them by their place, so that it can be read from anywhere
    document = load_resolved(write(tmp_path, "r.yaml", loaded.resolved_yaml())).document
    materials = read_materials(document)
    assert {Path(file).name for file, _ in materials.tables} == {"t.csv", "u.csv"}
    for point in expand(document):
        assert build_schedule(point, materials).stages[0].asked_in.max() in (7, 30)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1e12,4\n",
         "line 2 of t.csv: '1e12' is not a number of tokens"),
        ("t.csv", f"TIMESTAMP,ContextTokens,GeneratedTokens\n{'x' * 200_000},1,4\n",
         "t.csv is not CSV: field larger"),
        ("b.csv", "Timestamp,Request tokens,Response tokens\nnan,1,4\n",
         "line 2 of b.csv: 'nan' is not a time"),
        ("b.csv", "Timestamp,Request tokens,Response tokens\n0,1,4\n1e12,1,4\n",
         "spans more than 30 years"),
        *(("m.jsonl", json.dumps({"timestamp": 0, "input_length": 1, "output_length": 1,
                                  "hash_ids": []} | change), "line 1 of m.jsonl is not a Mooncake")
          for change in ({"timestamp": 10**400}, {"timestamp": float("nan")},
                         {"input_length": 10**12}, {"input_length": float("inf")},
                         {"output_length": -1}, {"hash_ids": "12"})),
        ("m.jsonl", "[" * 100_000, "line 1 of m.jsonl is not a Mooncake"),
    ],
)  # fmt: skip
def test_absurd_rows_of_traces(tmp_path: Path, name: str, text: str, message: str) -> None:
    layout = {"t": "azure_csv", "b": "burstgpt_csv", "m": "mooncake_jsonl"}[name[0]]
    with pytest.raises(FileFault, match=message):
        read_trace(write(tmp_path, name, text), layout)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"n\n" + b"".join(b"%d\n" % (i * i) for i in range(999))))
    packed[40:60] = bytes(20)
    path = tmp_path / "t.csv.gz"
    path.write_bytes(packed)
    with pytest.raises(FileFault, match=r"t\.csv\.gz"):
        read_table(path, "n")


def test_absurd_cells_of_tables_and_data_sets(tmp_path: Path) -> None:
    with pytest.raises(FileFault, match=r"t\.csv is not CSV"):
        read_table(write(tmp_path, "t.csv", f"n\n{'x' * 200_000}\n"), "n")
    with pytest.raises(FileFault, match=r"line 2 of t\.csv: 'n' is not a number from"):
        read_table(write(tmp_path, "t.csv", "n\n1e300\n"), "n")
    with pytest.raises(FileFault, match=r"line 1 of d\.jsonl: its text holds half a character"):
        read_dataset(write(tmp_path, "d.jsonl", '{"prompt": "\\ud800"}\n'), Columns())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "is no list of tools"),
        ("[]", "is no list of tools"),
        ('[{"type": "function"}]', "tool 0 of t.json is not"),
        ('[{"type": "function", "function": {"name": 3}}]', "tool 0 of t.json is not"),
        (
            '[{"type": "function", "function": {"name": "f", "parameters": {"type": "x"}}}]',
            "the parameters of f in t.json: no valid JSON schema",
        ),
        ("[", "t.json is not JSON"),
    ],
)
def test_tools_that_are_none_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileFault, match=message):
        read_tools(write(tmp_path, "t.json", text))


def test_schemas_are_checked_before_anything_is_sent(tmp_path: Path) -> None:
    assert read_schema(write(tmp_path, "s.json", '{"type": "object"}')) == {"type": "object"}
    with pytest.raises(FileFault, match=r"s.json: no valid JSON schema: .*'objekt'"):
        read_schema(write(tmp_path, "s.json", '{"type": "objekt"}'))
    with pytest.raises(FileFault, match="expected an object"):
        read_schema(write(tmp_path, "s.json", "[]"))
