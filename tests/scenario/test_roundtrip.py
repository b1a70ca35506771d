"""What is written resolved loads back equal, for the whole language."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scenario import load_resolved
from harness.scenario._check import check
from harness.scenario.loader import LoadedScenario
from harness.scenario.resolved import as_written
from harness.units import write_rate, write_seconds, write_share

names = st.text("abcdefgXYZ019_.-", min_size=1, max_size=8)
number = st.floats(0.001, 1e6) | st.integers(1, 10**6)
seconds = st.floats(0, 1e7).map(write_seconds)
phase = st.floats(0, 1e3).map(write_seconds)
rates = st.floats(1e-6, 1e3).map(write_rate)
shares = st.floats(0.001, 1).map(write_share)
text = st.text(max_size=30).filter(lambda t: t.isprintable())
ascii = text.filter(str.isascii)
models = text.filter(bool)


def block(kind: str, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(kind), **fields})


def ascending(kind: str, keys: tuple[str, ...], values: Any) -> st.SearchStrategy[dict[str, Any]]:
    rows = st.lists(values, min_size=len(keys), max_size=len(keys)).map(sorted)
    return rows.map(lambda row: {"kind": kind, **dict(zip(keys, row, strict=True))})


lengths = (
    block("fixed", value=st.integers(1, 9999))
    | ascending("uniform", ("min", "max"), st.integers(1, 10**6))
    | ascending("lognormal", ("median", "p95", "max"), number)
    | block("exponential", mean=number)
)
times = block("exponential", mean=seconds) | block("fixed", value=seconds)
arrivals = block("constant") | block("poisson") | block("gamma", cv=st.floats(0.01, 100))
window = st.one_of(
    st.floats(0.001, 1e4).map(lambda s: {"duration": write_seconds(s)}),
    st.integers(1, 10**6).map(lambda n: {"requests": n}),
)
open_stage = st.tuples(block("open", arrival=arrivals, rate=rates), window)
closed_stage = st.tuples(
    st.fixed_dictionaries(
        {"kind": st.just("closed"), "concurrency": st.integers(1, 999)},
        optional={"think_time": times, "ramp": seconds},
    ),
    window,
)
stage = (open_stage | closed_stage).map(lambda parts: {**parts[0], **parts[1]})
staged = st.lists(stage, min_size=1, max_size=3).map(
    lambda rows: {
        "kind": "stages", "stages": [{**row, "name": f"s{i}"} for i, row in enumerate(rows)],
    }
)  # fmt: skip
phases = st.fixed_dictionaries({}, optional={"warmup": phase, "drain": phase})
loads = st.tuples(stage | staged, phases).map(lambda parts: {**parts[0], **parts[1]})
chat = st.fixed_dictionaries(
    {"kind": st.just("chat"), "input_tokens": lengths}, optional={"output_tokens": lengths}
)
traffic = st.dictionaries(names, chat, min_size=1, max_size=3).map(
    lambda classes: [{"name": name, "workload": work} for name, work in classes.items()]
)
targets = st.dictionaries(
    names,
    block("reference", model=models, flags=st.dictionaries(names, st.booleans() | text | number))
    | block("openai", url=st.just("http://h/v1"), headers=st.dictionaries(st.just("x-a"), ascii))
    | block("scripted", script=st.dictionaries(names, text | number)),
    min_size=1,
    max_size=3,
)
quantiles = st.dictionaries(st.sampled_from(["p50", "p90", "p95", "p99", "max"]), seconds)
slo = st.fixed_dictionaries(
    {}, optional={"ttft": quantiles, "tpot": quantiles, "attainment": shares,
                  "error_rate": st.fixed_dictionaries({"max": shares})},
)  # fmt: skip
scenarios = st.fixed_dictionaries(
    {"schema": st.just("harness/v1"), "name": names, "targets": targets, "traffic": traffic,
     "load": loads},
    optional={"description": text, "labels": st.dictionaries(names, text), "slo": slo,
              "seed": st.integers(0, 2**40)},
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(scenarios)
def test_resolved_text_loads_back_equal(data: dict[str, Any]) -> None:
    checked = check(data)
    assert checked.document is not None, checked.wrong
    loaded = LoadedScenario(checked.document.name, Path("x"), "", checked.document)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.resolved.yaml"
        path.write_text(loaded.resolved_yaml(), encoding="utf-8")
        again = load_resolved(path).document
    assert again == checked.document
    assert as_written(again) == as_written(checked.document)
    assert check(as_written(again)).document == checked.document
