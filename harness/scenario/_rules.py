"""Rules between fields of one block, said at the field to change.

They run on every block that is valid in itself, so that they are reported together with the
faults of other blocks. Those of addresses and secrets are in _address_rules.py, of classes whose
answers come whole in _whole_rules.py; rules between blocks in _check.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from harness.scenario import cost as money
from harness.scenario import document as doc
from harness.scenario import gate as gates
from harness.scenario._address_rules import (
    key_name_complaints,
    metrics_complaints,
    target_complaints,
    variable_complaints,
)
from harness.scenario._whole_rules import audio_complaints, embeddings_complaints, whole_complaints
from harness.scenario.cost import LEAST_OVER_S
from harness.scenario.search import LEAST_RESOLUTION
from harness.scenario.slo import UptimeLimit

Complaint = tuple[str, str]  # field, message; "" is the block itself


def complaints(block: BaseModel) -> Iterator[Complaint]:
    """What is wrong between the fields of one valid block."""
    for kind, rule in _RULES:
        if isinstance(block, kind):
            yield from rule(block)


def _uniform(block: Any) -> Iterator[Complaint]:
    if block.min > block.max:
        yield "min", "is above max; swap them"


def _lognormal(block: Any) -> Iterator[Complaint]:
    if block.p95 < block.median:
        yield "p95", "is below median; 19 of 20 draws lie below p95, half below median"
    if block.max < block.p95:
        yield "max", "is below p95; raise max, or use a narrower distribution"


def _window(block: doc.OpenStage | doc.ClosedStage | doc.ProbeStage) -> Iterator[Complaint]:
    is_trace = isinstance(block, doc.OpenStage) and isinstance(block.arrival, doc.TraceArrival)
    if block.duration is not None and block.requests is not None:
        yield "requests", "give either duration or requests, not both (--set PATH=null drops one)"
    elif block.duration is None and block.requests is None and not is_trace:
        yield "duration", "missing; say how long (duration: 60s) or how many (requests: 300)"
    if block.duration == 0:
        yield "duration", "must be above 0s"
    else:
        yield from _size(block)


def _size(block: doc.Stage) -> Iterator[Complaint]:
    """More requests than a schedule can hold are a slip: 8000000/s for 8/s, or a missing unit."""
    if isinstance(block, doc.IdleBurstStage):
        field, count = "cycles", float(block.cycles * len(block.idle) * block.requests)
    elif isinstance(block, doc.ProbeStage):
        field, count = "every", (block.duration or 0) / max(block.every, 1e-9)
    elif isinstance(block, doc.OpenStage) and block.rate is not None:
        rate = block.rate
        most_rate = max(rate.from_, rate.to) if isinstance(rate, doc.Ramp) else rate
        # the load goes on through warm-up and cool-down, which a stage of several does not know
        phases = (block.duration, *(getattr(block, p, None) for p in ("warmup", "cooldown")))
        field, count = "rate", most_rate * sum(p or 0 for p in phases)
    else:
        return
    if count > doc.MOST_REQUESTS:
        most = f"{doc.MOST_REQUESTS:,}"
        yield field, f"asks for {count:,.0f} requests; a stage has at most {most}"


def _open(block: doc.OpenStage) -> Iterator[Complaint]:
    is_trace = isinstance(block.arrival, doc.TraceArrival)
    if is_trace and block.rate is not None:
        yield "rate", "a trace brings its own times; remove rate, slow a trace with arrival.thin"
    if not is_trace and block.rate is None:
        yield "rate", "missing; an open load needs one, such as 8/s"
    if isinstance(block.rate, doc.Ramp) and block.duration is None and not is_trace:
        yield "duration", "missing; a ramp needs to know how long it takes"


def _probe(block: doc.ProbeStage) -> Iterator[Complaint]:
    if block.every == 0:
        yield "every", "must be above 0s"
    elif block.duration is not None and block.every > block.duration > 0:
        yield "every", "is longer than duration; nothing would be measured"


def _idle_burst(block: doc.IdleBurstStage) -> Iterator[Complaint]:
    yield from _size(block)
    if block.gap == 0:
        yield "gap", "must be above 0s; requests sent together would all meet a cold target"
    for index, idle in enumerate(block.idle):
        if idle <= block.gap:
            yield f"idle.{index}", "must be longer than gap, or it is no silence"


def _cancel(block: doc.Cancel) -> Iterator[Complaint]:
    if (block.after is None) == (block.after_tokens is None):
        yield "after", "say when: either after (a time) or after_tokens (a count)"
    if block.share == 0:
        yield "share", "must be above 0%; leave cancel out where nobody leaves"


def _retry(block: doc.Retry) -> Iterator[Complaint]:
    if block.max_wait < block.wait:
        yield "max_wait", "is below wait; no retry would ever be sent"


def _thin(block: doc.TraceArrival) -> Iterator[Complaint]:
    if block.thin == 0:
        yield "thin", "must be above 0%; it is the share of rows that are kept"


def _chat(block: doc.ChatWorkload) -> Iterator[Complaint]:
    system, whole = block.system_tokens, block.input_tokens
    if (
        isinstance(system, doc.Fixed)
        and isinstance(whole, doc.Fixed)
        and system.value >= whole.value
    ):
        yield "system_tokens", "must be shorter than input_tokens, which include it"
    for name in ("input_tokens", "output_tokens"):
        lengths = getattr(block, name)
        if (isinstance(lengths, doc.Fixed) and lengths.value < 1) or (
            isinstance(lengths, doc.Uniform) and lengths.max < 1
        ):
            yield name, "must be at least one token"


def _task(block: doc.TrafficClass) -> Iterator[Complaint]:
    work = block.workload
    if not isinstance(work, doc.TaskWorkload):
        return
    if block.api != "chat":
        yield "api", f"must be chat for a workload of kind {work.kind}"
    for index, prompt in enumerate(work.prompts):
        if not prompt.strip():
            yield f"workload.prompts.{index}", "is empty"
    if work.input_tokens is None and not work.prompts:
        yield "workload.prompts", "missing; say what is asked (prompts), how long (input_tokens)"
    if (
        isinstance(work, doc.ToolsWorkload)
        and work.tool_choice == "none"
        and work.expect.valid_call
    ):
        yield "workload.tool_choice", "none forbids calls, and expect.valid_call wants one"


def _stages(block: doc.StagedLoad) -> Iterator[Complaint]:
    seen: set[str] = set()
    for index, stage in enumerate(block.stages):
        if stage.name in seen:
            yield f"stages.{index}.name", f"'{stage.name}' is taken; every stage has its own name"
        seen.add(stage.name)


def _stop(block: money.Stop) -> Iterator[Complaint]:
    if block.max_error_rate is not None and not 0 < block.max_error_rate < 1:
        yield "max_error_rate", "must lie between 0% and 100%, such as 20%"
    if block.over_saturated is not None and block.over_saturated < LEAST_OVER_S:
        yield "over_saturated", f"must be {LEAST_OVER_S:g}s or more; less tells no growth"


def _list_sweep(block: doc.ListSweep) -> Iterator[Complaint]:
    if len(block.over) != 1:
        yield (
            "over",
            "a list takes one path; of several, kind: grid runs every combination and kind: zip"
            " the k-th of each",
        )


def _zip_sweep(block: doc.ZipSweep) -> Iterator[Complaint]:
    lengths = {path: len(values) for path, values in block.over.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{number} of {path}" for path, number in lengths.items())
        yield "over", f"a zip takes as many values of each path; there are {told}"


def _repeat(block: doc.RepeatSweep) -> Iterator[Complaint]:
    if block.repeat < 2:
        yield "repeat", "must be 2 or more; leave sweep out for a single point"


def _search(block: doc.SearchSweep) -> Iterator[Complaint]:
    if block.min >= block.max:
        yield "max", "must be above min; there is no range to search"
    if not LEAST_RESOLUTION <= block.resolution <= 1:
        yield "resolution", "must lie between 1% and 100%; finer rates cannot be told apart"
    if block.order != "given":
        yield "order", "a search chooses its own order; leave it out"
    if block.budget == 0:
        yield "budget", "must be above 0s; leave it out for no limit"


def _sweep(block: doc.Sweep) -> Iterator[Complaint]:
    over = block.over if isinstance(block, doc.ValuesSweep) else {}
    for path, values in over.items():
        if not values:
            yield f"over.{path}", "holds no value"
    if block.targets == ():
        yield "targets", "is empty; leave it out to use all"


def _uptime(block: UptimeLimit) -> Iterator[Complaint]:
    if block.window == 0:
        yield "window", "must be above 0s"


def _gate(block: gates.Gate) -> Iterator[Complaint]:
    if block.max_blocks is not None and block.max_blocks < block.blocks:
        yield "max_blocks", "is below blocks; leave it out for a single look"
    if len(block.relative) > gates.MOST_RELATIVE:
        most = gates.MOST_RELATIVE
        yield "rules", f"holds {len(block.relative)} relative rules; {most} is the most (Holm)"
    seen: set[str] = set()
    for index, rule in enumerate(block.rules):
        if rule.id in seen:
            yield f"rules.{index}.id", f"'{rule.id}' is taken; every rule has its own id"
        seen.add(rule.id)


def _cost(block: money.Cost) -> Iterator[Complaint]:
    if block.serverless is None and block.on_demand is None:
        yield "", "compares nothing; give serverless, on_demand, or both"
    if block.forecast is not None and block.on_demand is None:
        yield "forecast", "is for on_demand, which is not given"


def _serverless(block: money.ServerlessSide) -> Iterator[Complaint]:
    if block.target is None and block.model is None:
        yield "model", "missing; name a row of the sheet, or the target whose model is priced"


def _on_demand(block: money.OnDemandSide) -> Iterator[Complaint]:
    if block.scaling == "to_zero" and block.scale_to_zero is None:
        yield "scaling", "is to_zero; say when the last replica goes: scale_to_zero: {idle: 1h}"


def _forecast(block: money.ForecastTraffic) -> Iterator[Complaint]:
    if block.mean is not None and block.volume is not None:
        yield "volume", "give either mean or volume, not both"


_RULES: tuple[tuple[Any, Callable[[Any], Iterator[Complaint]]], ...] = (
    ((doc.Uniform, doc.UniformTime), _uniform),
    ((doc.Lognormal, doc.LognormalTime), _lognormal),
    ((doc.OpenStage, doc.ClosedStage, doc.ProbeStage), _window),
    (doc.ProbeStage, _probe),
    (doc.IdleBurstStage, _idle_burst),
    (doc.Cancel, _cancel),
    (doc.Retry, _retry),
    (doc.OpenStage, _open),
    (doc.TraceArrival, _thin),
    (doc.ChatWorkload, _chat),
    (doc.OpenAITarget, target_complaints),
    (doc.TrafficClass, key_name_complaints),
    (doc.TrafficClass, _task),
    (doc.TrafficClass, whole_complaints),
    (doc.EmbeddingsWorkload, embeddings_complaints),
    (doc.AudioWorkload, audio_complaints),
    (doc.EnvValue, variable_complaints),
    (UptimeLimit, _uptime),
    (doc.Prometheus, metrics_complaints),
    (doc.StagedLoad, _stages),
    (money.Cost, _cost),
    (money.ServerlessSide, _serverless),
    (money.OnDemandSide, _on_demand),
    (money.ForecastTraffic, _forecast),
    (gates.Gate, _gate),
    ((gates.AbsoluteRule, gates.RelativeRule), gates.rule_complaints),
    (money.Stop, _stop),
    (doc.ListSweep, _list_sweep),
    (doc.ZipSweep, _zip_sweep),
    (doc.RepeatSweep, _repeat),
    (doc.SearchSweep, _search),
    ((doc.ListSweep, doc.GridSweep, doc.ZipSweep, doc.RepeatSweep, doc.SearchSweep), _sweep),
)
