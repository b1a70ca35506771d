"""Limits on tokens, where a class or a whole scenario streams none: nothing could ever meet them.

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
_SAID = "needs tokens, and {} any; limit e2e_latency"
_NO_CLASS = "no class of this scenario streams"


def streamed_faults(data: dict[str, Any]) -> Iterator[Wrong]:
    """In a class's own limits; in those of the scenario and its gate where no class streams."""
    given = data.get("traffic")
    classes = [c if isinstance(c, dict) else {} for c in given] if isinstance(given, list) else []
    is_whole = [_kind(c) in _WHOLE for c in classes]
    for index, one in enumerate(classes):
        if is_whole[index]:
            own: Where = ("traffic", index, "slo")
            yield from _limits(one.get("slo"), own, f"no answer of kind {_kind(one)} has")
    if not classes or not all(is_whole):
        return
    yield from _limits(data.get("slo"), ("slo",), _NO_CLASS)
    gate = data.get("gate")
    rules = gate.get("rules") if isinstance(gate, dict) else None
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict) and rule.get("metric") in OF_TOKENS:
            yield Wrong(("gate", "rules", index, "metric"), _SAID.format(_NO_CLASS))


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
