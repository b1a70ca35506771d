"""Every wrong key and value is named with its place and the right spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario import load_scenario

ONE = [  # text replaced, by what, path, line, column, message
    ("rate: 8/s", "rat: 8/s", "load.rat", 14, 3, "unknown key; did you mean 'rate'?"),
    ("kind: poisson", "kind: poisson, rat: 8/s", "load.arrival.rat", 13, 28,
     "unknown key; did you mean 'load.rate'?"),
    ("kind: open\n  arrival: {kind: poisson}", "kind: closed\n  concurrency: 2", "load.rate", 14, 3,
     "unknown key for kind closed; kind open has it"),
    ("p95: 1s", "p95: 500", "slo.ttft.p95", 17, 15, "500 has no unit; write 500ms or 0.5s"),
    ("p95: 1s", "p95: 1 lightyear", "slo.ttft.p95", 17, 15, "unknown unit 'lightyear'"),
    ("p95: 1s", "p950: 1s", "slo.ttft.p950", 17, 10, "unknown key; did you mean 'p95'?"),
    ("ttft:", "tft:", "slo.tft", 17, 3, "unknown key; did you mean 'ttft'?"),
    ("ttft: {p95: 1s}", "error_rate: 5%", "slo.error_rate", 17, 15, "expected keys below it"),
    ("ttft: {p95: 1s}", "attainment: 99", "slo.attainment", 17, 15, "99 has no unit; write 99%"),
    ("kind: poisson", "kind: poison", "load.arrival.kind", 13, 19,
     "'poison' is not a choice; did you mean 'poisson'?"),
    ("kind: poisson", "cv: 2", "load.arrival.kind", 13, 3, "missing; one of constant, poisson"),
    ("kind: fixed, value: 100", "kind: lognormal, median: 9, p95: 5, max: 10",
     "traffic.chat.workload.input_tokens.p95", 9, 55, "is below median"),
    ("kind: fixed, value: 100", "kind: lognormal, median: 9, p95: 15, max: 10",
     "traffic.chat.workload.input_tokens.max", 9, 64, "is below p95"),
    ("kind: fixed, value: 100", "kind: uniform, min: 9, max: 5",
     "traffic.chat.workload.input_tokens.min", 9, 42, "is above max"),
    ("value: 100", "value: many", "traffic.chat.workload.input_tokens.value", 9, 42,
     "must be a number"),
    ("value: 100", "value: true", "traffic.chat.workload.input_tokens.value", 9, 42,
     "must not be true"),
    ("value: 100", "value: .inf", "traffic.chat.workload.input_tokens.value", 9, 42,
     "must be finite"),
    ("value: 100", "value: 0", "traffic.chat.workload.input_tokens", 9, 21, "at least one token"),
    ("kind: chat", "kind: vision", "traffic.chat.workload.kind", 8, 13,
     "'vision' is not served in this version; use chat, dataset, trace, tools,"
     " json_schema, embeddings or audio"),
    ("    workload:", "    retry: 3\n    workload:", "traffic.chat.retry", 7, 12,
     "expected keys below it"),
    ("    workload:", "    retry: {attempts: 1}\n    workload:", "traffic.chat.retry.attempts", 7,
     23, "must be 2 or more"),
    ("    workload:", "    retry: {attempts: 3, on: [http_4xx]}\n    workload:",
     "traffic.chat.retry.on.0", 7, 31, "'http_4xx' is not a choice; did you mean 'http_5xx'?"),
    ("    workload:", "    retry: {attempts: 3, max_wait: 1ms}\n    workload:",
     "traffic.chat.retry.max_wait", 7, 36, "is below wait"),
    ("    workload:", "    cancel: {share: 5%}\n    workload:", "traffic.chat.cancel.after", 7, 5,
     "say when: either after (a time) or after_tokens (a count)"),
    ("    workload:",
     "    cancel: {share: 5%, aftr: {}, after: {kind: fixed, value: 1s}}\n    workload:",
     "traffic.chat.cancel.aftr", 7, 25, "unknown key; did you mean 'after'?"),
    ("    workload:", "    cancel: {share: 5, after: {kind: fixed, value: 1s}}\n    workload:",
     "traffic.chat.cancel.share", 7, 21, "5 has no unit; write 5%"),
    ("    workload:", "    cancel: {share: 0%, after: {kind: fixed, value: 1s}}\n    workload:",
     "traffic.chat.cancel.share", 7, 21, "must be above 0%"),
    ("    workload:", "    cancel: {share: 5%, after: {kind: fixed, value: 1}}\n    workload:",
     "traffic.chat.cancel.after.value", 7, 53, "1 has no unit"),
    ("  kind: open\n  arrival: {kind: poisson}\n  rate: 8/s\n",
     "  kind: probe\n  evry: 30s\n  every: 30s\n", "load.evry", 13, 3,
     "unknown key; did you mean 'every'?"),
    ("  kind: open\n  arrival: {kind: poisson}\n  rate: 8/s\n", "  kind: probe\n  every: 2min\n",
     "load.every", 13, 10, "is longer than duration"),
    ("  kind: open\n  arrival: {kind: poisson}\n  rate: 8/s\n  duration: 60s\n",
     "  kind: idle_burst\n  idle: [1min, 1s]\n", "load.idle.1", 13, 16, "longer than gap"),
    ("  kind: open\n  arrival: {kind: poisson}\n  rate: 8/s\n  duration: 60s\n",
     "  kind: idle_burst\n  idle: [60]\n", "load.idle.0", 13, 10, "60 has no unit"),
    ("slo:", "sweep: {kind: repeat}\nslo:", "sweep.repeat", 16, 1, "must be 2 or more"),
    ("slo:", "sweep: {kind: repeat, repeat: 2, over: {}}\nslo:", "sweep.over", 16, 34,
     "unknown key"),
    ("    workload:", "    api: completion\n    workload:", "traffic.chat.api", 7, 10,
     "'completion' is not a choice; did you mean 'completions'?"),
    ("slo:", "sweep: {kind: zip, over: {load.rate: [1/s, 2/s], seed: [1]}}\nslo:", "sweep.over",
     16, 26,
     "as many values of each path; there are 2 of load.rate, 1 of seed"),
    ("kind: poisson", "kind: mmpp", "load.arrival.kind", 13, 19, "not served in this version"),
    ("rate: 8/s", "rate: {kind: ramp, from: 3, to: 8/s}", "load.rate.from", 14, 28,
     "3 has no unit; write 8/s or 480/min"),
    ("  rate: 8/s\n", "", "load.rate", 11, 1, "missing; an open load needs one"),
    ("duration: 60s", "duration: 60s\n  requests: 9", "load.requests", 16, 13,
     "give either duration or requests, not both"),
    ("  duration: 60s\n", "", "load.duration", 11, 1, "missing; say how long"),
    ("duration: 60s", "duration: 0s", "load.duration", 15, 13, "must be above 0s"),
    ("  duration: 60s", "  requests: 1.5", "load.requests", 15, 13, "must be a whole number"),
    ("url: \"http://localhost:8000/v1\"", "model: x", "targets.main.url", 4, 3,
     "missing; base URL"),
    ("http://localhost:8000/v1", "localhost:8000/v1", "targets.main.url", 4, 29,
     "must start with http:// or https://"),
    ("http://localhost:8000/v1", "http://localhost:x/v1", "targets.main.url", 4, 29,
     "is not a URL"),
    ("http://localhost:8000/v1", "http://localhost/v1/chat/completions", "targets.main.url", 4,
     29, "without '/chat/completions'"),
    ("name: small", "name: not a name", "name", 2, 7, "may hold letters, digits"),
    ("name: small\n", "", "name", 1, 1, "missing; appears in the run's name"),
    ("harness/v1", "harness/v2", "schema", 1, 9, "harness/v2 is newer than this harness"),
    ("harness/v1", "mine", "schema", 1, 9, "'mine' is not known; write harness/v1"),
    ("name: small", "name: small\nname: again", "name", 3, 1, "already given in line 2"),
    ("name: small", "name: small\nseed: -1", "seed", 3, 7, "must be 0 or more"),
    ("slo:", "output: {reports: [html, pdf]}\nslo:", "output.reports.1", 16, 26,
     "'pdf' is not a choice; use html, markdown or junit"),
    ("slo:", "sweep: {kind: list, over: {load.rte: [1/s]}}\nslo:", "sweep.over.load.rte", 16, 28,
     "load has no key 'rte'; did you mean 'rate'?"),
    ("slo:", "sweep: {kind: list, over: {load.rate: [1/s], seed: [1]}}\nslo:", "sweep.over", 16,
     27, "a list takes one path"),
    ("slo:", "sweep: {kind: list, over: {load.rate: [1/s, 2]}}\nslo:", "load.rate", 16, 21,
     "2 has no unit; write 8/s or 480/min (swept: load.rate = 2)"),
    ("slo:", "sweep: {kind: list, over: {load.rate: [1/s]}, targets: [man]}\nslo:",
     "sweep.targets.0", 16, 57, "no target 'man'; there are main"),
    ("slo:", "sweep: {kind: repeat, repeat: 2000000000}\nslo:", "sweep.repeat", 16, 31,
     "must be 10,000 or less"),
    ("slo:", "sweep: {kind: list, repeat: 5001, over: {load.rate: [1/s, 2/s]}}\nslo:",
     "sweep.over", 16, 41, "makes 10,002 points; at most 10,000 run"),
    ("slo:", "sweep: {kind: list, over: {targets: [{}]}}\nslo:", "sweep.over.targets", 16, 28,
     "'targets' cannot be swept"),
    ("slo:", "sweep: {kind: list, over: {targets.man.model: [a, b]}}\nslo:",
     "sweep.over.targets.man.model", 16, 28, "no target 'man'; there are main"),
    ("slo:", "sweep: {kind: list, over: {tokens.file: [a]}}\nslo:", "sweep.over.tokens.file", 16,
     28, "'tokens' cannot be swept"),
    ("rate: 8/s", "rate: 8000000/s", "load.rate", 14, 9, "at most 20,000,000"),
    ("kind: poisson", "kind: gamma, cv: 1e-200", "load.arrival.cv", 13, 30, "must be 0.01 or more"),
    ("duration: 60s", "duration: 1e15d", "load.duration", 15, 13, "is longer than 30 years"),
    ("  kind: open\n  arrival: {kind: poisson}\n  rate: 8/s\n", "  kind: probe\n  every: 1ns\n",
     "load.every", 13, 10, "asks for 60,000,000,000 requests"),
    ("  kind: open\n  arrival: {kind: poisson}\n  rate: 8/s\n  duration: 60s\n",
     "  kind: idle_burst\n  idle: [1min]\n  requests: 1000000\n  cycles: 21\n", "load.cycles", 15,
     11, "asks for 21,000,000 requests"),
    ("value: 100", "value: 1e300", "traffic.chat.workload.input_tokens.value", 9, 42,
     "must be 100,000,000 or less"),
    ("    workload:", "    prefix: {groups: 9000000000, tokens: 5}\n    workload:",
     "traffic.chat.prefix.groups", 7, 22, "must be 1,000,000 or less"),
    ("ttft: {p95: 1s}", "uptime: {window: 0s, objective: 99%}", "slo.uptime.window", 17, 20,
     "must be above 0s"),
    ("ttft: {p95: 1s}", "attainment: 0.9", "slo.attainment", 17, 15,
     "0.9 has no unit; write 90% or 0.9%"),
    ("  main:", "  ma/in:", "targets.ma/in", 4, 10, "may hold letters, digits"),
    ("url: ", "model: '', url: ", "targets.main.model", 4, 31, "must not be empty"),
    ("http://localhost:8000/v1", "http://localhost:8000/\\nX: y", "targets.main.url", 4, 29,
     "holds a space or a sign outside ASCII"),
    ("8000/v1\"}", "8000/v1\", headers: {x-a: \u4e2d}}", "targets.main.headers.x-a", 4, 72,
     "must be plain ASCII text"),
    ("name: small", "name: small\nseed: !!int abc", "seed", 3, 7, "is not a value of type int"),
    ("name: small", "name: small\nseed: " + "9" * 5000, "seed", 3, 7, "is not a value of type int"),
    ("name: small", "name: small\nseed: " + "9" * 50, "seed", 3, 7, "is too large; at most"),
    ("name: small", "name: small\ndescription: \"\\ud800\"", "description", 3, 14,
     "holds a control character"),
    ("name: small", "name: small\ndescription: \"a\\0b\"", "description", 3, 14,
     "holds a control character"),
    ("slo:", "tokens: {kind: tokenizer, file: none.json}\nslo:", "tokens.file", 16, 33,
     "no file 'none.json'; looked in"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "path", "line", "column", "message"), ONE)
def test_one_fault(faults, old, new, path, line, column, message) -> None:  # type: ignore[no-untyped-def]
    (fault,) = faults(old, new)
    assert (fault.path, fault.line, fault.column) == (path, line, column)
    assert message in fault.message


def test_all_faults_at_once_in_order(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text(
        "schema: harness/v1\n"
        "nme: x\n"
        "targets: {a: {kind: openia}, b: {kind: reference, flag: {}}}\n"
        "traffic:\n"
        "  - {name: c, workload: {kind: dataset, file: d.jsonl, ordr: shuffled}}\n"
        "  - {name: c, workload: {kind: chat, input_tokens: {kind: uniform, min: 5, max: 2}}}\n"
        "load: {kind: closed, concurrency: 0, duration: 5}\n"
        "slo: {ttft: {p99: 500}}\n"
    )
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    found = [(f.path, f.line) for f in error.value.faults]
    assert found == [
        ("name", 1), ("nme", 2), ("targets.a.kind", 3), ("targets.b.flag", 3),
        ("traffic.c.workload.ordr", 5), ("traffic.c.name", 6),
        ("traffic.c.workload.input_tokens.min", 6), ("load.concurrency", 7), ("load.duration", 7),
        ("slo.ttft.p99", 8),
    ]  # fmt: skip
    lines = error.value.render().splitlines()
    assert lines[0] == f"error: scenario '{path}' is not valid"
    assert lines[-1] == f"fix these, then: harness validate {path}"
    assert len(lines) == 12


def test_many_faults_fit_on_a_screen(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("\n".join(f"{'wrong' * 40}{i}: 1" for i in range(500)))
    with pytest.raises(ScenarioError) as error:
        load_scenario(path)
    assert len(error.value.faults) == 505
    lines = error.value.render().splitlines()
    assert len(lines) == 23
    assert lines[-2] == "  and 485 more: harness validate --json lists all"
    assert max(map(len, lines)) < 320


TEXTS = [  # the whole file, path, line, column, message
    (b"", "(file)", 1, 1, "is empty"),
    (b"# nothing\n", "(file)", 1, 1, "is empty"),
    (b"- a\n- b\n", "(document)", 1, 1, "expected keys such as schema"),
    (b"just words", "(document)", 1, 1, "expected keys such as schema"),
    (b"a: 1\nb:\n\tc: 2\n", "(text)", 3, 1, "a tab indents this line"),
    (b"a: [1\nb: 2\n", "(text)", 2, 2, "is not YAML: expected ',' or ']'"),
    (b"a: 1\n---\nb: 2\n", "(text)", 2, 1, "is not YAML"),
    (b"name: caf\xe9\n", "(text)", 1, 10, "is not UTF-8"),
    (b"name: \x01\n", "(text)", 1, 7, "special characters are not allowed"),
    (b"[" * 4000, "(text)", 1, 1, "nested too deeply"),
    (b"a: {" * 100 + b"}" * 100, "a." * 61, 1, 0, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "path", "line", "column", "message"), TEXTS)
def test_text_that_is_no_document(tmp_path, text, path, line, column, message) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "bad.yaml"
    file.write_bytes(text)
    with pytest.raises(ScenarioError) as error:
        load_scenario(file)
    fault = next(f for f in error.value.faults if message in f.message)
    assert fault.line == line
    if column:
        assert (fault.path, fault.column) == (path, column)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("labels: &x {a: b}\nslo: *x", "aliases are not used here"),
        ("<<: {a: b}", "merge keys are not used here"),
        ("seed: !!python/object:os.system x", "tags such as"),
        ("? [a, b]\n: c", "a key must be plain text"),
    ],
)
def test_yaml_beyond_the_language(faults, line: str, message: str) -> None:  # type: ignore[no-untyped-def]
    assert any(message in fault.message for fault in faults("slo:", f"{line}\nslo:"))


def test_yaml_1_2_words_stay_words(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load("slo:", "labels: {a: no, b: 10:30, c: 2026-01-01, d: off}\nslo:")
    assert loaded.document.labels == {"a": "no", "b": "10:30", "c": "2026-01-01", "d": "off"}


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as error:
        load_scenario("quikstart")
    assert "did you mean 'quickstart'?" in error.value.faults[0].message
    (tmp_path / "mine.yaml").write_text("a: 1")
    with pytest.raises(ScenarioError) as error:
        load_scenario(tmp_path / "mien.yaml")
    assert f"did you mean '{tmp_path / 'mine.yaml'}'?" in error.value.faults[0].message
    with pytest.raises(ScenarioError, match="not valid"):
        load_scenario(tmp_path)
