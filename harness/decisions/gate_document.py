"""gate.json: the verdict for programs, and its JSON Schema `harness/gate/v1`.

Ratios are of the metric itself: 1.05 is 5 % more, whichever way is better. Absent figures are null;
a value that was not reached is the text "inf", since JSON knows no infinity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.decisions.comparable import Fingerprint
from harness.decisions.comparison import Comparison
from harness.decisions.gate import BlockNumbers, RuleResult
from harness.estimate import Outcome
from harness.scenario.gate import HIGHER_IS_BETTER

SCHEMA = "harness/gate/v1"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def gate_document(
    comparison: Comparison,
    *,
    scenario: str,
    scenario_sha256: str,
    seed: int,
    exit_code: int,
    arms: Mapping[str, tuple[str, Fingerprint]],
) -> dict[str, Any]:
    """Plain JSON values. arms: `baseline` and `candidate` -> (build, fingerprint)."""
    result = comparison.result
    assert result is not None
    return {
        "schema": SCHEMA,
        "scenario": {"name": scenario, "sha256": scenario_sha256},
        "verdict": result.outcome.value,
        "reason": result.reason,
        "exit_code": exit_code,
        "design": {
            "unit": "block" if result.is_paired else "session",
            "pairing": "identical schedule" if result.is_paired else "none",
            "order": "AB BA" if result.is_paired else "candidate alone",
            "looks": [{"blocks": look.k, "alpha": look.alpha} for look in result.looks],
            "decided_at": result.look.k,
            "alpha": sum(look.alpha for look in result.looks),
            "seed": seed,
            "blocks_valid": result.num_valid,
            "blocks_discarded": [{"block": i, "reason": why} for i, why in result.discarded],
        },
        "comparable": {
            "checked": list(comparison.checked),
            "differences": list(comparison.differences),
        },
        "arms": {
            name: {"target": target, "build": build, "fingerprint": prints.to_json()}
            for name, target, (build, prints) in (
                (n, getattr(comparison, n), arms[n]) for n in ("baseline", "candidate") if n in arms
            )
        },
        "rules": [_rule(rule) for rule in result.rules],
    }


def _rule(rule: RuleResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": rule.id, "kind": rule.kind, "metric": rule.metric, "stat": rule.stat,
        "stage": rule.stage, "verdict": rule.outcome.value, "reason": rule.reason,
        "baseline": _number(rule.baseline), "candidate": _number(rule.candidate),
    }  # fmt: skip
    if rule.verdict is not None:
        return row | {"limit": rule.verdict.limit, "bound": _number(rule.verdict.bound)}
    j = rule.judged
    if j is None:
        return row
    limit = j.rule.limit_ratio
    return row | {
        "limit_ratio": 1 - limit if rule.metric in HIGHER_IS_BETTER else 1 + limit,
        "effect_ratio": _ratio(j.effect), "ci_ratio": [_ratio(end) for end in j.ci],
        "p": j.p, "p_holm": j.p_holm, "p_noninferior": j.p_noninferior,
        "is_improved": j.is_improved,
        "mde_before_ratio": _ratio(rule.mde_before), "mde_after_ratio": _ratio(j.mde_after),
        "noise_floor_ratio": _ratio(rule.floor),
        "blocks": [_block(block) for block in rule.blocks],
    }  # fmt: skip


def _block(block: BlockNumbers) -> dict[str, Any]:
    return {
        "index": block.index, "order": block.order, "baseline": _number(block.baseline),
        "candidate": _number(block.candidate), "num_requests": block.num_requests,
        "schedule_sha256": block.schedule_sha256,
    }  # fmt: skip


def _ratio(change: float | None) -> float | None:
    return None if change is None else 1 + change


def _number(value: float | None) -> float | str | None:
    return "inf" if value is not None and math.isinf(value) else value


def _object(required: str, **properties: Any) -> dict[str, Any]:
    names = required.split() if required else []
    return {"type": "object", "required": names, "properties": properties}


def gate_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of gate.json; keys may be added in v1, never changed or removed."""
    text, whole = {"type": "string"}, {"type": "integer"}
    number = {"type": ["number", "null"]}
    value = {"anyOf": [{"type": "number"}, {"type": "null"}, {"const": "inf"}]}
    verdict = {"enum": [outcome.value for outcome in Outcome]}
    block = _object(
        "index order baseline candidate num_requests schedule_sha256", index=whole,
        order={"enum": ["AB", "BA"]}, baseline=value, candidate=value, num_requests=whole,
        schedule_sha256=text,
    )  # fmt: skip
    rule = _object(
        "id kind metric stat stage verdict reason baseline candidate", id=text,
        kind={"enum": ["relative", "absolute", "slo", "lengths"]}, metric=text, stat=text,
        stage=text, verdict=verdict, reason=text, baseline=value, candidate=value, limit=number,
        bound=value, limit_ratio={"type": "number"}, effect_ratio=number,
        ci_ratio={"type": "array", "items": number, "minItems": 2, "maxItems": 2},
        p=number, p_holm=number, p_noninferior=number, is_improved={"type": "boolean"},
        mde_before_ratio=number, mde_after_ratio=number, noise_floor_ratio=number,
        blocks={"type": "array", "items": block},
    )  # fmt: skip
    arm = _object(
        "target build fingerprint", target=text, build=text,
        fingerprint=_object("facts lengths", facts={"type": "object"}, lengths={"type": "object"}),
    )  # fmt: skip
    look = _object("blocks alpha", blocks=whole, alpha={"type": "number"})
    lost = _object("block reason", block=whole, reason=text)
    design = _object(
        "unit pairing order looks decided_at alpha seed blocks_valid blocks_discarded", unit=text,
        pairing=text, order=text, looks={"type": "array", "items": look}, decided_at=whole,
        alpha={"type": "number"}, seed=whole, blocks_valid=whole,
        blocks_discarded={"type": "array", "items": lost},
    )  # fmt: skip
    texts = {"type": "array", "items": text}
    return {
        "$schema": _DRAFT,
        "title": SCHEMA,
        **_object(
            "schema scenario verdict reason exit_code design comparable arms rules",
            schema={"const": SCHEMA}, scenario=_object("name sha256", name=text, sha256=text),
            verdict=verdict, reason=text, exit_code=whole, design=design,
            comparable=_object("checked differences", checked=texts, differences=texts),
            arms=_object("candidate", baseline=arm, candidate=arm),
            rules={"type": "array", "items": rule},
        ),
    }  # fmt: skip
