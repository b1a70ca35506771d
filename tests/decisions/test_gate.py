"""The gate's four words, each for the right reason, on runs whose true change is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from harness.analysis.run_sample import RunSample, run_sample
from harness.decisions.comparable import Fingerprint, differences, fingerprint, shortfalls
from harness.decisions.comparison import Comparison, paired_rows
from harness.decisions.gate import Block, GateResult, has_too_many_faults, is_decided, judge_gate
from harness.decisions.gate_document import gate_document, gate_schema
from harness.decisions.gate_words import gate_headline, rule_verdict
from harness.decisions.looks import Look, plan_looks, sights
from harness.decisions.stored import judge_stored, run_values
from harness.estimate import Outcome
from harness.scenario.gate import Gate
from harness.scenario.slo import Slo

NUM = 300


def gate(*rules: dict[str, object], **fields: object) -> Gate:
    data = {"candidate": "new", "baseline": {"kind": "target", "target": "old"}, **fields}
    return Gate.model_validate({**data, "rules": list(rules) or [TTFT]})


TTFT = {"kind": "relative", "id": "ttft", "metric": "ttft", "stat": "p50", "max_increase": "5%"}
ERRORS = {"kind": "absolute", "id": "errors", "metric": "error_rate", "max": "2%"}


@pytest.fixture(scope="module")
def base(rows) -> RunSample:  # type: ignore[no-untyped-def]
    """One valid run: 300 requests, ttft exponential with mean 100 ms, 10 tokens at 20 ms."""
    return make_run(rows)


def make_run(rows, fail_every: int = 0) -> RunSample:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    made = []
    for i, ttft_s in enumerate(rng.exponential(0.1, NUM)):
        at = i * 100 / NUM
        if fail_every and i % fail_every == 0:
            made.append(rows.row(at, end=at + 0.01, error="http_5xx"))
        else:
            made.append(rows.row(at, [at + ttft_s + 0.02 * k for k in range(11)]))
    return run_sample(rows.requests(made), rows.clients(100), rows.meta(100.0))


def scaled(run: RunSample, factor: float) -> RunSample:
    """The same run with every latency times factor."""
    return replace(run, samples={k: v * factor for k, v in run.samples.items()})


def blocks(run: RunSample, changes: list[float]) -> list[Block]:
    """A block a change: the candidate's latencies are the baseline's times 1 + change."""
    return [
        Block(i, "AB" if i % 2 == 0 else "BA", {"main": run}, {"main": scaled(run, 1 + c)}, f"s{i}")
        for i, c in enumerate(changes)
    ]


SMALL_NOISE = [0.004, -0.006, 0.002, -0.003, 0.005, -0.001, 0.003, -0.004]


def judged(run: RunSample, shift: float, noise: list[float] = SMALL_NOISE) -> GateResult:
    return judge_gate(gate(), Slo(), blocks(run, [shift + n for n in noise]))


def test_material_and_significant_fails(base: RunSample) -> None:
    found = judged(base, 0.08)
    (rule,) = found.rules
    assert found.outcome is Outcome.FAIL
    assert rule.judged is not None
    assert rule.judged.effect == pytest.approx(0.08, abs=0.002)
    assert rule.judged.p_holm == 2 / 256
    assert "significant and material" in rule.reason


def test_significant_but_not_material_does_not_fail(base: RunSample) -> None:
    found = judged(base, 0.03)
    assert found.outcome is Outcome.PASS
    assert found.rules[0].judged is not None
    assert found.rules[0].judged.p == 2 / 256  # a real change, shown to stay within the limit


def test_material_but_not_significant_is_open(base: RunSample) -> None:
    found = judged(base, 0.06, [0.4, -0.3, 0.35, -0.2, 0.3, -0.25, 0.1, -0.05])
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "not told apart from noise" in found.rules[0].reason


def test_no_change_passes_and_a_gain_is_noted(base: RunSample) -> None:
    assert judged(base, 0.0).outcome is Outcome.PASS
    better = judged(base, -0.2)
    assert better.outcome is Outcome.PASS
    assert better.rules[0].judged is not None
    assert better.rules[0].judged.is_improved


@pytest.mark.parametrize("num", [1, 2, 4])
def test_few_blocks_can_only_be_open(base: RunSample, num: int) -> None:
    """Even ten times slower: a lone pair and two blocks prove nothing."""
    found = judge_gate(gate(blocks=num), Slo(), blocks(base, [9.0] * num))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "too few blocks" in found.rules[0].reason


def test_higher_is_better_is_turned_round(base: RunSample) -> None:
    rule = {"kind": "relative", "id": "tok", "metric": "output_tok_per_s", "max_decrease": "3%"}
    fast = base.summary.find("output_tok_per_s", "rate")
    assert fast is not None
    assert fast.value is not None
    fewer = [
        replace(e, value=e.value * 0.9) if e.metric == fast.metric and e.value else e
        for e in base.summary.estimates
    ]
    slow = replace(base, summary=replace(base.summary, estimates=tuple(fewer)))
    found = judge_gate(
        gate(rule), Slo(), [Block(i, "AB", {"main": base}, {"main": slow}) for i in range(8)]
    )
    assert found.outcome is Outcome.FAIL
    assert found.rules[0].judged is not None
    assert found.rules[0].judged.effect == pytest.approx(-0.1)
    assert judge_gate(
        gate(rule), Slo(), [Block(i, "AB", {"main": slow}, {"main": base}) for i in range(8)]
    ).outcome is Outcome.PASS  # fmt: skip


def test_what_only_the_candidate_does_badly_fails_it(base: RunSample) -> None:
    flooded = replace(base, summary=replace(base.summary, is_stable=False))
    whole = blocks(base, [0.0] * 7)
    found = judge_gate(gate(), Slo(), [*whole, Block(7, "BA", {"main": base}, {"main": flooded})])
    assert found.outcome is Outcome.FAIL
    assert "the candidate alone" in found.reason
    lost = replace(base, samples={k: np.full(NUM, math.inf) for k in base.samples})
    found = judge_gate(gate(), Slo(), [*whole, Block(7, "BA", {"main": base}, {"main": lost})])
    assert found.outcome is Outcome.FAIL
    assert "not reached" in found.reason


def test_what_the_baseline_does_badly_discards_the_block(base: RunSample) -> None:
    flooded = replace(base, summary=replace(base.summary, is_stable=False))
    whole = blocks(base, [0.0] * 8)
    found = judge_gate(gate(), Slo(), [Block(9, "BA", {"main": flooded}, {"main": base}), *whole])
    assert (found.outcome, found.num_valid) == (Outcome.PASS, 8)
    assert found.discarded == ((9, "baseline: offered more than its capacity"),)


def test_too_many_discarded_blocks_are_invalid(base: RunSample) -> None:
    void = replace(base, summary=replace(base.summary, validity=Outcome.INVALID))
    why = replace(
        void.summary,
        checks=(replace(void.summary.checks[0], status="invalid", sentence="the client was late"),),
    )
    late = replace(void, summary=why)
    bad = [Block(i, "AB", {"main": late}, {"main": base}) for i in range(20, 23)]
    found = judge_gate(gate(), Slo(), [*bad, *blocks(base, [0.0] * 8)])
    assert found.outcome is Outcome.INVALID
    assert "3 of 11 blocks were discarded" in found.reason
    assert gate_headline(comparison(found), found).outcome == "invalid"
    assert not has_too_many_faults(8, 2)
    assert has_too_many_faults(8, 3)


def test_errors_of_the_candidate_fail_an_absolute_rule(base: RunSample, rows) -> None:  # type: ignore[no-untyped-def]
    failing = make_run(rows, fail_every=10)
    pairs = [Block(i, "AB", {"main": base}, {"main": failing}) for i in range(8)]
    found = judge_gate(gate(ERRORS), Slo(), pairs)
    assert found.outcome is Outcome.FAIL
    assert judge_gate(gate(ERRORS), Slo(), blocks(base, [0.0] * 8)).outcome is Outcome.PASS


def test_a_limit_tighter_than_the_sample_shows_stays_open(base: RunSample) -> None:
    """0 errors in 2,400 only shows <= 0.125 % (decisions.md)."""
    rule = {**ERRORS, "max": "0.1%"}
    found = judge_gate(gate(rule), Slo(), blocks(base, [0.0] * 8))
    assert found.outcome is Outcome.INCONCLUSIVE
    (only,) = found.rules
    assert only.verdict is not None
    assert only.verdict.bound == pytest.approx(0.00125, rel=0.01)


def test_the_slo_is_judged_on_the_pooled_candidate(base: RunSample) -> None:
    limits = Slo.model_validate({"ttft": {"p95": "400ms"}, "error_rate": {"max": "0%"}})
    rules = ({"kind": "slo", "id": "slo"},)
    found = judge_gate(gate(*rules), limits, blocks(base, SMALL_NOISE))
    assert [r.id for r in found.rules] == ["slo-ttft-p95", "slo-error_rate"]
    assert found.outcome is Outcome.PASS
    slower = judge_gate(gate(*rules), limits, blocks(base, [1.0 + n for n in SMALL_NOISE]))
    assert slower.rules[0].outcome is Outcome.FAIL


def test_looks_spend_alpha_and_stop_early(base: RunSample) -> None:
    design = gate(blocks=8, max_blocks=16)
    assert [(look.k, look.alpha) for look in plan_looks(design)] == [
        (8, 0.025), (12, 0.0125), (16, 0.0125),
    ]  # fmt: skip
    assert plan_looks(gate()) == (Look(8, 0.05),)
    first = judge_gate(design, Slo(), blocks(base, [0.08 + n for n in SMALL_NOISE]))
    assert (first.outcome, first.look.k) == (Outcome.FAIL, 8)
    assert is_decided(first)
    noisy = [0.05 + 8 * n for n in SMALL_NOISE]
    wide = judge_gate(design, Slo(), blocks(base, noisy))
    assert not is_decided(wide)
    assert judge_gate(design, Slo(), blocks(base, noisy * 2)).look.k == 16


@pytest.mark.parametrize(
    ("k", "alpha", "m", "can"),
    [(8, 0.05, 6, True), (8, 0.025, 3, True), (8, 0.025, 4, False), (2, 0.05, 1, False)],
)
def test_what_a_look_can_reach(k: int, alpha: float, m: int, can: bool) -> None:
    assert Look(k, alpha).can_fail(m) is can


def test_what_a_design_sees_is_told_before(base: RunSample) -> None:
    (seen,) = sights(gate(), {"ttft": 0.04})
    assert seen.visible == pytest.approx(0.047, abs=0.0005)  # table of decisions.md: 4.7 %
    assert seen.failing is not None
    assert seen.failing > seen.visible
    assert sights(gate(), {}) == ()


def comparison(result: GateResult, **fields: object) -> Comparison:
    return Comparison("old", "new", (), (), (), result=result, **fields)  # type: ignore[arg-type]


def test_the_sentence_says_answer_interval_rule_and_reason(base: RunSample) -> None:
    found = judged(base, 0.08)
    line = gate_headline(comparison(found), found)
    assert line.answer == "FAIL: TTFT p50 is 8.0% slower"
    assert "[limit 5.0%, 8 blocks, Holm, alpha 0.05]" in line.detail
    open_ = judged(base, 0.05, [0.1, -0.08, 0.06, -0.04, 0.05, -0.06, 0.03, -0.05])
    line = gate_headline(comparison(open_), open_)
    assert line.answer.startswith("INCONCLUSIVE: TTFT p50 +4.9%")
    assert "the smallest change this design can see is" in line.detail
    assert gate_headline(comparison(judged(base, 0.0)), judged(base, 0.0)).answer == (
        "PASS: the rule is kept."
    )
    verdict = rule_verdict(found.rules[0])
    assert (verdict.rule, verdict.outcome, verdict.limit) == ("ttft", Outcome.FAIL, 0.05)


def test_gate_json_keeps_its_schema(base: RunSample) -> None:
    prints = Fingerprint({"model.id": "tiny"}, {"chat": (10.0, 11.0)})
    for found in (judged(base, 0.08), judge_gate(gate(TTFT, ERRORS), Slo(), [])):
        data = gate_document(
            comparison(found), scenario="s", scenario_sha256="0" * 64, seed=1, exit_code=1,
            arms={"baseline": ("abc", prints), "candidate": ("def", prints)},
        )  # fmt: skip
        jsonschema.Draft202012Validator.check_schema(gate_schema())
        jsonschema.validate(json.loads(json.dumps(data, allow_nan=False)), gate_schema())
    data["rules"][0]["verdict"] = "maybe"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, gate_schema())


def test_observations_never_gate_and_are_marked(base: RunSample) -> None:
    pairs = blocks(base, [0.08 + n for n in SMALL_NOISE])
    rows = paired_rows(pairs, 0.05, [("ttft", "p50", "main")])
    assert ("ttft", "p50") not in {(r.metric, r.stat) for r in rows}
    by_name = {(r.metric, r.stat): r for r in rows}
    assert by_name["tpot", "p50"].is_flagged
    assert not by_name["output_tok_per_s", "rate"].is_flagged


# -- comparability -----------------------------------------------------------------------------


def prints(**changes: object) -> Fingerprint:
    given: dict[str, object] = {
        "scenario_sha256": "a" * 64, "model": "tiny", "engine_flags": {"spec": "draft"},
        "provenance": {
            "machine": {
                "cpu": "x", "num_cpus_usable": 2, "host_sha256": "h",
                "gpus": [{"name": "H100", "driver_version": "1"}],
            },
            "packages": {"inference-harness": "0.1.0"},
        },
        "schema_version": 1, "lengths": {"chat": (100.0, 20.0)},
    }  # fmt: skip
    return fingerprint(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scenario_sha256": "b" * 64}, "scenario.sha256"),
        ({"model": "other"}, "model.id"),
        ({"engine_flags": {"spec": "none"}}, "engine_flags.spec"),
        ({"engine_flags": {}}, "engine_flags.spec"),
        ({"schema_version": 2}, "client.records_schema"),
        ({"lengths": {"chat": (100.0, 20.5)}}, "realised_lengths.chat.output"),
    ],
)
def test_a_difference_names_its_field(changes: dict[str, object], field: str) -> None:
    assert differences(prints(), prints()) == ()
    (told,) = differences(prints(), prints(**changes))
    assert told.startswith(field)
    assert differences(prints(), prints(**changes), ()) == ()


def test_a_gpu_and_a_host_differ_by_name() -> None:
    other = {
        "machine": {"cpu": "x", "num_cpus_usable": 2, "host_sha256": "g", "gpus": []},
        "packages": {"inference-harness": "0.2.0"},
    }
    told = differences(prints(), prints(provenance=other))
    assert {d.partition(" ")[0] for d in told} == {
        "hardware.host", "hardware.gpus", "client.harness",
    }  # fmt: skip
    # what one did not learn cannot be held against the other
    assert not differences(prints(), prints(provenance={"machine": {"gpus": [
        {"name": "H100", "driver_version": "1"}]}}))  # fmt: skip


def test_not_comparable_is_invalid(base: RunSample) -> None:
    found = judge_gate(gate(), Slo(), blocks(base, [0.0] * 8), differences=("model.id is a, b",))
    assert found.outcome is Outcome.INVALID
    assert "model.id" in found.reason


def test_answers_cut_short_by_the_candidate_alone_fail_it(base: RunSample) -> None:
    """The baseline shows that 20 tokens can be had; with 19 the candidate is broken, and what it
    does faster shows nothing."""
    full, cut = prints(), prints(lengths={"chat": (100.0, 19.0)})
    assert list(shortfalls(full, cut, {"chat": 20.0})) == ["chat"]
    assert "asks for 20.0 output tokens" in shortfalls(full, cut, {"chat": 20.0})["chat"]
    assert not differences(full, cut, except_output_of={"chat"})
    for baseline, candidate, asked in (
        (full, cut, None),  # lengths were left to the model
        (cut, cut, 20.0),  # the baseline does not keep the ask either
        (full, prints(lengths={"chat": (100.0, 21.0)}), 20.0),  # longer is another matter
        (full, prints(lengths={"chat": (100.0, 19.7)}), 20.0),  # within 2 %
        (full, prints(lengths={"chat": (100.0, None)}), 20.0),
    ):
        assert not shortfalls(baseline, candidate, {"chat": asked})
    told = tuple(shortfalls(full, cut, {"chat": 20.0}).values())
    found = judge_gate(gate(), Slo(), blocks(base, [0.0] * 8), short=told)
    assert [r.outcome for r in found.rules] == [Outcome.FAIL, Outcome.INCONCLUSIVE]
    assert found.outcome is Outcome.FAIL
    assert gate_headline(comparison(found), found).answer == "FAIL: answer-length."
    data = gate_document(
        comparison(found), scenario="s", scenario_sha256="0" * 64, seed=1, exit_code=1, arms={}
    )
    assert data["rules"][0]["kind"] == "lengths"
    stored = judge_stored(gate(), Slo(), [{"main": base}] * 3, [], short=told)
    assert stored.outcome is Outcome.FAIL


# -- stored sessions ---------------------------------------------------------------------------


def test_stored_sessions_are_the_unit(base: RunSample) -> None:
    """Five sessions that scatter by 1 %: 20 % slower fails, the same thing passes."""
    design = gate(baseline={"kind": "stored", "name": "main"})
    sessions = [
        run_values([{"main": scaled(base, 1 + c)}] * 3, [("ttft", "p50")])
        for c in (0.01, -0.01, 0.0, 0.012, -0.012)
    ]
    slow = judge_stored(design, Slo(), [{"main": scaled(base, 1.2)}] * 3, sessions)
    assert slow.outcome is Outcome.FAIL
    assert not slow.is_paired
    assert judge_stored(design, Slo(), [{"main": base}] * 3, sessions).outcome is Outcome.PASS
    few = judge_stored(design, Slo(), [{"main": scaled(base, 9.0)}] * 3, sessions[:4])
    assert few.outcome is Outcome.INCONCLUSIVE
    assert "4 stored sessions" in few.reason


def test_one_run_against_one_is_inconclusive(base: RunSample) -> None:
    """Pitfall 28: how much two runs of the same thing differ is not known from two."""
    design = gate(baseline={"kind": "run", "run": "other"}, blocks=1)
    session = run_values([{"main": base}], [("ttft", "p50")])
    found = judge_stored(design, Slo(), [{"main": scaled(base, 1.5)}], [session])
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "1 stored session" in found.reason


def test_as_many_blocks_are_spare_as_may_be_discarded() -> None:
    """8 valid beside 2 discarded are one in five; a third makes it invalid whatever follows."""
    from harness.scenario.expand import spare_blocks

    for blocks in (4, 8, 12, 16, 20):
        spare = spare_blocks(gate(blocks=blocks))
        assert not has_too_many_faults(blocks, spare)
        assert has_too_many_faults(blocks, spare + 1)
