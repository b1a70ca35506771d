"""Whether two measurements may be set side by side, and in which field they may not.

The build of the engine is no field: it is what one gates. Everything else that moves a number is:
what was asked, of which model, on which hardware, by which client, with which engine flags, and
whether the lengths came out alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.scenario.gate import Comparable

FIELDS: tuple[Comparable, ...] = (
    "scenario", "model", "hardware", "client", "engine_flags", "realised_lengths",
)  # fmt: skip
LENGTHS_APART = 0.02


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What has to agree. facts: dotted name -> value, below a field of FIELDS.

    lengths: class -> mean realised (input, output) tokens; compared within 2 %.
    """

    facts: Mapping[str, str]
    lengths: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "facts": dict(self.facts),
            "lengths": {name: list(pair) for name, pair in self.lengths.items()},
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Fingerprint:
        lengths = {name: (pair[0], pair[1]) for name, pair in row.get("lengths", {}).items()}
        return cls(dict(row["facts"]), lengths)


def fingerprint(
    *,
    scenario_sha256: str,
    model: str,
    engine_flags: Mapping[str, Any],
    provenance: Mapping[str, Any],
    schema_version: int,
    lengths: Mapping[str, tuple[float | None, float | None]],
) -> Fingerprint:
    """From what a run stored of itself. Facts that were not learnt are absent, and not compared."""
    machine = provenance.get("machine", {})
    gpus = [f"{g.get('name')} driver {g.get('driver_version')}" for g in machine.get("gpus", ())]
    packages = provenance.get("packages", {})
    facts: dict[str, Any] = {
        "scenario.sha256": scenario_sha256[:16],
        "model.id": model,
        "hardware.host": machine.get("host_sha256"),
        "hardware.cpu": machine.get("cpu"),
        "hardware.num_cpus": machine.get("num_cpus_usable") or machine.get("num_cpus"),
        "hardware.gpus": ", ".join(gpus) or "none",
        "client.harness": packages.get("inference-harness"),
        "client.tokenizers": packages.get("tokenizers"),
        "client.records_schema": schema_version,
        **{f"engine_flags.{k}": v for k, v in engine_flags.items()},
    }
    told = {name: str(value) for name, value in facts.items() if value is not None}
    return Fingerprint(told, dict(lengths))


def differences(
    a: Fingerprint,
    b: Fingerprint,
    fields: Sequence[str] = FIELDS,
    except_output_of: Collection[str] = (),
) -> tuple[str, ...]:
    """One sentence a field that differs, naming both values; empty where all agree.

    except_output_of: classes whose answers' lengths are judged as the candidate's own fault.
    """
    found = []
    for name in dict.fromkeys((*a.facts, *b.facts)):
        head = name.partition(".")[0]
        if head not in fields or a.facts.get(name) == b.facts.get(name):
            continue
        if head != "engine_flags" and not (name in a.facts and name in b.facts):
            continue  # what one of them did not learn cannot be held against the other
        left, right = (f.facts.get(name, "not given") for f in (a, b))
        found.append(f"{name} is {left} in the baseline, {right} in the candidate")
    if "realised_lengths" in fields:
        found += _lengths(a, b, except_output_of)
    return tuple(found)


def shortfalls(
    baseline: Fingerprint, candidate: Fingerprint, asked: Mapping[str, float | None]
) -> dict[str, str]:
    """Class -> a sentence, where answers came out as long as asked in the baseline and more than
    2 % shorter in the candidate.

    asked: class -> mean output tokens that the schedule asked of either arm, None where lengths
    were left to the model. The baseline's answers prove that the ask can be kept; a candidate that
    ends early is broken, not incomparable. Longer answers, and a baseline that went its own way
    too, stay a difference of realised lengths.
    """
    found = {}
    for name, wanted in asked.items():
        x, y = (p.lengths.get(name, (None, None))[1] for p in (baseline, candidate))
        if not wanted or not x or y is None:
            continue
        if abs(x / wanted - 1) <= LENGTHS_APART and y / wanted < 1 - LENGTHS_APART:
            found[name] = (
                f"class {name} asks for {wanted:,.1f} output tokens a request: the baseline gives"
                f" {x:,.1f}, the candidate {y:,.1f}"
            )
    return found


def _lengths(a: Fingerprint, b: Fingerprint, except_output_of: Collection[str]) -> list[str]:
    found = []
    for name in a.lengths.keys() & b.lengths.keys():
        for what, x, y in zip(("input", "output"), a.lengths[name], b.lengths[name], strict=True):
            if what == "output" and name in except_output_of:
                continue
            if x and y and abs(y / x - 1) > LENGTHS_APART:
                found.append(
                    f"realised_lengths.{name}.{what} is {x:,.1f} tokens in the baseline,"
                    f" {y:,.1f} in the candidate (more than 2% apart)"
                )
    return sorted(found)
