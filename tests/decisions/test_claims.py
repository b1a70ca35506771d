"""Each of the guide's claims on simulated data, with cases worked out by hand."""

from __future__ import annotations

import itertools
import math
import re
import shlex
from dataclasses import replace
from datetime import date
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.analysis import analyse_point
from harness.analysis.frame import read_frame
from harness.analysis.time_blocks import median_of_blocks
from harness.decisions.claims import (
    TESTS,
    Capacity,
    Crossing,
    Evidence,
    Measured,
    Standing,
    cells_of,
    exit_code_of,
    family_of,
    judge_claims,
)
from harness.decisions.claims.bills import kaplan_meier_median, sign_test
from harness.decisions.claims.scaling import change_point, usl
from harness.errors import ExitCode, ScenarioError
from harness.estimate import Estimate, Outcome
from harness.scenario import expand, load_scenario
from harness.scenario.claims import Claim, Facts, Scope, load_claims, load_facts, with_values
from harness.scenario.prices import load_prices
from tests.analysis import rows as made_rows

SHEET = load_prices("fireworks-guide")
TODAY = date(2026, 11, 27)
GUIDE = {claim.id: claim for claim in load_claims("guide").document.claims}
MODEL = "accounts/fireworks/models/llama-v3p3-70b-instruct"


def claim(name: str, **changes: Any) -> Claim:
    data = GUIDE[name].model_dump(by_alias=True, exclude_unset=True)
    scope = {**data.get("scope", {}), **changes.pop("scope", {})}
    return Claim.model_validate({**data, **changes, "scope": scope})


def evidence(*measured: Measured, **fields: Any) -> Evidence:
    facts = Facts.model_validate({"schema": "harness/evidence/v1", **fields.pop("facts", {})})
    return Evidence(SHEET, TODAY, measured, facts, **fields)


def measured(rows: ModuleType, table: list[dict[str, Any]], window_s: float, **meta: Any):  # type: ignore[no-untyped-def]
    made = rows.meta(window_s, **meta)
    frame = read_frame(rows.requests(table), made.t0_ns, made.t1_ns)
    summary = replace(valid_summary(window_s), meta=made)
    return Measured(f"run-{meta.get('index', 0)}", summary, frame, MODEL)


@cache
def valid_summary(window_s: float):  # type: ignore[no-untyped-def]
    """Claims read requests; of a summary they read its meta and whether it is valid."""
    table = [made_rows.row(0.1 * k, [0.1 * k + 0.05, 0.1 * k + 0.06]) for k in range(40)]
    clients = made_rows.clients(max(10, round(window_s)))
    return analyse_point(made_rows.requests(table), clients, made_rows.meta(window_s))


def judge(found: Claim, of: Evidence):  # type: ignore[no-untyped-def]
    return TESTS[found.test](found, of)


# -- the file ----------------------------------------------------------------------------------


def test_the_guide_has_fifteen_claims_and_every_test_is_named_once_at_least() -> None:
    assert {name.removesuffix("b") for name in GUIDE} == {f"C{k}" for k in range(1, 16)}
    assert {c.test for c in GUIDE.values()} == set(TESTS)


def test_without_a_run_arithmetic_alone_speaks() -> None:
    found = {f.claim.id: f for f in judge_claims(list(GUIDE.values()), evidence())}
    told = {name: f.standing for name, f in found.items()}
    assert told["C7"] is told["C4"] is Standing.INCONSISTENT
    assert told["C6"] is Standing.SUPPORTED
    rest = {s for name, s in told.items() if name not in ("C4", "C6", "C7")}
    assert rest == {Standing.NOT_TESTABLE}
    assert all("run: " in f.reason for f in found.values() if f.standing is Standing.NOT_TESTABLE)
    assert exit_code_of(list(found.values()), is_only=False) is ExitCode.OK  # expected
    assert exit_code_of(list(found.values()), is_only=True) is ExitCode.INCONCLUSIVE


def test_exit_codes_by_standing_and_expectation() -> None:
    def code(standing: Standing, expect: str | None, is_only: bool = False) -> int:
        from harness.decisions.claims import Finding

        data = GUIDE["C7"].model_dump(by_alias=True) | {"expect": expect}
        data = {k: v for k, v in data.items() if v is not None}
        one = Finding(Claim.model_validate(data), standing, "")
        return int(exit_code_of([one], is_only))

    assert code(Standing.INCONSISTENT, None) == code(Standing.REFUTED, None) == 1
    assert code(Standing.INCONSISTENT, "inconsistent") == 0
    assert code(Standing.REFUTED, "inconsistent") == 1  # another fault than the known one
    assert code(Standing.INCONCLUSIVE, None) == 3
    assert code(Standing.NOT_TESTABLE, None) == 0
    assert code(Standing.NOT_TESTABLE, None, is_only=True) == 3
    assert code(Standing.SUPPORTED, None) == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("value: 100ms", "value: 100", "100 has no unit"),
        ("value: 100ktok/h", "value: 100Mtok", "unknown unit 'Mtok'"),
        ("value: 100ktok/h", "value: 0tok/h", "must be above 0"),
        ("value: 0.20USD/audio_min", "value: 0USD/audio_min", "must be above 0"),
        (
            "value: 50%\n    scope: {target: serverless, hit",
            "value: 0%\n    scope: {target: serverless, hit",
            "must be above 0",
        ),
        ("    test: bill\n", "    value: 3\n    test: bill\n", "test bill has no value"),
        ("test: uptime", "test: uptim", "did you mean 'uptime'?"),
        ("  - id: C2", "  - id: C1", "'C1' is given twice"),
        ("operator: up to", "operator: about", "'about' is not a choice"),
        (
            "operator: <\n    value: 100ms",
            "operator: '>'\n    value: 100ms",
            "test ttft_by_prompt judges < or <=, not >",
        ),
    ],
)
def test_faults_have_line_and_column(tmp_path, old: str, new: str, told: str) -> None:  # type: ignore[no-untyped-def]
    text = load_claims("guide").path.read_text("utf-8")
    assert old in text
    path = tmp_path / "own.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        load_claims(path)
    shown = error.value.render()
    assert told in shown
    assert "line " in shown
    assert f"harness claims {path}" in shown


def test_every_way_to_evidence_is_a_command_that_runs() -> None:
    """Scenarios and overrides load as they are written; verbs of the harness are its own."""
    seen = 0
    for one in GUIDE.values():
        assert "harness " in one.run, one.id
        run = re.sub(r"[A-Z_]+_URL", "http://host:1/v1", one.run)
        for words in (shlex.split(part.partition(" (")[0]) for part in run.split("; ")):
            if words[:2] != ["harness", "run"]:
                continue
            sets = [b for a, b in itertools.pairwise(words) if a == "--set"]
            flags = {"url": "http://host:1/v1", "model": "m"} if "--url" in words else {}
            loaded = load_scenario(words[2], overrides=sets, env={}, **flags)
            assert expand(loaded.document), one.id
            seen += 1
    assert seen >= 12
    judged = [c for c in GUIDE.values() if " --set C" in c.run]
    for one in judged:
        last = shlex.split(one.run.rpartition("harness claims guide")[2].partition(" (")[0])
        sets = [b for a, b in itertools.pairwise(last) if a == "--set"]
        values = {"N": "2", "SPEED": "150tok/s"}
        sets = [f"{k}={values.get(v, v)}" for k, _, v in (s.partition("=") for s in sets)]
        changed = with_values(load_claims("guide").document, sets)
        own = next(c for c in changed.claims if c.id == one.id)
        assert own.scope != one.scope or own.value != one.value


def test_a_figure_that_the_source_never_gave_is_not_judged(rows: ModuleType) -> None:
    """C14's 100 tok/s is ours. Measured 125 on 30 blocks: told, and open until a figure is set."""
    table = [
        rows.row(10.0 * b + j, [10.0 * b + j + 0.1 + 0.008 * k for k in range(11)])
        for b in range(30) for j in range(6)
    ]  # fmt: skip
    run = evidence(measured(rows, table, 300.0))
    (open_,) = judge_claims([claim("C14", min_n=30, scope={"block": "10s"})], run)
    assert open_.standing is Standing.INCONCLUSIVE
    assert open_.value == pytest.approx(125.0)
    assert "the source gives no figure: --set C14.value=... judges it" in open_.reason
    sets = ["C14.value=120tok/s", "C14.min_n=30", "C14.scope.block=10s"]
    document = with_values(load_claims("guide").document, sets)
    (own,) = [c for c in document.claims if c.id == "C14"]
    assert judge_claims([own], run)[0].standing is Standing.SUPPORTED
    with pytest.raises(ScenarioError) as error:
        with_values(document, ["C14.value=120ms", "C99.value=3", "C1.operator='>'"])
    told = error.value.render()
    for part in ("C14.value", "unknown unit 'ms'", "no claim of that id", "judges < or <=, not >"):
        assert part in told, told


# -- C1, C14: medians over blocks ---------------------------------------------------------------


def in_blocks(rows: ModuleType, ttft: list[float], n_in: int, each: int = 6, **meta: Any):  # type: ignore[no-untyped-def]
    """Blocks of ten seconds, `each` requests of one prompt length in every one."""
    table = [
        rows.row(10.0 * b + j, [10.0 * b + j + v], n_in=n_in)
        for b, v in enumerate(ttft)
        for j in range(each)
    ]
    return measured(rows, table, 10.0 * len(ttft), **meta)


def test_order_statistic_bounds_of_a_median_of_thirty() -> None:
    """Binomial(30, 1/2): one-sided 95 % ranks 11 and 20 (P(X <= 10) = .049, scipy)."""
    found = median_of_blocks([float(k) for k in range(1, 31)])
    assert (found.low, found.high, found.k) == (11.0, 20.0, 30)
    assert stats.binom.cdf(10, 30, 0.5) <= 0.05 < stats.binom.cdf(11, 30, 0.5)


def test_c1_by_prompt_length(rows: ModuleType) -> None:
    c1 = claim("C1", scope={"block": "10s"})
    fast = in_blocks(rows, [0.08] * 30, 128)
    slow = in_blocks(rows, [0.4] * 30, 4096, index=1)
    assert judge(c1, evidence(fast)).standing is Standing.SUPPORTED
    assert judge(c1, evidence(slow)).standing is Standing.REFUTED
    mixed = judge(c1, evidence(fast, slow))
    assert mixed.standing is Standing.INCONCLUSIVE
    assert (
        mixed.reason == "it depends on the prompt: supported at 128 tokens; refuted at 4,096 tokens"
    )
    few = judge(c1, evidence(in_blocks(rows, [0.08] * 29, 128)))
    assert few.standing is Standing.INCONCLUSIVE
    assert few.reason == "29 blocks were measured where 30 are asked for"
    # 12 slow blocks of 30: the upper rank, 20th of 30, is slow; the lower, 11th, is fast
    split = judge(c1, evidence(in_blocks(rows, [0.08] * 18 + [0.2] * 12, 128)))
    assert split.standing is Standing.INCONCLUSIVE
    assert (split.low, split.high) == (pytest.approx(0.08), pytest.approx(0.2))


def test_c1_a_failure_is_late_for_ever(rows: ModuleType) -> None:
    table = [
        rows.row(10.0 * b + j, [10.0 * b + j + 0.05] if j < 2 else (), n_in=128, end=10.0 * b + j,
                 error="" if j < 2 else "http_5xx")
        for b in range(30) for j in range(6)
    ]  # fmt: skip
    found = judge(claim("C1", scope={"block": "10s"}), evidence(measured(rows, table, 300.0)))
    assert found.standing is Standing.REFUTED
    assert math.isinf(found.low)


def test_a_measurement_that_is_not_valid_is_no_evidence(rows: ModuleType) -> None:
    run = in_blocks(rows, [0.08] * 30, 128)
    checks = tuple(replace(c, status="invalid", sentence="it was late") for c in run.summary.checks)
    late = replace(run.summary, validity=Outcome.INVALID, checks=checks)
    found = judge(claim("C1", scope={"block": "10s"}), evidence(replace(run, summary=late)))
    assert found.standing is Standing.NOT_TESTABLE
    assert "no window of the runs is a valid measurement: it was late" in found.reason


def test_of_two_targets_none_is_guessed(rows: ModuleType) -> None:
    """The fast one of a migration must not carry a claim for the slow one."""
    c1 = claim("C1", scope={"block": "10s"})
    sides = [in_blocks(rows, [0.08] * 30, 128, index=i, target=t) for i, t in enumerate("ab")]
    assert judge(c1, evidence(sides[0])).standing is Standing.SUPPORTED
    both = judge(c1, evidence(*sides))
    assert both.standing is Standing.NOT_TESTABLE
    assert "serverless but a, b: --set C1.scope.target=a names one" in both.reason
    named = claim("C1", scope={"block": "10s", "target": "b"})
    assert judge(named, evidence(*sides)).standing is Standing.SUPPORTED


def with_share(rows: ModuleType, share: int, error: str, **columns: Any):  # type: ignore[no-untyped-def]
    """30 blocks of ten requests answered in 80 ms; of each ten, `share` end otherwise."""
    table = [
        rows.row(10.0 * b + j, [10.0 * b + j + 0.08] if j >= share else (), n_in=128,
                 error=error if j < share else "",
                 **({"end": 10.0 * b + j + 0.08} | (columns if j < share else {})))
        for b in range(30) for j in range(10)
    ]  # fmt: skip
    return evidence(measured(rows, table, 300.0))


def test_a_refusal_of_what_we_asked_works_neither_for_a_claim_nor_against_it(
    rows: ModuleType,
) -> None:
    c1 = claim("C1", scope={"block": "10s"})
    none = judge(c1, with_share(rows, 10, "http_4xx"))  # a wrong key is nobody's latency
    assert none.standing is Standing.NOT_TESTABLE
    assert "(100% of the requests say nothing: 429, 4xx)" in none.reason
    for error in ("throttled", "http_4xx"):
        open_ = judge(c1, with_share(rows, 1, error))
        assert open_.standing is Standing.INCONCLUSIVE
        assert "but 10.0% of the requests were refused" in open_.reason
    few = judge(
        claim("C1", scope={"block": "10s", "margin": "10%"}), with_share(rows, 1, "throttled")
    )
    assert few.standing is Standing.SUPPORTED
    assert judge(c1, with_share(rows, 6, "timeout_first_byte")).standing is Standing.REFUTED


def test_who_left_before_the_first_token_had_waited_so_long(rows: ModuleType) -> None:
    """Six of ten users leave: after 200 ms, then the median is above 100 ms; after 50 ms, then
    nobody knows. Left out, both would be supported by the four that stayed."""
    c1 = claim("C1", scope={"block": "10s"})
    table = [
        rows.row(10.0 * b + j, [10.0 * b + j + 0.08] if j >= 6 else (), n_in=128,
                 end=10.0 * b + j + (0.08 if j >= 6 else 0.2), error="" if j >= 6 else "cancelled")
        for b in range(30) for j in range(10)
    ]  # fmt: skip
    late = judge(c1, evidence(measured(rows, table, 300.0)))
    assert (late.standing, late.low) == (Standing.REFUTED, pytest.approx(0.2))
    early = with_share(rows, 5, "cancelled", end=None)
    assert judge(c1, early).standing is Standing.INCONCLUSIVE


def test_a_window_that_withholds_the_metric_is_no_evidence_for_it(rows: ModuleType) -> None:
    run = in_blocks(rows, [0.08] * 30, 128)
    first, *rest = run.summary.checks
    backlog = replace(
        first, status="absent", sentence="offered more than the capacity", withholds=("ttft",)
    )
    full = replace(run, summary=replace(run.summary, checks=(backlog, *rest)))
    found = judge(claim("C1", scope={"block": "10s"}), evidence(full))
    assert found.standing is Standing.NOT_TESTABLE
    assert "no window of the runs tells ttft: offered more than the capacity" in found.reason
    both = judge(claim("C1", scope={"block": "10s"}), evidence(run, replace(full, run_id="b")))
    assert (both.standing, both.n) == (Standing.SUPPORTED, 30)


def test_what_was_tested_and_on_what_is_told(rows: ModuleType) -> None:
    run = replace(in_blocks(rows, [0.08] * 30, 128), url="http://127.0.0.1:1/v1")
    found = judge(claim("C1", scope={"block": "10s"}), evidence(run))
    assert found.reason == (
        "the median TTFT is surely below 100 ms at 128 prompt tokens; 1,024, 4,096, 16,384 were not"
        " tried"
    )
    assert found.measured_on == f"{MODEL} at http://127.0.0.1:1/v1 (target t of run run-0)"
    assert found.to_json()["measured_on"] == found.measured_on
    # three blocks carry no bound at 5 %, whatever the claim asks for: it takes five
    few = judge(
        claim("C1", min_n=1, scope={"block": "10s"}), evidence(in_blocks(rows, [0.08] * 3, 128))
    )
    assert few.reason == "3 blocks were measured where 5 are asked for"
    pairs = judge(claim("C12", min_n=1), tiers(rows, 0.010, 0.030, blocks=4))
    assert pairs.standing is Standing.INCONCLUSIVE
    assert pairs.reason.startswith("4 pairs where 5 are asked for")


def test_among_several_a_refutation_says_whether_it_stands(rows: ModuleType) -> None:
    """C12 by six pairs is p = 1/64: at 5 % refuted, among four claims (1.25 %) not. C14 is refuted
    by thirty blocks whatever its company; it is put aside, and a third of 5 % is enough for C12."""
    twelve = tiers(rows, 0.010, 0.015)
    speeds = [rows.row(10.0 * b + j, [10.0 * b + j + 0.08 + 0.02 * k for k in range(11)], n_in=128)
              for b in range(30) for j in range(6)]  # fmt: skip
    run = replace(measured(rows, speeds, 300.0, target="main"), run_id="own")
    both = replace(twelve, measured=(*twelve.measured, run))
    c12 = claim("C12", placeholder=False)
    slow = claim("C14", value="200tok/s", min_n=30, placeholder=False,
                 scope={"block": "10s", "target": "main"})  # fmt: skip
    fast = claim("C1", scope={"block": "10s", "target": "main"})
    open_ = claim("C2", scope={"target": "main"})
    told = {f.claim.id: f for f in judge_claims([c12, slow, fast, open_], both)}
    assert [f.standing.value for f in told.values()] == [
        "refuted", "refuted", "supported", "inconclusive"
    ]  # fmt: skip
    row = "among the 4 claims judged by measurement here (Holm)"
    assert (row, "refuted all the same", None) in told["C14"].figures
    assert (row, "refuted all the same", None) in told["C12"].figures  # 1/64 <= .05 / 3
    family = family_of(list(told.values()))
    assert family.by_chance == pytest.approx(0.05 + 0.05 + 0.05 + 0.01)
    # without the sure one all four thirds are needed, and 1/64 is above .05 / 4
    kept = claim("C14", value="20tok/s", min_n=30, placeholder=False,
                 scope={"block": "10s", "target": "main"})  # fmt: skip
    lone = {f.claim.id: f for f in judge_claims([c12, kept, fast, open_], both)}["C12"]
    assert lone.standing is Standing.REFUTED
    assert lone.reason.endswith("among the 4 judged here together (Holm) it is not surely so")
    (alone,) = judge_claims([c12], both)
    assert "Holm" not in alone.reason
    assert family_of([alone]).sentence == ""


def test_c14_speed_of_a_user(rows: ModuleType) -> None:
    c14 = claim("C14", min_n=30, scope={"block": "10s"})
    table = []
    for b in range(30):
        gap = 0.008 if b % 10 else 0.02  # 125 tokens/s, every tenth block 50
        for j in range(6):
            at = 10.0 * b + j
            table.append(rows.row(at, [at + 0.1 + gap * k for k in range(11)]))
    found = judge(c14, evidence(measured(rows, table, 300.0)))
    assert found.standing is Standing.SUPPORTED
    assert found.value == pytest.approx(125.0)
    assert judge(claim("C14", value="200tok/s", min_n=30, scope={"block": "10s"}),
                 evidence(measured(rows, table, 300.0))).standing is Standing.REFUTED  # fmt: skip


# -- C2 ----------------------------------------------------------------------------------------


def probe(rows: ModuleType, n: int, bad: set[int], every_s: float = 1.0, **meta: Any):  # type: ignore[no-untyped-def]
    table = [
        rows.row(every_s * t + 0.1, [every_s * t + 0.2], error="http_5xx" if t in bad else "")
        for t in range(n)
    ]
    return measured(rows, table, every_s * n, **meta)


def test_c2_is_refuted_by_five_in_a_thousand_and_supported_by_ten_days(rows: ModuleType) -> None:
    five = probe(rows, 1000, {100, 300, 500, 700, 900})
    found = judge(claim("C2"), evidence(five))
    assert found.standing is Standing.REFUTED
    p = next(v for name, _, v in found.figures if name.startswith("chance"))
    assert p == pytest.approx(0.0036, abs=0.0001)  # decisions.md, section 4
    clean = judge(claim("C2"), evidence(probe(rows, 1000, set())))
    assert clean.standing is Standing.INCONCLUSIVE
    # at 99 %: ln .01 / ln .999 = 4,603 windows
    assert "3 windows of 5min cannot show it: it takes 4,603" in clean.reason
    # five in a row are one outage: few proofs (at alpha .01 it stays open)
    row = judge(claim("C2"), evidence(probe(rows, 1000, {500, 501, 502, 503, 504})))
    assert row.standing is Standing.INCONCLUSIVE
    whole = claim("C2", value="100%")
    assert judge(whole, evidence(five)).standing is Standing.REFUTED
    never = judge(whole, evidence(probe(rows, 1000, set())))
    assert never.standing is Standing.INCONCLUSIVE
    assert "nor can any number" in never.reason
    # one request a window: 4,603 clean ones support it at 99 %, 4,602 do not
    for n, standing in ((4603, Standing.SUPPORTED), (4602, Standing.INCONCLUSIVE)):
        wide = claim("C2", scope={"window": "1s"})
        assert judge(wide, evidence(probe(rows, n, set()))).standing is standing


def test_c2_one_outage_and_two_definitions(rows: ModuleType) -> None:
    """1,000 failures in a row are one outage: worth the three windows of five minutes it lasted."""
    found = judge(claim("C2"), evidence(probe(rows, 1000, set(range(1000)))))
    assert found.standing is Standing.REFUTED
    p = next(v for name, _, v in found.figures if name.startswith("chance"))
    assert p == pytest.approx(0.001**3)
    # one request in a hundred fails, in no window more than one of twenty: R breaks 99.5 %, W holds
    steady = evidence(probe(rows, 20_000, set(range(25, 20_000, 100)), 0.1))
    wide = claim("C2", min_n=1000, alpha=0.05, value="98%", scope={"window": "2s"})
    assert judge(wide, steady).standing is Standing.SUPPORTED
    strict = judge(claim("C2", min_n=1000, value="99.5%", scope={"window": "2s"}), steady)
    assert strict.standing is Standing.INCONCLUSIVE
    assert strict.reason.endswith("of 2s 1,000 were up: broken by requests, kept by windows")


# -- C3, C8: bills ------------------------------------------------------------------------------


def billed(rows: ModuleType, n: int, **columns: Any):  # type: ignore[no-untyped-def]
    """n answers of 1,000 tokens in and 200 out; 70B at $0.90: $0.00108 each."""
    table = [
        rows.row(0.01 * t, [0.01 * t + 0.1], n_in=1000, **{"n_out": 200, **columns})
        for t in range(n)
    ]
    return measured(rows, table, 0.01 * n)


def test_c3_usage_times_price_to_the_cent(rows: ModuleType) -> None:
    run = billed(rows, 1000)  # 1.2 Mtok x 0.90 = $1.08
    for usd, standing in ((1.08, Standing.SUPPORTED), (1.09, Standing.REFUTED),
                          (1.0849, Standing.SUPPORTED)):  # fmt: skip
        found = judge(claim("C3"), evidence(run, facts={"bills": [{"run": "run-0", "usd": usd}]}))
        assert found.standing is standing, found.reason
    few = evidence(billed(rows, 100), facts={"bills": [{"run": "run-0", "usd": 0.108}]})
    assert judge(claim("C3"), few).standing is Standing.INCONCLUSIVE


def test_c3_every_bill_counts(rows: ModuleType) -> None:
    """Requests of two bills add up; one wrong bill refutes, whatever its place."""
    runs = (billed(rows, 600), replace(billed(rows, 600), run_id="run-1"))  # $0.648 each

    def of(*usd: float):  # type: ignore[no-untyped-def]
        bills = [{"run": f"run-{k}", "usd": x} for k, x in enumerate(usd)]
        return judge(claim("C3"), evidence(*runs, facts={"bills": bills}))

    both = of(0.648, 0.648)
    assert (both.standing, both.n, both.value) == (Standing.SUPPORTED, 1200, 1.296)
    assert of(0.648).standing is Standing.INCONCLUSIVE
    assert of(0.648, 0.70).standing is of(0.70, 0.648).standing is Standing.REFUTED


def test_c3_a_point_of_two_stages_is_billed_once(rows: ModuleType) -> None:
    """Each stage has a frame of all the point's requests."""
    run = billed(rows, 1000, cached_tok=500)
    bill = {"run": "run-0", "usd": 0.855, "cached_tok": 500_000}
    found = judge(claim("C3"), evidence(run, run, facts={"bills": [bill]}))
    assert found.standing is Standing.SUPPORTED


def test_c3_cached_tokens_are_billed_at_their_price(rows: ModuleType) -> None:
    run = billed(rows, 1000, cached_tok=500)  # half of the input at half the price
    # 0.5 M x .90 + 0.5 M x .45 + 0.2 M x .90 = .855
    exact = {"bills": [{"run": "run-0", "usd": 0.855, "cached_tok": 500_000}]}
    assert judge(claim("C3"), evidence(run, facts=exact)).standing is Standing.SUPPORTED
    other = {"bills": [{"run": "run-0", "usd": 0.855, "cached_tok": 499_999}]}
    assert judge(claim("C3"), evidence(run, facts=other)).standing is Standing.REFUTED


def test_c3_own_counts_decide_by_sign_where_they_change_the_bill(rows: ModuleType) -> None:
    assert sign_test(0, 5) == pytest.approx(2 / 32)
    assert sign_test(9, 1) == pytest.approx(stats.binomtest(1, 10).pvalue)
    facts = {"bills": [{"run": "run-0", "usd": 1.08}]}
    # 10 of 200 tokens an answer: 5 % of the $0.18 that output costs is 0.9 cents
    apart = judge(claim("C3"), evidence(billed(rows, 1000, n_recount=190), facts=facts))
    assert apart.standing is Standing.REFUTED
    assert "counts other tokens" in apart.reason
    # the token that ends an answer has no text to be counted by: 0.09 cents in all
    ends = judge(claim("C3"), evidence(billed(rows, 1000, n_recount=199), facts=facts))
    assert ends.standing is Standing.SUPPORTED
    alone = judge(claim("C3"), evidence(billed(rows, 1000), facts=facts))
    assert alone.reason.endswith("nobody but the server counted the tokens")


def test_c3_what_nobody_has_on_record_may_have_been_billed(rows: ModuleType) -> None:
    """1,000 answers worth $1.08, and ten that a user left: a higher bill may be theirs."""
    left = [rows.row(20.0 + t, error="cancelled", n_in=None, end=21.0 + t) for t in range(10)]
    told = [rows.row(0.01 * t, [0.01 * t + 0.1], n_in=1000, n_out=200) for t in range(1000)]
    run = measured(rows, told + left, 40.0)

    def of(usd: float, **fields: Any):  # type: ignore[no-untyped-def]
        return judge(
            claim("C3"), evidence(run, facts={"bills": [{"run": "0", "usd": usd}]}, **fields)
        )

    assert of(1.08).standing is Standing.SUPPORTED
    more = of(1.09)
    assert more.standing is Standing.INCONCLUSIVE
    assert "10 requests ended without telling their usage, and may have been billed" in more.reason
    assert of(1.07).standing is Standing.REFUTED
    lost = evidence(billed(rows, 1000), facts={"bills": [{"run": "0", "usd": 1.2}]})
    assert judge(claim("C3"), lost).standing is Standing.REFUTED
    killed = replace(lost, unrecorded=frozenset({"run-0"}))
    assert "a client was lost with requests" in judge(claim("C3"), killed).reason


def test_c3_embeddings_have_no_output_to_tell(rows: ModuleType) -> None:
    table = [
        rows.row(0.01 * t, end=0.01 * t + 0.1, n_in=1000, n_out=None, api="embeddings")
        for t in range(1000)
    ]
    run = replace(measured(rows, table, 10.0), model="nomic-embed-text-v1.5")
    found = judge(claim("C3"), evidence(run, facts={"bills": [{"run": "0", "usd": 0.008}]}))
    assert (found.standing, found.n) == (Standing.SUPPORTED, 1000)


def test_c8_up_to_is_the_best_model_and_batches_are_in_time() -> None:
    best = {"model": "a", "sync_usd": 10.0, "batch_usd": 5.0, "done": ["2h"] * 59}
    worse = {"model": "b", "sync_usd": 10.0, "batch_usd": 8.0}
    found = judge(claim("C8"), evidence(facts={"batches": [best, worse]}))
    assert found.standing is Standing.SUPPORTED  # 59 of 59: at least 95 %
    assert found.value == pytest.approx(0.5)
    none = judge(claim("C8"), evidence(facts={"batches": [worse]}))
    assert none.standing is Standing.REFUTED
    late = best | {"done": ["2h"] * 30 + ["25h"] * 30}
    assert judge(claim("C8"), evidence(facts={"batches": [late]})).standing is Standing.REFUTED
    few = best | {"done": ["2h"] * 58}
    assert judge(claim("C8"), evidence(facts={"batches": [few]})).standing is Standing.INCONCLUSIVE
    # 59 of 59 is 95 % at alpha .05, 92.5 % at .01
    sterner = judge(claim("C8", alpha=0.01), evidence(facts={"batches": [best]}))
    assert sterner.low == pytest.approx(0.01 ** (1 / 59))
    assert sterner.standing is Standing.INCONCLUSIVE
    # a batch that runs for 30 h is late; one of an hour says nothing yet
    running = best | {"done": ["2h"] * 58, "running": ["30h", "1h"]}
    row = judge(claim("C8"), evidence(facts={"batches": [running]}))
    assert "done within 1d" in {name for name, _, _ in row.figures}
    assert row.n == 59
    # the quick ones must not stand for those that still run: 59 of 89 are done at the least
    young = judge(claim("C8"), evidence(facts={"batches": [best | {"running": ["1h"] * 30}]}))
    assert young.standing is Standing.INCONCLUSIVE
    assert young.low == pytest.approx(stats.beta.ppf(0.05, 59, 31))


def test_kaplan_meier_by_hand() -> None:
    # 1 done of 4 (.75), one censored at 2, 3 done of 2 (.375): the median is 3
    assert kaplan_meier_median([1.0, 3.0, 4.0], [2.0]) == 3.0
    assert kaplan_meier_median([1.0], [2.0, 2.0]) is None
    assert kaplan_meier_median([5.0, 7.0], []) == 5.0


# -- C4 to C7: the sheet -----------------------------------------------------------------------


def test_c4_break_even_and_the_referenced_price() -> None:
    found = judge(claim("C4"), evidence())
    figures = {name: v for name, _, v in found.figures}
    # audio-minutes an hour, the table of section 7
    for gpu, minutes in (("a10g", 4.0), ("a100-40", 12.5), ("a100-80", 17.5), ("h100", 25.0)):
        assert figures[f"break-even on one {gpu}"] == pytest.approx(minutes)
    assert found.value == pytest.approx(0.20 / 0.0009)  # 222 times
    assert "222 times" in found.lines[1]


def test_c4_a_measured_speed_replaces_the_reference(rows: ModuleType) -> None:
    for audio_s, standing in ((10.0, Standing.INCONSISTENT), (0.5, Standing.INCONCLUSIVE)):
        # a clip each second: 10 x real time is 600 min/h, .5 x is 30, which shows nothing: it may
        # be all that was asked. On which GPU nobody says: the dearest, an H100, pays from 25 min/h
        table = [rows.row(float(t), [t + 0.5], audio_s=audio_s) for t in range(20)]
        run = evidence(measured(rows, table, 20.0, target="audio"))
        found = judge(claim("C4"), run)
        assert found.standing is standing
        assert found.value == pytest.approx(60 * audio_s / 25)
        assert "run-0" in found.measured_on
        named = judge(claim("C4", scope={"gpu": "a10g"}), run)
        assert named.value == pytest.approx(60 * audio_s / 4)
    none = judge(claim("C4", scope={"gpu": "b200"}), run)
    assert none.standing is Standing.NOT_TESTABLE


def test_c5_required_utilisation(rows: ModuleType) -> None:
    def run(tok: int, kind: str = "closed"):  # type: ignore[no-untyped-def]
        table = [
            rows.row(
                0.1 * t, end=0.1 * t + 0.05, n_in=tok, n_out=None, api="embeddings", vector_count=4,
                tok_source="usage_final",
            )
            for t in range(600)
        ]  # fmt: skip
        users = {"concurrency": 8} if kind == "closed" else {}
        return measured(rows, table, 60.0, target="embeddings", kind=kind, **users)

    noise = np.random.default_rng(1).integers(500, 1500, 600)
    lengths = [rows.row(0.1 * t, [0.1 * t + 0.05], n_in=int(n)) for t, n in enumerate(noise)]
    uneven = measured(rows, lengths, 60.0, target="embeddings")
    # one A10G: 100 Mtok/h = 27,778 tok/s
    fast = judge(claim("C5"), evidence(run(10_000)))  # 100,000 tok/s
    assert fast.standing is Standing.REFUTED
    assert fast.value == pytest.approx(0.27778, rel=1e-2)
    slow = judge(claim("C5"), evidence(run(1000)))
    assert slow.standing is Standing.SUPPORTED
    # 10 requests/s of 1,000 tokens: 10,000 tok/s, so the GPU had to be busy 2.78 times over
    assert slow.value == pytest.approx(2.7778, rel=1e-2)
    assert 1 < slow.low <= slow.value <= slow.high
    # a rate that the target keeps up with says the least it can do: it refutes, but never supports
    assert judge(claim("C5"), evidence(run(10_000, "open"))).standing is Standing.REFUTED
    held = judge(claim("C5"), evidence(run(1000, "open")))
    assert held.standing is Standing.INCONCLUSIVE
    assert "raise the load" in held.reason
    sterner = judge(claim("C5", alpha=0.001), evidence(uneven))
    assert sterner.low < judge(claim("C5"), evidence(uneven)).low


def test_c5_needs_a_run_and_says_which(rows: ModuleType) -> None:
    found = judge(claim("C5"), evidence())
    assert found.standing is Standing.NOT_TESTABLE
    assert "harness run embeddings --url URL" in found.reason


def test_c6_prices_and_age() -> None:
    fresh = judge(claim("C6"), evidence())
    assert fresh.standing is Standing.SUPPORTED
    assert any("above what small clouds ask" in line for line in fresh.lines)
    assert any("below what large clouds ask" in line for line in fresh.lines)
    old = Evidence(SHEET, date(2027, 6, 1))
    assert judge(claim("C6"), old).standing is Standing.INCONCLUSIVE
    wrong = claim("C6", scope={"prices": {"h100": "4.00USD/gpu_h"}})
    assert judge(wrong, evidence()).standing is Standing.INCONSISTENT
    bare = GUIDE["C6"].model_copy(update={"scope": Scope()})
    assert judge(bare, evidence()).standing is Standing.NOT_TESTABLE  # nothing was claimed


def test_c7_from_the_sheet_alone() -> None:
    found = judge(claim("C7"), evidence())
    assert found.standing is Standing.INCONSISTENT
    assert found.value == pytest.approx(800_000 / 3)  # 267K: 405B on one A10G
    figures = {name: v for name, _, v in found.figures}
    for name, factor in (
        ("70B int4 on 2 A10G", 18), ("on 4 A10G", 36), ("70B int4 on 1 H100", 56),
        ("70B fp8 on 2 H100", 111), ("405B fp8 on 8 H100", 133), ("embeddings on 1 A10G", 1000),
    ):  # fmt: skip
        assert round(figures[name] / 100_000) == factor
    assert len(found.lines) == 3
    assert all(part in found.lines[0] for part in ("$0.09", "$0.30", "$0.0008", "$0.80"))
    assert all(part in found.lines[2] for part in ("$8 ", "$25 ", "$35 ", "$50 ", "5.56M", "6M"))


def test_c7_the_same_a_minute_is_not_inconsistent() -> None:
    minute = claim("C7", value="100ktok/min")
    assert minute.number == 6_000_000
    found = judge(minute, evidence())
    assert found.standing is Standing.NOT_TESTABLE
    above = Crossing("70B", 7e6, True)
    below = Crossing("embeddings", 5e6, True)
    cannot = Crossing("405B", 1e6, False)
    plans = evidence(crossings=(above, cannot))
    assert judge(minute, plans).standing is Standing.REFUTED
    assert judge(minute, evidence(crossings=(above, below))).standing is Standing.INCONCLUSIVE
    assert judge(minute, evidence(crossings=(cannot,))).standing is Standing.REFUTED
    # a plan that is sure of its upper end supports; one that may cross later does not
    sure = replace(below, high_tok_per_h=5.9e6)
    found = judge(minute, evidence(crossings=(above, sure)))
    assert found.standing is Standing.SUPPORTED
    assert found.reason == "embeddings is cheaper on demand from 6M tokens/h on at the latest"
    late = replace(below, high_tok_per_h=6.1e6)
    assert judge(minute, evidence(crossings=(above, late))).standing is Standing.INCONCLUSIVE
    # arithmetic wins over any plan
    assert judge(claim("C7"), plans).standing is Standing.INCONSISTENT


def test_c7_a_model_that_is_free_never_pays(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "free.yaml"
    path.write_text(
        "schema: harness/prices/v1\nname: free\nas_of: 2026-11-23\nsource: by hand\n"
        "serverless:\n  llama-v3p3-70b-instruct: {input: 0USD/Mtok, output: 0USD/Mtok}\n"
        "  other: {input: 3USD/Mtok}\non_demand:\n  h100: {price: 5USD/gpu_h}\n"
    )
    found = judge(claim("C7"), Evidence(load_prices(path), TODAY))
    assert found.standing is Standing.INCONSISTENT
    assert "70B" not in found.lines[1]


def test_c7_what_a_sheet_may_hold_beside_token_and_hour(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """$5 an hour, a third less if committed, over $3 a Mtok of a fine-tuned copy: 1.11 Mtok/h. With
    a fee a request short ones cost any price a token, and arithmetic alone decides nothing."""
    path = tmp_path / "own.yaml"
    path.write_text(
        "schema: harness/prices/v1\nname: own\nas_of: 2026-11-23\nsource: by hand\nserverless:\n"
        "  m: {input: 1USD/Mtok, output: 2USD/Mtok, fine_tuned: {output: 3USD/Mtok}}\n"
        "on_demand:\n  h100: {price: 5USD/gpu_h, commitment_discount: 33%}\n"
    )
    (cell,) = cells_of(load_prices(path))
    assert cell.t1 == pytest.approx(5 * 0.67 / 3 * 1e6)
    assert judge(claim("C7"), Evidence(load_prices(path), TODAY)).standing is Standing.INCONSISTENT
    path.write_text(path.read_text().replace("m: {", "m: {request: 0.001USD/request, "))
    fee = judge(claim("C7"), Evidence(load_prices(path), TODAY))
    assert fee.standing is Standing.NOT_TESTABLE


def test_c7_t1_of_one_gpu_to_the_digit() -> None:
    cells = {(c.model, c.gpu): c.t1 / 1e6 for c in cells_of(SHEET)}
    table = {
        "llama-v3p3-70b-instruct": (0.889, 2.778, 3.889, 5.556),
        "llama-v3p1-405b-instruct": (0.267, 0.833, 1.167, 1.667),
        "nomic-embed-text-v1.5": (100, 312.5, 437.5, 625),
    }
    for model, row in table.items():
        for gpu, t1 in zip(("a10g", "a100-40", "a100-80", "h100"), row, strict=True):
            assert cells[model, gpu] == pytest.approx(t1, abs=0.0005)


# -- C9 ----------------------------------------------------------------------------------------


def bursts(rows: ModuleType, cold: float, num: int = 8, jitter: float = 0.02, fail: int = -1):  # type: ignore[no-untyped-def]
    """Silences of 20 and 60 s in turns, bursts of three; warm 100 ms, the first `cold` times it."""
    rng, table, t = np.random.default_rng(3), [rows.row(-5.0, [-4.9])], -5.0
    for k in range(num):
        for idle in (20.0, 60.0):
            t += idle
            for j in range(3):
                ttft = 0.1 * math.exp(rng.normal(0, jitter)) * (cold if j == 0 else 1)
                error = "http_5xx" if k == fail and j == 0 else ""
                table.append(rows.row(t + j, [t + j + ttft], error=error))
            t += 2.0
    return measured(rows, table, t + 5.0, idle_s=(20.0, 60.0))


def test_c9_pairs_first_against_the_rest(rows: ModuleType) -> None:
    cold, warm = evidence(bursts(rows, 5.0)), evidence(bursts(rows, 1.0))
    assert judge(claim("C9"), cold).standing is Standing.REFUTED
    assert judge(claim("C9"), warm).standing is Standing.SUPPORTED
    either = claim("C9b", scope={"only": False})
    assert judge(either, cold).standing is Standing.SUPPORTED
    assert judge(either, warm).standing is Standing.REFUTED
    # what is said of on-demand is not judged on a target that nobody called so
    other = judge(claim("C9b"), warm)
    assert other.standing is Standing.NOT_TESTABLE
    assert other.reason.startswith("no run has a target called on_demand")
    found = judge(claim("C9"), cold)
    assert found.value == pytest.approx(4.0, rel=0.1)  # five times as long: +400 %
    assert found.n == 8
    few = judge(claim("C9"), evidence(bursts(rows, 5.0, num=5)))
    assert few.standing is Standing.INCONCLUSIVE
    noisy = judge(claim("C9"), evidence(bursts(rows, 1.05, jitter=0.3)))
    assert noisy.standing is Standing.INCONCLUSIVE
    lost = judge(claim("C9"), evidence(bursts(rows, 5.0, fail=2)))
    assert ("bursts left out, a request of theirs failed", "2", 2.0) in lost.figures
    assert lost.n == 7
    # what never came was no warm answer: one of eight is more than the margin of 5 %
    gone = judge(claim("C9"), evidence(bursts(rows, 1.0, fail=2)))
    assert gone.standing is Standing.INCONCLUSIVE
    assert "the first request failed" in gone.reason


def test_c9_holm_by_hand(rows: ModuleType) -> None:
    """Six bursts: the least one-sided p is 2^-6 = 1/64; Holm over two silences doubles it."""
    found = judge(claim("C9"), evidence(bursts(rows, 5.0, num=6, jitter=0.0)))
    told = next(text for name, text, _ in found.figures if name.startswith("first after 20s"))
    assert "p = 0.031 after Holm" in told
    assert found.standing is Standing.REFUTED


# -- C10, C12 ----------------------------------------------------------------------------------


def pair(rows: ModuleType, spread: dict[str, float], blocks: int = 5, n: int = 1000):  # type: ignore[no-untyped-def]
    """One point a block and target; TTFT lognormal with the target's own sigma."""
    rng, found = np.random.default_rng(4), []
    for b in range(blocks):
        for target, sigma in spread.items():
            ttft = 0.1 * np.exp(rng.normal(0, sigma, n))
            table = [rows.row(0.01 * j, [0.01 * j + v]) for j, v in enumerate(ttft)]
            meta = {"index": len(found), "target": target, "label": f"{target}-{b}"}
            found.append(measured(rows, table, 0.01 * n, **meta))
    return evidence(*found)


def test_c10_spread_of_two_targets(rows: ModuleType) -> None:
    c10 = claim("C10", min_n=5)  # 2^-5 is below 5 %
    steady = judge(c10, pair(rows, {"on_demand": 0.2, "serverless": 0.6}))
    assert steady.standing is Standing.SUPPORTED
    # p99/p50 of a lognormal is exp(2.326 sigma): the ratio is exp(-2.326 x .4) = .394
    assert steady.value == pytest.approx(math.exp(-2.326 * 0.4), rel=0.15)
    assert steady.n == 5
    assert judge(claim("C10"), evidence()).standing is Standing.NOT_TESTABLE
    other = judge(c10, pair(rows, {"on_demand": 0.6, "serverless": 0.2}))
    assert other.standing is Standing.REFUTED
    short = judge(claim("C10"), pair(rows, {"on_demand": 0.2, "serverless": 0.6}, 2, 900))
    assert short.standing is Standing.NOT_TESTABLE  # a p99 takes 1,000 requests


def test_c10_a_block_lost_to_failures_moves_no_pair_and_hides_nothing(rows: ModuleType) -> None:
    """Six blocks that drift alike; in one the target fails 2 % of requests: its p99 is never."""
    rng, found = np.random.default_rng(4), []
    for b in range(6):
        for target, sigma in (("on_demand", 0.2), ("serverless", 0.25)):
            ttft = 0.1 * np.exp(rng.normal(0, sigma * (1 + b), 1000))
            table = [
                rows.row(0.01 * j, [0.01 * j + v],
                         error="http_5xx" if (b, target) == (2, "on_demand") and j < 20 else "")
                for j, v in enumerate(ttft)
            ]  # fmt: skip
            meta = {"index": len(found), "target": target, "label": f"{target}-{b}"}
            found.append(measured(rows, table, 10.0, **meta))
    row = judge(claim("C10", min_n=5), evidence(*found))
    assert row.n == 5
    assert row.high < 1  # paired by place, all five are steadier; by order they would not be
    assert row.standing is Standing.INCONCLUSIVE
    assert ("blocks left out, failures of the claim's side", "1", 1.0) in row.figures


def test_c10_a_window_that_is_not_valid_moves_no_pair(rows: ModuleType) -> None:
    """Latency doubles from run to run on both targets; the second window of one is void. By place
    the others pair up, in order its successors would stand beside the wrong ones."""
    found = []
    for b in range(6):
        for target, scale in (("fast", 1.0), ("standard", 3.0)):
            own = 0.01 * scale * 2**b
            table = [rows.row(float(j), [j + 0.1, j + 0.1 + own]) for j in range(10)]
            meta = {"index": len(found), "target": target, "label": f"{target}-{b}", "repeat": b}
            found.append(replace(measured(rows, table, 10.0, **meta), run_id="one"))
    void = found[2].summary
    checks = tuple(replace(c, status="invalid", sentence="late") for c in void.checks)
    found[2] = replace(found[2], summary=replace(void, validity=Outcome.INVALID, checks=checks))
    row = judge(claim("C12", min_n=5), evidence(*found))
    assert row.n == 5
    assert (row.low, row.high) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def tiers(rows: ModuleType, fast: float, slow: float, blocks: int = 6, failed: int = 0) -> Evidence:
    """failed: requests of ten that the fast tier answers with an error."""
    rng, found = np.random.default_rng(5), []
    for b in range(blocks):
        for target, gap in (("fast", fast), ("standard", slow)):
            own = gap * math.exp(rng.normal(0, 0.01))
            table = [
                rows.row(float(j), [j + 0.1 + own * k for k in range(11)],
                         error="http_5xx" if target == "fast" and j < failed else "")
                for j in range(10)
            ]  # fmt: skip
            meta = {"index": len(found), "target": target, "label": f"{target}-{b}"}
            found.append(measured(rows, table, 10.0, **meta))
    return evidence(*found)


def test_c12_a_tier_n_times_as_fast(rows: ModuleType) -> None:
    assert judge(claim("C12"), tiers(rows, 0.010, 0.030)).standing is Standing.SUPPORTED
    assert judge(claim("C12"), tiers(rows, 0.010, 0.015)).standing is Standing.REFUTED
    even = judge(claim("C12"), tiers(rows, 0.010, 0.020))
    assert even.standing is Standing.INCONCLUSIVE
    assert 1 / even.value == pytest.approx(2.0, rel=0.03)
    assert judge(claim("C12"), tiers(rows, 0.01, 0.03, 5)).standing is Standing.INCONCLUSIVE
    # of ten requests six never come: whatever the other four do, that is not three times as fast
    broken = judge(claim("C12"), tiers(rows, 0.010, 0.030, failed=6))
    assert broken.standing is Standing.NOT_TESTABLE


# -- C11, C15 ----------------------------------------------------------------------------------


def test_c11_usl_is_found_again() -> None:
    n = np.array([1.0, 2.0, 4.0, 8.0])
    for s, k in ((0.0, 0.0), (0.05, 0.0), (0.02, 0.01)):
        rates = 10 * n / (1 + s * (n - 1) + k * n * (n - 1))
        assert usl(n, rates[:, None]) == (pytest.approx([s]), pytest.approx([k]))


def capacities(s: float, width: float):  # type: ignore[no-untyped-def]
    rows = []
    for n in (1, 2, 4):
        x = 10 * n / (1 + s * (n - 1))
        ends = (x * (1 - width), x * (1 + width))
        rows.append(Capacity(n, Estimate("max_goodput", "rate", "req/s", x, *ends)))
    return evidence(capacities=tuple(rows))


def test_c11_linear_within_five_percent() -> None:
    assert judge(claim("C11"), capacities(0.0, 0.01)).standing is Standing.SUPPORTED
    far = judge(claim("C11"), capacities(0.2, 0.01))  # 1 - 1/1.6: 37.5 % lost at four
    assert far.standing is Standing.REFUTED
    assert far.value == pytest.approx(0.375, abs=0.01)
    assert judge(claim("C11"), capacities(0.0, 0.15)).standing is Standing.INCONCLUSIVE
    given = [{"replicas": n, "rate": 10 * n, "low": 9.9 * n, "high": 10.1 * n} for n in (1, 2, 4)]
    found = judge(claim("C11"), evidence(facts={"scaling": given}))
    assert found.standing is Standing.SUPPORTED
    assert judge(claim("C11"), evidence()).standing is Standing.NOT_TESTABLE
    fine = judge(claim("C11", alpha=1e-9), evidence(facts={"scaling": given}))
    assert fine.standing is Standing.INCONCLUSIVE
    assert fine.reason.endswith("but 4,000 draws cannot tell an error of 1e-09")


def limited(rows: ModuleType, rate: float, limit: float, seconds: int = 120, **meta: Any):  # type: ignore[no-untyped-def]
    """Constant arrivals; what goes beyond `limit` in each second is answered with 429."""
    table, per_s = [], round(rate)
    for t in range(seconds):
        for j in range(per_s):
            at, error = t + j / per_s, "throttled" if j >= limit else ""
            table.append(rows.row(at, () if error else [at + 0.05], end=at + 0.05, error=error))
    return measured(rows, table, float(seconds), offered_req_per_s=rate, **meta)


def test_c15_just_below_the_limit(rows: ModuleType) -> None:
    kept = judge(claim("C15"), evidence(limited(rows, 9, 10)))  # 9/s of 10/s
    assert kept.standing is Standing.SUPPORTED
    assert kept.n == 1080
    broken = judge(claim("C15"), evidence(limited(rows, 9, 8)))
    assert broken.standing is Standing.REFUTED
    assert broken.value == pytest.approx(1 / 9, rel=0.01)
    few = judge(claim("C15", min_n=5000), evidence(limited(rows, 9, 10)))
    assert few.standing is Standing.INCONCLUSIVE
    assert few.n == 1080
    above = judge(claim("C15"), evidence(limited(rows, 12, 10)))
    assert above.standing is Standing.NOT_TESTABLE  # beyond the limit 429 is right


def test_c15_a_ramp_finds_the_change_point(rows: ModuleType) -> None:
    table = []
    for t in range(100):  # 1/s to 100/s, 429 from 50/s on
        for j in range(t + 1):
            error = "throttled" if t >= 50 else ""
            at = t + j / (t + 1)
            table.append(rows.row(at, () if error else [at + 0.01], end=at + 0.01, error=error))
    ramp = measured(rows, table, 100.0, offered_req_per_s=50.0)
    # the minute before 50 s: 1 + 2 + ... + 50 arrivals and that of 50 s, over 50 s
    assert change_point(ramp.frame) == pytest.approx((1275 + 1 - 1) / 50, rel=0.01)
    early = judge(claim("C15", value="6000/min"), evidence(ramp))
    assert early.standing is Standing.REFUTED


# -- C13 ---------------------------------------------------------------------------------------


def cached(  # type: ignore[no-untyped-def]
    rows: ModuleType, hit: float, share: int, miss_in: int = 1000, failed_blocks: int = 0
):
    rng, table = np.random.default_rng(6), []
    for b in range(8):
        for j in range(6):
            for name, scale in (("hit", hit), ("miss", 1.0)):
                at = 10.0 * b + 1.5 * j + (0.5 if name == "miss" else 0.0)
                ttft = 0.2 * scale * math.exp(rng.normal(0, 0.02))
                is_hit = name == "hit"
                table.append(rows.row(at, [at + ttft], class_name=name, cached_tok=share * is_hit,
                                      error="timeout_idle" if is_hit and b < failed_blocks else "",
                                      n_in=1000 if is_hit else miss_in))  # fmt: skip
    return evidence(measured(rows, table, 80.0, classes=("hit", "miss")))


def test_c13_time_and_bill_of_cached_prompts(rows: ModuleType) -> None:
    half = judge(claim("C13"), cached(rows, 0.3, 960))
    assert half.standing is Standing.SUPPORTED
    assert half.value == pytest.approx(0.3, rel=0.05)
    # 96 % of the input at half the price: .52 of the bill, within 5 % of a half
    bill = next(v for name, _, v in half.figures if name.startswith("input bill"))
    assert bill == pytest.approx(0.52)
    assert judge(claim("C13"), cached(rows, 0.8, 960)).standing is Standing.REFUTED
    dear = judge(claim("C13"), cached(rows, 0.3, 500))  # .75 of the bill
    assert dear.standing is Standing.REFUTED
    silent = judge(claim("C13"), cached(rows, 0.3, 0))
    assert silent.standing is Standing.INCONCLUSIVE
    failing = judge(claim("C13"), cached(rows, 0.3, 960, failed_blocks=1))
    assert failing.n == 7
    assert failing.standing is Standing.INCONCLUSIVE  # a block of hits that never came
    unequal = judge(claim("C13"), cached(rows, 0.3, 960, miss_in=1100))
    assert unequal.standing is Standing.INCONCLUSIVE
    assert "not comparable" in unequal.reason


def test_an_evidence_file_is_read_with_care(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "facts.yaml"
    path.write_text("schema: harness/evidence/v1\nbills:\n  - {run: a, used: 3}\n", "utf-8")
    with pytest.raises(ScenarioError, match="not valid") as error:
        load_facts(path)
    assert "line 3" in error.value.render()
