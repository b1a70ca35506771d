"""What a scenario asks for and what it can show: expected requests and tokens, and advice.

Floors are the sample sizes from which a two-sided 95 % interval of a quantile exists (order
statistics, independent requests): correlated requests need more, so this only warns of what
cannot work at all. Closed load answers as fast as its target, so it has no expected count.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.notices import Notice
from harness.scenario import document as doc
from harness.scenario._streamed import OF_TOKENS
from harness.scenario.gate import RelativeRule, SloRule
from harness.scenario.search import FIRST_WINDOWS, at_rate
from harness.scenario.slo import GoodRequest, LatencyLimits, LeastShare, ShareLimit, Slo
from harness.scenario.sweep import is_calibration
from harness.units import format_seconds, write_rate, write_seconds

# quantile -> requests the analysis asks for: ten beyond it, and for p50 an order-statistic interval
FLOORS = {"p50": 6, "p90": 100, "p95": 200, "p99": 1000}
RECOMMENDED_WARMUP_S = 10.0
_KNOWN_VARIABLES = ("HARNESS_OUT", "HARNESS_TOKEN", "HARNESS_TRACES")
_NEED_TWO_TOKENS = ("tpot", "itl", "icl", "max_stall")
_LEVELS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class StageBudget:
    """Expected size of one stage. num_measured: None where only the target decides."""

    name: str
    warmup_s: float
    window_s: float | None
    num_measured: float | None


def stage_budget(stage: doc.Stage, load: doc.Load, trace_times: object = None) -> StageBudget:
    """Warm-up, window and expected measured requests of a stage; None where unknown.

    trace_times: [n] arrival seconds of the stage's trace where it was read.
    """
    if isinstance(stage, doc.IdleBurstStage):
        return _burst_budget(stage, load.warmup)
    window_s, requests = stage.duration, stage.requests
    rate = _mean_rate(stage)
    if isinstance(stage, doc.OpenStage) and isinstance(stage.arrival, doc.TraceArrival):
        rate, window_s = _trace_rate(stage, trace_times, load.warmup)
    num = float(requests) if requests is not None else None
    if num is None and rate is not None and window_s is not None:
        num = rate * window_s
    if window_s is None and rate and num is not None:
        window_s = num / rate
    return StageBudget(stage.name, load.warmup, window_s, num)


def _burst_budget(stage: doc.IdleBurstStage, warmup_s: float) -> StageBudget:
    """Every silence and every burst, one after the other."""
    num_bursts = stage.cycles * len(stage.idle)
    window_s = stage.cycles * sum(stage.idle) + num_bursts * (stage.requests - 1) * stage.gap
    return StageBudget(stage.name, warmup_s, window_s, float(num_bursts * stage.requests))


def stages_of(load: doc.Load) -> tuple[doc.Stage, ...]:
    return load.stages if isinstance(load, doc.StagedLoad) else (load,)


def advise(document: doc.Scenario, env: Mapping[str, str]) -> list[Notice]:
    """Notices about a valid document; of alike ones about its stages that of the smallest."""
    return [
        *_warmup(document), *_limits(document), *_least("requests", _samples(document)),
        *_least("planned", _uptime(document)), *_gate(document), *_search(document),
        *unknown_variables(env, tuple(_named_keys(document))),
    ]  # fmt: skip


def _least(size: str, notices: Iterable[Notice]) -> list[Notice]:
    return sorted(notices, key=lambda notice: float(notice.args[size]))[:1]


def sample_notices(slo: Slo, num_measured: float) -> Iterator[Notice]:
    """One notice for the highest quantile with a limit that so few requests cannot carry."""
    asked = {
        name
        for metric in Slo.model_fields
        if isinstance(limits := getattr(slo, metric), LatencyLimits)
        for name in FLOORS
        if getattr(limits, name) is not None
    }
    short = [name for name in asked if num_measured < FLOORS[name]]
    if short:
        worst = max(short, key=FLOORS.__getitem__)
        facts = {"requests": round(num_measured), "quantile": worst, "needed": FLOORS[worst]}
        yield Notice("too_few_requests", "warning", facts)


def windows_needed(objective: float, num_down: int = 0, confidence: float = 0.95) -> int:
    """Windows (or requests) from which so few bad ones still demonstrate the objective.

    The least n whose one-sided Clopper-Pearson lower bound reaches it, trials being independent;
    without a bad one ln(1 - confidence) / ln objective. objective: above 0, below 1. At a
    confidence of 99 % this is the early-stopping rule of MLPerf (LoadGen).
    """
    if not num_down:
        return math.ceil(math.log(1 - confidence) / math.log(objective) - 1e-9)
    from scipy.special import betaincinv  # heavy, and `harness --help` must not wait for it

    def is_shown(n: int) -> bool:
        return float(betaincinv(n - num_down, num_down + 1, 1 - confidence)) >= objective

    high = 2 * num_down
    while not is_shown(high):
        high *= 2
    low = num_down
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_shown(middle) else (middle, high)
    return high


def needed_to_hold(share: float) -> int:
    """Requests from which a rate can hold a share, if none misses and all count: the least n whose
    lower Clopper-Pearson bound at 99 % reaches it, ln 0.01 / ln share."""
    return math.ceil(math.log(0.01) / math.log(share) - 1e-9)


def _search(document: doc.Scenario) -> Iterator[Notice]:
    """Windows so short that not even the lowest rate could ever hold; rules it does not judge."""
    sweep, share = document.sweep, document.slo.attainment
    if not isinstance(sweep, doc.SearchSweep) or not share or not 0 < share < 1:
        return
    if rules := ", ".join(_unsearched(document.slo, share)):
        yield Notice("search_rules", "warning", {"share": f"{share * 100:.10g}%", "rules": rules})
    level = at_rate(document, sweep.min)
    windows = [stage_budget(stage, level.load).num_measured for stage in stages_of(level.load)]
    each, needed = sum(n or 0.0 for n in windows), needed_to_hold(share)
    if each and FIRST_WINDOWS * each < needed:
        facts = {
            "rate": write_rate(sweep.min), "requests": round(FIRST_WINDOWS * each),
            "share": f"{share * 100:.10g}%", "needed": needed,
            "time": format_seconds(needed / FIRST_WINDOWS / sweep.min),
        }  # fmt: skip
        yield Notice("search_reach", "warning", facts)
    least = document.validity.min_requests
    if each and each < least:
        facts = {
            "rate": write_rate(sweep.min), "requests": round(each), "least": least,
            "time": format_seconds(least / sweep.min),
        }  # fmt: skip
        yield Notice("search_floor", "warning", facts)


def _unsearched(slo: Slo, share: float) -> Iterator[str]:
    """Rules that a rate may break although `share` of its requests are good, and limits of another
    share than that."""
    for metric in Slo.model_fields:
        rule = getattr(slo, metric)
        if isinstance(rule, LatencyLimits):
            given = [q for q in _LEVELS if getattr(rule, q) is not None]
            for q in given:
                is_of_request = q == given[-1] and metric in GoodRequest.model_fields
                is_of_request = is_of_request and slo.good_request is None
                if not is_of_request or abs(_LEVELS[q] - share) > 1e-9:
                    how = " (read as a limit of each request)" if is_of_request else ""
                    yield f"{metric}.{q}{how}"
        elif isinstance(rule, ShareLimit):
            if rule.max < 1 - share - 1e-9:
                yield metric
        elif isinstance(rule, LeastShare):
            if rule.min > share + 1e-9:
                yield metric
        elif rule is not None and metric not in ("good_request", "attainment"):
            yield metric


def _uptime(document: doc.Scenario) -> Iterator[Notice]:
    """An objective that the planned windows cannot demonstrate, even if all of them are up."""
    limit = document.slo.uptime
    if limit is None or not 0 < limit.objective < 1:
        return
    for stage in stages_of(document.load):
        window_s = stage_budget(stage, document.load).window_s
        if window_s is None:
            continue
        repeats = document.sweep.repeat if document.sweep else 1
        planned = int(window_s / limit.window + 1e-9) * repeats
        needed = windows_needed(limit.objective)
        if planned < needed:
            facts = {
                "planned": planned, "needed": needed, "missing": needed - planned,
                "objective": f"{limit.objective * 100:.10g}%",
                "window": write_seconds(limit.window),
                "time": format_seconds(needed * limit.window),
            }  # fmt: skip
            yield Notice("too_few_windows", "warning", facts)


def _gate(document: doc.Scenario) -> Iterator[Notice]:
    """Rules of a gate whose runs are too short for their quantile; blocks too few to fail any."""
    gate = document.gate
    if gate is None:
        return
    sizes = {s.name: stage_budget(s, document.load).num_measured for s in stages_of(document.load)}
    for rule in gate.rules:
        if isinstance(rule, SloRule) or rule.stat is None:
            continue
        num = sizes.get(rule.stage) if rule.stage else next(iter(sizes.values()), None)
        # an absolute rule pools the candidate's runs
        pooled = 1 if isinstance(rule, RelativeRule) else gate.blocks
        if num is not None and num * pooled < FLOORS[rule.stat]:
            facts = {"rule": rule.id, "requests": round(num * pooled), "quantile": rule.stat,
                     "needed": FLOORS[rule.stat]}  # fmt: skip
            yield Notice("gate_quantile", "warning", facts)
    m, k = len(gate.relative), gate.most_blocks
    share = gate.alpha if k == gate.blocks else gate.alpha / 2
    if gate.baseline.kind == "target" and m and m * 2.0 ** (1 - k) > share:
        facts = {"blocks": k, "rules": m, "least": f"{min(1.0, m * 2.0 ** (1 - k)):.2g}"}
        yield Notice("gate_reach", "warning", facts)


def _mean_rate(stage: doc.Stage) -> float | None:
    if isinstance(stage, doc.ProbeStage):
        return 1 / stage.every
    if not isinstance(stage, doc.OpenStage) or stage.rate is None:
        return None
    rate = stage.rate
    return (rate.from_ + rate.to) / 2 if isinstance(rate, doc.Ramp) else rate


def _trace_rate(
    stage: doc.OpenStage, times: object, warmup_s: float
) -> tuple[float | None, float | None]:
    """Mean rate and window of a replayed trace; the window is its rest after the warm-up."""
    import numpy as np

    arrival_s = np.asarray(times, np.float64) if times is not None else np.empty(0)
    if len(arrival_s) < 2 or not isinstance(stage.arrival, doc.TraceArrival):
        return None, stage.duration
    span_s = float(arrival_s[-1])
    rate = len(arrival_s) / span_s * stage.arrival.thin if span_s else None
    rest_s = max(0.0, span_s - warmup_s)
    return rate, min(rest_s, stage.duration) if stage.duration is not None else rest_s


def _warmup(document: doc.Scenario) -> Iterator[Notice]:
    if document.load.warmup < RECOMMENDED_WARMUP_S and not is_calibration(document.sweep):
        facts = {
            "warmup": write_seconds(document.load.warmup),
            "recommended": write_seconds(RECOMMENDED_WARMUP_S),
        }
        yield Notice("short_warmup", "info", facts)


def _limits(document: doc.Scenario) -> Iterator[Notice]:
    """Limits on gaps between tokens, for a class that asks for one token only."""
    for traffic in document.traffic:
        workload = traffic.workload
        if isinstance(workload, doc.TraceWorkload | doc.TaskWorkload):
            continue
        if isinstance(workload, doc.WholeWorkload):  # limits of its own are faults by then
            for metric in OF_TOKENS:
                if metric in Slo.model_fields and _has_limit(document.slo, metric):
                    yield Notice("skipped_limit", "info", {"metric": metric, "name": traffic.name})
            continue
        out = workload.output_tokens
        if isinstance(out, doc.Fixed) and out.value < 2:
            for metric in _NEED_TWO_TOKENS:
                if _has_limit(traffic.slo, metric) or _has_limit(document.slo, metric):
                    facts = {"metric": metric, "name": traffic.name}
                    yield Notice("skipped_limit", "warning", facts)


def _has_limit(slo: Slo | None, metric: str) -> bool:
    if slo is None:
        return False
    good = slo.good_request or GoodRequest()
    return getattr(slo, metric) is not None or getattr(good, metric, None) is not None


def _samples(document: doc.Scenario) -> Iterator[Notice]:
    if isinstance(document.sweep, doc.SearchSweep):
        return  # it judges no quantile, and load.rate is none of its rates
    for stage in stages_of(document.load):
        num = stage_budget(stage, document.load).num_measured
        if num is not None:
            yield from sample_notices(document.slo, num)


def unknown_variables(env: Mapping[str, str], own: tuple[str, ...] = ()) -> Iterator[Notice]:
    """A HARNESS_* variable that nothing reads is a typo; `own`: those a scenario names itself."""
    for name in env:
        if name.startswith("HARNESS_") and name not in (*_KNOWN_VARIABLES, *own):
            near = difflib.get_close_matches(name, _KNOWN_VARIABLES, n=1, cutoff=0.0)[0]
            yield Notice("unknown_environment", "warning", {"name": name, "nearest": near})


def _named_keys(document: doc.Scenario) -> Iterator[str]:
    """Variables the scenario itself names, whatever they are called."""
    for traffic in document.traffic:
        if traffic.api_key_env:
            yield traffic.api_key_env
    for target in document.targets.values():
        if isinstance(target, doc.OpenAITarget):
            yield from [target.api_key_env] if target.api_key_env else []
            yield from (v.env for v in target.headers.values() if isinstance(v, doc.EnvValue))
