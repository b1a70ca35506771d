"""What a replica's step times allow at most: the fluid bound beside the rate that it sustains.

Full batches, no queue, no tail, no SLO: a sustained rate near it cannot be raised by scheduling,
one far below it is lost to waiting or to the limits. Reads the `replicas` part of plan.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.decisions.fluid import fluid_bound_req_per_s, full_batch
from harness.decisions.wording import between
from harness.estimate import Estimate
from harness.units import significant
from reports._text import percent

BOUND_NOTE = (
    " Fluid bound: one replica, batches always full of requests of mean lengths, no queue, no tail,"
    " no limit; its ends have every parameter at an end of its own."
)


class FluidBound(NamedTuple):
    """req_per_s of requests of mean lengths; low, high: with every parameter of the step law at the
    other end of its interval.  batch: sequences that decode together."""

    req_per_s: float
    low: float
    high: float
    batch: float


def fluid_bound(part: Mapping[str, Any]) -> FluidBound | None:
    """None where a prefix cache spares prompts, whose share the plan does not hold."""
    deployment, mix = part.get("deployment", {}), part["mix"]
    if not deployment or deployment["prefix_cache"] or not mix["mean_out_tok"]:
        return None
    n_in, n_out = float(mix["mean_in_tok"]), float(mix["mean_out_tok"])
    batch = full_batch(deployment["max_batch"], deployment["kv_tokens"], n_in, n_out)
    each_tok = 1 + deployment["gamma"]  # tokens a sequence puts into a step, drafts with it
    num_steps = n_out / deployment["tau"]

    def at(end: str) -> float:
        known = part["calibration"]["parameters"]
        a0, b, a1, d, c, e = (float(_end(known, name, end)) for name in ("a0", "b", "a1", "d", "c",
                              "e"))  # fmt: skip

        def linear(tok: float, steps: float) -> float:
            return max(a0 * steps, b * steps + a1 * tok)

        def step_s(batch: float) -> float:
            context_tok = batch * (n_in + n_out / 2)
            return linear(batch * each_tok, 1) + d * batch + c * context_tok

        # prompts ride in the steps that decode: they cost what they add to those
        own = num_steps / batch
        decoded = num_steps * each_tok
        prefill_s = linear(decoded + n_in, own) - linear(decoded, own) + e * n_in**2 / 2
        return fluid_bound_req_per_s(prefill_s, num_steps, batch, step_s)

    return FluidBound(at("value"), at("high"), at("low"), batch)


def _end(known: Mapping[str, Any], name: str, end: str) -> float:
    row = known.get(name, {})
    value = row.get(end)
    return float(value if value is not None else row.get("value") or 0.0)


def bound_words(part: Mapping[str, Any]) -> str:
    """`13.4 req/s (12.0 to 14.9); sustained are 62% of it (57 to 66%)`; empty where unknown."""
    found = fluid_bound(part)
    if found is None:
        return ""
    text = (
        f"{significant(found.req_per_s)} req/s ({significant(found.low)} to"
        f" {significant(found.high)})"
    )
    e = Estimate.from_json(part["capacity"]["sustained"])
    if e.value is None or not e.is_reached:
        return text
    share = f"{percent(round(e.value / found.req_per_s, 3))}"
    ends = ""
    if e.low is not None and e.high is not None:
        low, high = (percent(round(end / found.req_per_s, 3)) for end in (e.low, e.high))
        ends = f" ({between(low, high)})"
    return f"{text}; sustained are {share} of it{ends}"
