"""The workload `embeddings` in a document: what it takes, what it refuses, what it asks for."""

from __future__ import annotations

from typing import Any

import pytest

from harness.scenario._check import check
from harness.scenario.advice import advise
from harness.scenario.document import Fixed
from harness.scenario.materials import Materials
from harness.scenario.mean_use import mean_tokens

CHAT = {
    "name": "talk",
    "workload": {"kind": "chat", "input_tokens": {"kind": "fixed", "value": 10}},
}


def document(work: dict[str, Any] | None = None, *more: dict[str, Any], **blocks: Any) -> Any:
    own = blocks.pop("own", {})
    given = {"kind": "embeddings", "input_tokens": {"kind": "fixed", "value": 100}} | (work or {})
    return {
        "schema": "harness/v1", "name": "t",
        "targets": {"main": {"kind": "openai", "url": "http://127.0.0.1:1/v1"}},
        "traffic": [{"name": "embed", "workload": given, **own}, *more],
        "load": {"kind": "closed", "concurrency": 1, "duration": "9s"}, **blocks,
    }  # fmt: skip


def faults(data: Any) -> dict[str, str]:
    return {fault.path: fault.message for fault in check(data).shown(data)}


def test_one_text_a_request_unless_a_batch_is_asked() -> None:
    found = check(document()).document
    assert found is not None
    (embed,) = found.traffic
    assert embed.endpoint == "embeddings"
    assert embed.workload.batch == Fixed(kind="fixed", value=1)  # type: ignore[union-attr]
    assert mean_tokens(found.traffic, Materials()) == (100.0, 0.0)
    batch = check(document({"batch": {"kind": "uniform", "min": 1, "max": 16}})).document
    assert batch is not None
    assert mean_tokens(batch.traffic, Materials()) == (850.0, 0.0)


@pytest.mark.parametrize(
    ("work", "own", "place", "said"),
    [
        ({"batch": {"kind": "fixed", "value": 0}}, {}, "workload.batch", "at least one text"),
        ({"input_tokens": {"kind": "fixed", "value": 0}}, {}, "workload.input_tokens",
         "at least one token"),
        ({"dimensions": 0}, {}, "workload.dimensions", "1"),
        ({"output_tokens": {"kind": "fixed", "value": 5}}, {}, "workload.output_tokens",
         "unknown key for kind embeddings"),
        ({}, {"api": "completions"}, "api", "which a workload of kind embeddings has none of"),
        ({}, {"sampling": {"temperature": 0}}, "sampling", "leave it out"),
        ({}, {"prefix": {"groups": 2, "tokens": 9}}, "prefix", "leave it out"),
        ({}, {"cancel": {"share": "5%", "after_tokens": {"kind": "fixed", "value": 3}}},
         "cancel.after_tokens", "say cancel.after, a time"),
        ({}, {"slo": {"ttft": {"p50": "1s"}}}, "slo.ttft", "no answer of kind embeddings has any"),
        ({}, {"slo": {"good_request": {"tpot": "1s"}}}, "slo.good_request.tpot",
         "limit e2e_latency"),
    ],
)  # fmt: skip
def test_what_only_text_has_is_refused(
    work: dict[str, Any], own: dict[str, Any], place: str, said: str
) -> None:
    found = faults(document(work, own=own))
    assert list(found) == [f"traffic.embed.{place}"]
    assert said in found[f"traffic.embed.{place}"]


def test_limits_on_tokens_need_a_class_with_tokens() -> None:
    slo = {"ttft": {"p50": "1s"}, "e2e_latency": {"p50": "1s"}, "good_request": {"tpot": "1s"}}
    found = faults(document(slo=slo))
    assert found == {
        "slo.ttft": "needs tokens, and no class of this scenario streams any; limit e2e_latency",
        "slo.good_request.tpot":
            "needs tokens, and no class of this scenario streams any; limit e2e_latency",
    }  # fmt: skip
    mixed = check(document(None, CHAT, slo=slo)).document
    assert mixed is not None
    skipped = [n.sentence for n in advise(mixed, {}) if n.code == "skipped_limit"]
    assert skipped == [
        "the limit on ttft was skipped for class embed: it cannot have it",
        "the limit on tpot was skipped for class embed: it cannot have it",
    ]
