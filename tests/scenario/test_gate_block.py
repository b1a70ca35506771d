"""The gate block: every wrong rule is named with its place; blocks replay one schedule."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ScenarioError
from harness.scenario import (
    comparability_hash,
    expand,
    load_resolved,
    load_scenario,
    read_materials,
)
from harness.scenario.gate import AbsoluteRule, as_slo, limit_of
from harness.traffic import build_schedule

TEXT = """\
schema: harness/v1
name: small
targets:
  old: {kind: openai, url: "http://localhost:8000/v1"}
  new: {kind: openai, url: "http://localhost:8001/v1"}
traffic:
  - name: chat
    workload:
      kind: chat
      input_tokens: {kind: lognormal, median: 100, p95: 300, max: 900}
      output_tokens: {kind: fixed, value: 20}
load: {kind: open, arrival: {kind: poisson}, rate: 8/s, duration: 30s}
slo: {ttft: {p95: 1s}}
gate:
  candidate: new
  baseline: {kind: target, target: old}
  rules:
    - {id: ttft, kind: relative, metric: ttft, stat: p50, max_increase: 5%}
"""

WRONG = [  # text replaced, by what, path, line, message
    ("candidate: new", "candidate: nw", "gate.candidate", 15, "no target 'nw'; there are old, new"),
    ("target: old}", "target: new}", "gate.baseline.target", 16, "is the candidate itself"),
    ("kind: target, target: old", "kind: targt, target: old", "gate.baseline.kind", 16,
     "did you mean 'target'?"),
    ("candidate: new", "candidate: new\n  blocks: 8\n  max_blocks: 4", "gate.max_blocks", 17,
     "is below blocks"),
    ("candidate: new", "candidate: new\n  blocks: 0", "gate.blocks", 16, "must be 1 or more"),
    ("stat: p50, ", "", "gate.rules.ttft.stat", 18, "missing; a latency needs one of p50"),
    ("metric: ttft, stat: p50", "metric: output_tok_per_s", "gate.rules.ttft.max_increase", 18,
     "is better when higher; write max_decrease"),
    ("metric: ttft, stat: p50", "metric: error_rate", "gate.rules.ttft.metric", 18,
     "use kind: absolute"),
    ("max_increase: 5%", "max_increase: 0%", "gate.rules.ttft.max_increase", 18, "above 0%"),
    ("max_increase: 5%", "max_increase: 5", "gate.rules.ttft.max_increase", 18, "5 has no unit"),
    ("metric: ttft, ", "metric: tft, ", "gate.rules.ttft.metric", 18, "did you mean 'ttft'?"),
    ("max_increase: 5%", "max_increase: 5%, stage: light", "gate.rules.ttft.stage", 18,
     "no stage 'light'; there are main"),
    ("kind: relative, metric: ttft, stat: p50, max_increase: 5%",
     "kind: absolute, metric: ttft, stat: p50, max: 150", "gate.rules.ttft.max", 18,
     "150 has no unit"),
    ("kind: relative, metric: ttft, stat: p50, max_increase: 5%",
     "kind: absolute, metric: request_per_s, max: 8/s", "gate.rules.ttft.max", 18, "write min"),
    ("metric: ttft, stat: p50", "metric: rtf, stat: p50", "gate.rules.ttft.metric", 18,
     "needs a class of kind audio; this scenario has chat"),
    ("metric: ttft, stat: p50, max_increase", "metric: vector_per_s, max_decrease",
     "gate.rules.ttft.metric", 18, "needs a class of kind embeddings; this scenario has chat"),
    ("slo: {ttft: {p95: 1s}}", "slo: {rtf: {p95: 1}}", "slo.rtf", 13,
     "needs a class of kind audio"),
    ("slo: {ttft: {p95: 1s}}\n", "", "gate.rules.s.kind", 18, "sets no slo"),
    ("slo:", "sweep: {kind: repeat, repeat: 2}\nslo:", "sweep", 13, "a gate makes its own points"),
]  # fmt: skip


def load(tmp_path: Path, old: str = "", new: str = ""):  # type: ignore[no-untyped-def]
    path = tmp_path / "small.yaml"
    text = TEXT.replace(old, new, 1) if old else TEXT
    if "gate.rules.s" in new or old.startswith("slo: {"):
        text += "    - {id: s, kind: slo}\n"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path, env={})


@pytest.mark.parametrize(("old", "new", "path", "line", "message"), WRONG)
def test_one_fault(tmp_path: Path, old: str, new: str, path: str, line: int, message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load(tmp_path, old, new)
    (fault,) = error.value.faults
    assert (fault.path, fault.line) == (path, line)
    assert message in fault.message


def test_rules_have_ids_of_their_own_and_are_few(tmp_path: Path) -> None:
    rule = "    - {id: ttft, kind: relative, metric: ttft, stat: p50, max_increase: 5%}\n"
    with pytest.raises(ScenarioError) as error:
        load(tmp_path, rule, rule * 7)
    told = " ".join(f.message for f in error.value.faults)
    assert "'ttft' is taken" in told
    assert "holds 7 relative rules; 6 is the most" in told


def test_blocks_alternate_and_replay_one_schedule(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    points = expand(loaded.document)
    assert [p.target_name for p in points[:6]] == ["old", "new", "new", "old", "old", "new"]
    assert len(points) == 2 * (8 + 2)  # two blocks to replace what does not count
    materials = read_materials(loaded.document, loaded.search_paths)
    digests = [build_schedule(p, materials).sha256() for p in points[:6]]
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert len(set(digests)) == 3
    assert len({p.label for p in points}) == len(points)


def test_a_stored_baseline_measures_the_candidate_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path, "{kind: target, target: old}", "{kind: stored, name: main}")
    assert {p.target_name for p in expand(loaded.document)} == {"new"}


def test_it_resolves_to_itself_and_leaves_the_hash_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    path = tmp_path / "scenario.resolved.yaml"
    path.write_text(loaded.resolved_yaml(), encoding="utf-8")
    assert load_resolved(path).document == loaded.document
    without = load(tmp_path, TEXT[TEXT.index("gate:") :], "")
    assert comparability_hash(loaded.document) == comparability_hash(without.document)


def test_url_aims_the_candidate(tmp_path: Path) -> None:
    load(tmp_path)
    loaded = load_scenario(tmp_path / "small.yaml", url="http://h:1/v1", env={})
    assert loaded.document.targets["new"].url == "http://h:1/v1"  # type: ignore[union-attr]
    assert loaded.document.targets["old"].url == "http://localhost:8000/v1"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("metric", "stat", "given", "limit"),
    [
        ("ttft", "p95", {"max": "150ms"}, 0.15), ("error_rate", None, {"max": "1%"}, 0.01),
        ("request_per_s", None, {"min": "480/min"}, 8.0),
        ("output_tok_per_s", None, {"min": 400}, 400.0),
        ("slo_attainment", None, {"min": "99%"}, 0.99),
        ("rtf", "p95", {"max": 0.5}, 0.5), ("vector_per_s", None, {"min": 50}, 50.0),
        ("audio_min_per_s", None, {"min": 0.25}, 0.25), ("input_tok_per_s", None, {"min": 9}, 9.0),
    ],
)  # fmt: skip
def test_absolute_limits_become_slo_limits(metric, stat, given, limit) -> None:  # type: ignore[no-untyped-def]
    rule = AbsoluteRule(kind="absolute", id="r", metric=metric, stat=stat, **given)
    assert limit_of(rule) == pytest.approx(limit)
    dumped = str(as_slo(rule).model_dump(exclude_none=True))
    assert dumped.count("{") == (1 if metric == "slo_attainment" else 2)


def test_what_a_gate_cannot_show_is_said_before(tmp_path: Path) -> None:
    assert load(tmp_path).notices == ()
    said = load(tmp_path, "stat: p50", "stat: p99").notices
    assert [n.code for n in said] == ["gate_quantile"]
    assert said[0].args == {"rule": "ttft", "requests": 240, "quantile": "p99", "needed": 1000}
    (few,) = load(tmp_path, "candidate: new", "candidate: new\n  blocks: 5").notices
    assert "5 blocks cannot fail any of 1 relative rules" in few.sentence


AUDIO = """\
  - name: speech
    workload: {kind: audio, clip: {duration: {kind: fixed, value: 5s}}}
"""


@pytest.mark.parametrize(
    ("rule", "field", "message"),
    [
        ("kind: relative, metric: rtf, max_increase: 5%", "stat", "missing; a latency needs one"),
        ("kind: relative, metric: rtf, stat: p50, max_decrease: 5%", "max_decrease",
         "rtf is better when lower; write max_increase"),
        ("kind: relative, metric: audio_min_per_s, max_increase: 5%", "max_increase",
         "audio_min_per_s is better when higher; write max_decrease"),
        ("kind: absolute, metric: rtf, stat: p50, max: 500ms", "max",
         "is a bare number of seconds of waiting a second of audio, such as 0.5"),
        ("kind: absolute, metric: rtf, stat: p50, max: 0", "max", "must be above 0"),
        ("kind: absolute, metric: audio_min_per_s, min: 8/s", "min",
         "is a bare number of minutes of audio a second"),
    ],
)  # fmt: skip
def test_rules_on_recordings_say_how_they_are_written(
    tmp_path: Path, rule: str, field: str, message: str
) -> None:
    chat = TEXT[TEXT.index("  - name: chat") : TEXT.index("load: {kind: open")]
    text = TEXT.replace(chat, AUDIO).replace("slo: {ttft: {p95: 1s}}\n", "")
    text = text.replace("kind: relative, metric: ttft, stat: p50, max_increase: 5%", rule)
    (tmp_path / "small.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        load_scenario(tmp_path / "small.yaml", env={})
    (fault,) = error.value.faults
    assert fault.path == f"gate.rules.ttft.{field}"
    assert message in fault.message
