"""Limits that nothing could ever meet: on tokens where no answer streams any, on vectors without
texts to embed, on real time without a recording.

On plain values, since any block may be broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from harness.scenario import document as doc
from harness.scenario._faults import Wrong
from harness.scenario._tree import Where

OF_TOKENS = (
    "ttft", "ttfv", "tpot", "itl", "icl", "max_stall", "time_to_first_argument",
    "time_to_tool_call", "output_tok_per_s", "valid_tok_per_s",
)  # fmt: skip
_WHOLE = {
    get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(doc.WholeWorkload)
}  # fmt: skip
# what only the answers of one kind of workload have
OF_KIND = {"vector_per_s": "embeddings", "rtf": "audio", "audio_min_per_s": "audio"}
_SAID = "needs tokens, and {} any; limit e2e_latency"
_NO_CLASS = "no class of this scenario streams"


def streamed_faults(data: dict[str, Any]) -> Iterator[Wrong]:
    """In a class's own limits; in those of the scenario and its gate where no class has such."""
    given = data.get("traffic")
    classes = [c if isinstance(c, dict) else {} for c in given] if isinstance(given, list) else []
    is_whole = [_kind(c) in _WHOLE for c in classes]
    for index, one in enumerate(classes):
        if is_whole[index]:
            own: Where = ("traffic", index, "slo")
            yield from _limits(one.get("slo"), own, f"no answer of kind {_kind(one)} has")
    yield from _of_other_kinds(data, classes)
    if not classes or not all(is_whole):
        return
    yield from _limits(data.get("slo"), ("slo",), _NO_CLASS)
    for index, metric in _ruled(data):
        if metric in OF_TOKENS:
            yield Wrong(("gate", "rules", index, "metric"), _SAID.format(_NO_CLASS))


def _of_other_kinds(data: dict[str, Any], classes: list[dict[str, Any]]) -> Iterator[Wrong]:
    """Limits on what no class's answers have; silent where a kind cannot be told."""
    kinds = [_kind(c) for c in classes]
    for index, one in enumerate(classes):
        for metric in _limited(one.get("slo")):
            if kinds[index] and OF_KIND[metric] != kinds[index]:
                said = f"needs an answer of kind {OF_KIND[metric]}, this class is {kinds[index]}"
                yield Wrong(("traffic", index, "slo", metric), said)
    if not all(kinds) or not kinds:
        return
    said = "needs a class of kind {}; this scenario has {}"
    told = ", ".join(dict.fromkeys(kinds))
    for metric in _limited(data.get("slo")):
        if OF_KIND[metric] not in kinds:
            yield Wrong(("slo", metric), said.format(OF_KIND[metric], told))
    for index, metric in _ruled(data):
        if metric in OF_KIND and OF_KIND[metric] not in kinds:
            yield Wrong(("gate", "rules", index, "metric"), said.format(OF_KIND[metric], told))


def _limited(slo: Any) -> list[str]:
    return [m for m in OF_KIND if isinstance(slo, dict) and slo.get(m) is not None]


def _ruled(data: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Index and metric of the gate's rules."""
    gate = data.get("gate")
    rules = gate.get("rules") if isinstance(gate, dict) else None
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict) and isinstance(rule.get("metric"), str):
            yield index, rule["metric"]


def _kind(one: dict[str, Any]) -> str:
    workload = one.get("workload")
    kind = workload.get("kind") if isinstance(workload, dict) else None
    return kind if isinstance(kind, str) else ""


def _limits(slo: Any, where: Where, whose: str) -> Iterator[Wrong]:
    if not isinstance(slo, dict):
        return
    said = _SAID.format(whose)
    good = slo.get("good_request")
    for metric in OF_TOKENS:
        if slo.get(metric) is not None:
            yield Wrong((*where, metric), said)
        if isinstance(good, dict) and good.get(metric) is not None:
            yield Wrong((*where, "good_request", metric), said)
