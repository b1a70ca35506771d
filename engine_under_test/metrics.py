"""Counters a scraper reads: vLLM's names and definitions under `vllm:`, our own under `engine:`.

Plain integers, fed once a step and once a finished request on the asyncio side, rendered when
somebody asks. One registry; no process metrics.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .request import FinishReason, Timings
from .spec_config import SpecConfig
from .stats import EngineStats

# fmt: off
TTFT_BUCKETS_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
                  7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0)
TOKEN_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                   0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
REQUEST_BUCKETS_S = (0.01, 0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0,
                     40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0)
STEP_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                  1.0, 2.5, 5.0)
BATCH_BUCKETS_TOK = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
# fmt: on


class Histogram:
    """Bucket counts of one quantity; a value equal to a bound falls below it, as in Prometheus."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """count times the same value."""
        self._counts[bisect_left(self._bounds, value)] += count
        self._sum += value * count

    @property
    def count(self) -> int:
        return sum(self._counts)

    def family(self, name: str, text: str, labels: Sequence[str]) -> HistogramMetricFamily:
        total, buckets = 0, []
        for bound, count in zip([*self._bounds, float("inf")], self._counts, strict=True):
            total += count
            buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), float(total)))
        family = HistogramMetricFamily(name, text, labels=("model_name", "engine"))
        family.add_metric(labels, buckets, self._sum)
        return family


@dataclass(frozen=True, slots=True)
class FinishedRequest:
    """A sequence that ended: why, when, and how many tokens it took and gave."""

    reason: FinishReason
    timings: Timings
    num_prompt: int
    num_output: int
    is_embedding: bool = False


class EngineMetrics(Collector):
    """Everything /metrics shows. observe_* are called from the asyncio loop only."""

    def __init__(
        self, model_name: str, fault_header: str = "", spec: SpecConfig | None = None
    ) -> None:
        self._labels = (model_name, "0")
        self._fault_header = fault_header
        self._spec = spec
        self._stats = EngineStats()
        self._finished: Counter[str] = Counter({str(reason): 0 for reason in FinishReason})
        self._injected: Counter[str] = Counter()
        self._num_embeddings = 0
        self.ttft_s = Histogram(TTFT_BUCKETS_S)
        self.inter_token_s = Histogram(TOKEN_BUCKETS_S)
        self.time_per_output_token_s = Histogram(TOKEN_BUCKETS_S)
        self.e2e_s = Histogram(REQUEST_BUCKETS_S)
        self.queue_s = Histogram(REQUEST_BUCKETS_S)
        self.prefill_s = Histogram(REQUEST_BUCKETS_S)
        self.decode_s = Histogram(REQUEST_BUCKETS_S)
        self.step_s = Histogram(STEP_BUCKETS_S)
        self.step_gap_s = Histogram(STEP_BUCKETS_S)
        self.scheduler_s = Histogram(STEP_BUCKETS_S)
        self.batch_tok = Histogram(BATCH_BUCKETS_TOK)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe_stats(self, stats: EngineStats) -> None:
        """The engine's own counters and gauges, as they stand."""
        self._stats = stats

    def observe_step(self, stats: EngineStats, step_s: float, gap_s: float | None) -> None:
        """One step has run. gap_s: time before it while work waited; None: nothing waited."""
        self.step_s.observe(step_s)
        self.scheduler_s.observe(stats.last_scheduler_s)
        self.batch_tok.observe(stats.last_batch_tok)
        if gap_s is not None:
            self.step_gap_s.observe(gap_s)

    def observe_finished(self, done: FinishedRequest) -> None:
        """Latencies from the request's own stamps; an aborted one counts only as aborted."""
        self._finished[str(done.reason)] += 1
        t = done.timings
        if done.reason not in (FinishReason.STOP, FinishReason.LENGTH) or not t.first_ns:
            return
        self.e2e_s.observe((t.last_ns - t.received_ns) / 1e9)
        self.queue_s.observe((t.scheduled_ns - t.admitted_ns) / 1e9)
        self.prefill_s.observe((t.first_ns - t.scheduled_ns) / 1e9)
        if done.is_embedding:  # it has no first token, and no decode
            self._num_embeddings += 1
            return
        self.ttft_s.observe((t.first_ns - t.received_ns) / 1e9)
        self.decode_s.observe((t.last_ns - t.first_ns) / 1e9)
        if done.num_output > 1:
            per_token_s = (t.last_ns - t.first_ns) / 1e9 / (done.num_output - 1)
            self.time_per_output_token_s.observe(per_token_s)

    def count_fault(self, name: str) -> None:
        """A fault plan has hit one request."""
        self._injected[name] += 1

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield from self._state()
        if self._spec is not None:
            yield from self._speculation(self._spec)
        yield from self._latencies()
        yield from self._own()

    def _state(self) -> Iterator[Metric]:
        s = self._stats
        yield self._gauge(
            "vllm:num_requests_running", "Requests in the running batch.", s.num_running
        )
        yield self._gauge("vllm:num_requests_waiting", "Requests waiting.", s.num_waiting)
        yield self._gauge(
            "vllm:kv_cache_usage_perc", "KV cache in use, 1 is all of it.", s.kv_usage_ratio
        )
        for name, text, value in (
            ("prefix_cache_queries", "Tokens looked up in the cache.", s.num_prefix_query_tokens),
            ("prefix_cache_hits", "Tokens found in the cache.", s.num_prefix_hit_tokens),
            ("num_preemptions", "Preemptions so far.", s.num_preemptions),
            ("prompt_tokens", "Prefill tokens processed.", s.num_prompt_tokens),
            ("generation_tokens", "Generation tokens processed.", s.num_generation_tokens),
        ):
            yield self._counter(name, text, value)
        success = CounterMetricFamily(
            "vllm:request_success",
            "Finished requests.",
            labels=("model_name", "engine", "finished_reason"),
        )
        for reason, count in sorted(self._finished.items()):
            success.add_metric((*self._labels, reason), count)
        yield success

    def _speculation(self, spec: SpecConfig) -> Iterator[Metric]:
        """Mean acceptance length = 1 + accepted tokens / drafts, the target's own included."""
        s = self._stats
        for name, text, value in (
            ("num_drafts", "Verifications of drafts.", s.num_drafts),
            ("num_draft_tokens", "Draft tokens on trial.", s.num_draft_tokens),
            ("num_accepted_tokens", "Draft tokens accepted.", s.num_accepted_tokens),
        ):
            yield self._counter(f"spec_decode_{name}", text, value)
        places = CounterMetricFamily(
            "vllm:spec_decode_num_accepted_tokens_per_pos",
            "Draft tokens accepted, by place behind the last known token.",
            labels=("model_name", "engine", "position"),
        )
        counts = s.num_accepted_per_pos
        for place in range(spec.most_drafts):  # from the start: a counter that appears late is lost
            count = counts[place] if place < len(counts) else 0
            places.add_metric((*self._labels, str(place)), count)
        yield places
        yield from self._net_gain()
        synthetic = GaugeMetricFamily(
            "engine:synthetic_acceptance_active",
            "1 while drafts are accepted by a coin and the text means nothing.",
            labels=("model_name", "engine", "rates"),
        )
        rates = spec.synthetic_label
        synthetic.add_metric((*self._labels, rates), 1 if rates else 0)
        yield synthetic

    def _net_gain(self) -> Iterator[Metric]:
        """Estimates since the start, see spec_gain.py; absent until something was compared."""
        gain = self._stats.spec_gain
        if not gain.speed_up:
            return
        for name, text, value in (
            ("net_speedup", "Tokens/s with drafts over without, at equal batch.", gain.speed_up),
            ("net_speedup_low", "Lower end of its 95 % interval.", gain.low),
            ("net_speedup_high", "Upper end of its 95 % interval.", gain.high),
            ("compared_seconds", "Steps of decoding it rests on.", gain.decode_s),
            ("compared_tokens", "Their tokens.", gain.num_tokens),
            ("control_steps", "Those without drafts.", gain.num_controls),
        ):
            yield self._gauge(f"engine:spec_decode_{name}", text, value)

    def _latencies(self) -> Iterator[Metric]:
        for name, text, histogram in (
            ("time_to_first_token", "Body read to first token.", self.ttft_s),
            ("inter_token_latency", "Between two outputs of a request.", self.inter_token_s),
            (
                "request_time_per_output_token",
                "Mean of a request, first token left out.",
                self.time_per_output_token_s,
            ),
            ("e2e_request_latency", "Body read to last token.", self.e2e_s),
            ("request_queue_time", "Admitted to first scheduled.", self.queue_s),
            ("request_prefill_time", "First scheduled to first token.", self.prefill_s),
            ("request_decode_time", "First token to last.", self.decode_s),
        ):
            yield histogram.family(f"vllm:{name}_seconds", text, self._labels)

    def _own(self) -> Iterator[Metric]:
        for name, text, histogram in (
            ("step_seconds", "One engine step, injected delay included.", self.step_s),
            ("step_gap_seconds", "End of a step to the next while work waits.", self.step_gap_s),
            ("scheduler_seconds", "Scheduling part of a step.", self.scheduler_s),
            ("batch_tokens", "Tokens in one step's batch.", self.batch_tok),
        ):
            yield histogram.family(f"engine:{name}", text, self._labels)
        plan = GaugeMetricFamily(
            "engine:fault_plan_active",
            "1 while a fault plan makes this engine worse on purpose.",
            labels=("model_name", "engine", "plan"),
        )
        plan.add_metric((*self._labels, self._fault_header), 1 if self._fault_header else 0)
        yield plan
        injected = CounterMetricFamily(
            "engine:faults_injected",
            "Requests hit by the fault plan.",
            labels=("model_name", "engine", "fault"),
        )
        for name, count in sorted(self._injected.items()):
            injected.add_metric((*self._labels, name), count)
        yield injected
        embedded = CounterMetricFamily(
            "engine:embeddings", "Prompts answered by a vector.", labels=("model_name", "engine")
        )
        embedded.add_metric(self._labels, self._num_embeddings)
        yield embedded

    def _counter(self, name: str, text: str, value: float) -> CounterMetricFamily:
        family = CounterMetricFamily(f"vllm:{name}", text, labels=("model_name", "engine"))
        family.add_metric(self._labels, value)
        return family

    def _gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=("model_name", "engine"))
        family.add_metric(self._labels, value)
        return family
