"""Gates of recordings and of texts to embed: metrics that only they have, in their direction."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest

from harness.analysis.run_sample import RunSample, run_sample
from harness.decisions.comparison import Comparison, lone_rows, paired_rows
from harness.decisions.gate import Block, GateResult, judge_gate
from harness.decisions.gate_document import gate_document, gate_schema
from harness.decisions.gate_words import gate_headline, rule_verdict
from harness.decisions.stored import judge_stored, run_values
from harness.estimate import Outcome
from harness.scenario.gate import Gate
from harness.scenario.slo import Slo

NUM, WINDOW_S = 300, 100.0
RTF = {"id": "r", "kind": "relative", "metric": "rtf", "stat": "p95", "max_increase": "10%"}
NOISE = (0.004, -0.006, 0.002, -0.003, 0.005, -0.001, 0.003, -0.004)


def gate(*rules: dict[str, Any], **fields: Any) -> Gate:
    data = {"candidate": "new", "baseline": {"kind": "target", "target": "old"}, **fields}
    return Gate.model_validate({**data, "rules": list(rules)})


@pytest.fixture(scope="module")
def heard(rows) -> RunSample:  # type: ignore[no-untyped-def]
    """Recording i plays 1 + i mod 5 seconds and takes a tenth of that, by some."""
    factors = np.random.default_rng(4).uniform(0.05, 0.15, NUM)
    made = []
    for i, factor in enumerate(factors):
        at, audio_s = i * WINDOW_S / NUM, 1.0 + i % 5
        made.append(
            rows.row(
                at, end=at + factor * audio_s, api="transcriptions", audio_s=audio_s, n_in=None,
                n_out=None, tok_source="absent",
            )
        )  # fmt: skip
    return run_sample(rows.requests(made), rows.clients(round(WINDOW_S)), rows.meta(WINDOW_S))


@pytest.fixture(scope="module")
def embedded(rows) -> RunSample:  # type: ignore[no-untyped-def]
    made = [
        rows.row(
            i * WINDOW_S / NUM, end=i * WINDOW_S / NUM + 0.1, api="embeddings", vector_count=4,
            n_in=100, n_out=None, tok_source="usage_final",
        )
        for i in range(NUM)
    ]  # fmt: skip
    return run_sample(rows.requests(made), rows.clients(round(WINDOW_S)), rows.meta(WINDOW_S))


def slower(run: RunSample, factor: float, *metrics: str) -> RunSample:
    """Latencies times factor; the rates named over it."""
    estimates = tuple(
        replace(e, value=e.value / factor) if e.metric in metrics and e.value else e
        for e in run.summary.estimates
    )
    return replace(
        run, samples={k: v * factor for k, v in run.samples.items()},
        summary=replace(run.summary, estimates=estimates),
    )  # fmt: skip


def judged(rule: dict[str, Any], run: RunSample, factor: float, *metrics: str) -> GateResult:
    blocks = [
        Block(i, "AB" if i % 2 else "BA", {"main": run},
              {"main": slower(run, factor * (1 + n), *metrics)}, f"s{i}")
        for i, n in enumerate(NOISE)
    ]  # fmt: skip
    return judge_gate(gate(rule), Slo(), blocks)


def test_the_number_of_a_run_is_its_own_quantile(heard: RunSample) -> None:
    """type 7 over end - sent / duration, computed here from the records' own numbers."""
    factors = np.random.default_rng(4).uniform(0.05, 0.15, NUM)
    for stat, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95)):
        number = heard.number("rtf", stat)
        assert number.n == NUM
        assert number.value == pytest.approx(float(np.quantile(factors, q)), rel=1e-9)
    minutes = sum(1.0 + i % 5 for i in range(NUM)) / 60
    rate = heard.number("audio_min_per_s", "rate").value
    assert rate == pytest.approx(minutes / WINDOW_S, rel=0.01)  # some end after the window
    assert heard.number("vector_per_s", "rate").value is None


@pytest.mark.parametrize(
    ("factor", "outcome"), [(1.3, Outcome.FAIL), (1.0, Outcome.PASS), (0.7, Outcome.PASS)]
)
def test_a_larger_real_time_factor_is_worse(
    heard: RunSample, factor: float, outcome: Outcome
) -> None:
    found = judged(RTF, heard, factor)
    assert found.outcome is outcome
    (rule,) = found.rules
    assert rule.judged is not None
    assert rule.judged.effect == pytest.approx(factor - 1, abs=0.01)
    assert rule.judged.is_improved is (factor < 1)


@pytest.mark.parametrize("metric", ["vector_per_s", "input_tok_per_s"])
@pytest.mark.parametrize(
    ("factor", "outcome"), [(1.3, Outcome.FAIL), (1.0, Outcome.PASS), (0.7, Outcome.PASS)]
)
def test_fewer_vectors_are_worse(
    embedded: RunSample, metric: str, factor: float, outcome: Outcome
) -> None:
    rule = {"id": "v", "kind": "relative", "metric": metric, "max_decrease": "10%"}
    found = judged(rule, embedded, factor, metric)
    assert found.outcome is outcome
    (only,) = found.rules
    assert only.judged is not None
    assert only.judged.effect == pytest.approx(1 / factor - 1, abs=0.01)
    assert only.baseline == pytest.approx(12.0 if metric == "vector_per_s" else 300.0, rel=0.01)


@pytest.mark.parametrize(
    ("rule", "unit", "outcome"),
    [
        ({"metric": "rtf", "stat": "p95", "max": 0.2}, "s/s", Outcome.PASS),
        ({"metric": "rtf", "stat": "p50", "max": 0.05}, "s/s", Outcome.FAIL),
        ({"metric": "audio_min_per_s", "min": 0.1}, "min/s", Outcome.PASS),
        ({"metric": "audio_min_per_s", "min": 0.5}, "min/s", Outcome.FAIL),
        ({"metric": "vector_per_s", "min": 1}, "", Outcome.INCONCLUSIVE),  # nobody embedded
    ],
)
def test_the_candidate_alone_against_a_limit(
    heard: RunSample, rule: dict[str, Any], unit: str, outcome: Outcome
) -> None:
    other = slower(heard, 1.001, "audio_min_per_s")
    blocks = [
        Block(i, "AB", {"main": heard}, {"main": (heard, other)[i % 2]}, f"s{i}") for i in range(8)
    ]
    found = judge_gate(gate({"id": "a", "kind": "absolute", **rule}), Slo(), blocks)
    assert found.outcome is outcome, found.reason
    verdict = found.rules[0].verdict
    assert verdict is not None
    assert (verdict.estimate.unit if verdict.estimate else "") == unit


def test_words_and_files_tell_it_like_any_other_rule(heard: RunSample) -> None:
    found = judged(RTF, heard, 1.3)
    compared = Comparison("old", "new", (), (), (), (), found, 0.05, 8)
    line = gate_headline(compared, found)
    assert line.answer.startswith("FAIL: real-time factor p95 is 30")
    assert "slower" in line.answer
    assert rule_verdict(found.rules[0]).direction == "max"
    data = gate_document(
        compared, scenario="s", scenario_sha256="0" * 64, seed=1, exit_code=1, arms={}
    )
    data["arms"] = {"candidate": {"target": "new", "build": "x",
                    "fingerprint": {"facts": {}, "lengths": {}}}}  # fmt: skip
    jsonschema.validate(json.loads(json.dumps(data, allow_nan=False)), gate_schema())
    (row,) = data["rules"]
    assert (row["metric"], row["stat"], row["limit_ratio"]) == ("rtf", "p95", pytest.approx(1.1))


def test_sessions_store_them_and_are_judged_by_them(embedded: RunSample) -> None:
    rule = {"id": "v", "kind": "relative", "metric": "vector_per_s", "max_decrease": "5%"}
    asked = gate(rule, baseline={"kind": "stored", "name": "b"})
    sessions = [
        run_values([{"main": slower(embedded, 1 + n, "vector_per_s")}], [("vector_per_s", "rate")])
        for n in NOISE
    ]
    assert list(sessions[0]) == ["main/vector_per_s/rate"]
    runs = [{"main": slower(embedded, 1.5, "vector_per_s")}] * 2
    assert judge_stored(asked, Slo(), runs, sessions).outcome is Outcome.FAIL
    assert judge_stored(asked, Slo(), [{"main": embedded}] * 2, sessions).outcome is Outcome.PASS


def test_a_comparison_shows_what_the_requests_have(heard: RunSample, embedded: RunSample) -> None:
    blocks = [
        Block(i, "AB", {"main": heard}, {"main": slower(heard, 1.3 + n, "audio_min_per_s")}, "s")
        for i, n in enumerate(NOISE)
    ]
    shown = {(r.metric, r.stat): r for r in paired_rows(blocks)}
    assert {m for m, _ in shown} == {"e2e_latency", "rtf", "audio_min_per_s"}
    assert shown["rtf", "p50"].outcome is Outcome.FAIL
    assert (shown["rtf", "p95"].unit, shown["audio_min_per_s", "rate"].unit) == ("s/s", "min/s")
    assert shown["audio_min_per_s", "rate"].effect == pytest.approx(1 / 1.3 - 1, abs=0.01)
    lone = {r.metric for r in lone_rows([embedded.summary], [embedded.summary])}
    assert lone == {"e2e_latency", "vector_per_s"}
