"""What an average request of a scenario asks for, as a bill counts it, before anything is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.scenario import document as doc
from harness.scenario.materials import Materials

_Z95 = 1.6448536269514722  # standard normal quantile of 0.95
_S_PER_MIN = 60.0


@dataclass(frozen=True, slots=True)
class MeanUse:
    """Of one request, over the classes by weight; None where only the target or the data decides.

    audio_min: minutes of sound. A recording has no input tokens here, an embedding no output.
    """

    input_tok: float | None
    output_tok: float | None
    audio_min: float | None

    def times(self, num: float | None) -> MeanUse:
        """Of so many requests."""
        return MeanUse(
            product(num, self.input_tok),
            product(num, self.output_tok),
            product(num, self.audio_min),
        )


def mean_use(traffic: tuple[doc.TrafficClass, ...], materials: Materials) -> MeanUse:
    """The average over the classes."""
    total = sum(c.weight for c in traffic)
    parts = [_of_class(c, materials).times(c.weight / total) for c in traffic]
    return MeanUse(
        total_of([p.input_tok for p in parts]),
        total_of([p.output_tok for p in parts]),
        total_of([p.audio_min for p in parts]),
    )


def mean_tokens(
    traffic: tuple[doc.TrafficClass, ...], materials: Materials
) -> tuple[float | None, float | None]:
    """Mean tokens a request, in and out; None where unknown."""
    use = mean_use(traffic, materials)
    return use.input_tok, use.output_tok


def mean_length(lengths: doc.Lengths | None, materials: Materials) -> float | None:
    """Mean of a length distribution in tokens; None without one or without its table."""
    match lengths:
        case doc.Fixed(value=value):
            return value
        case doc.Uniform():
            return (lengths.min + lengths.max) / 2
        case doc.Lognormal():
            return _lognormal_mean(lengths)
        case doc.Exponential(mean=mean):
            return mean
        case doc.Empirical(file=file, column=column, max=limit):
            table = materials.tables.get((file, column))
            return table.below(limit).mean if table is not None else None
    return None


def total_of(parts: list[float | None]) -> float | None:
    """The sum; None where a part is not known."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def product(a: float | None, b: float | None) -> float | None:
    """a times b; None where one is not known, but for 0, of which any number is 0."""
    return a * b if a is not None and b is not None else 0.0 if 0.0 in (a, b) else None


def _of_class(traffic: doc.TrafficClass, materials: Materials) -> MeanUse:
    if isinstance(traffic.workload, doc.AudioWorkload):
        return MeanUse(0.0, 0.0, _audio_min(traffic.workload, materials))
    input_tok, output_tok = _class_tokens(traffic, materials)
    return MeanUse(input_tok, output_tok, 0.0)


def _class_tokens(
    traffic: doc.TrafficClass, materials: Materials
) -> tuple[float | None, float | None]:
    work = traffic.workload
    if isinstance(work, doc.ChatWorkload):
        return (
            _with_prefix(mean_length(work.input_tokens, materials), traffic),
            mean_length(work.output_tokens, materials),
        )
    if isinstance(work, doc.TraceWorkload):
        trace = materials.traces.get(work.file)
        if trace is None:
            return None, None
        fits = trace.input_tok <= (work.max_input_tokens or np.iinfo(np.int32).max)
        if not fits.any():
            return None, None
        return float(trace.input_tok[fits].mean()), float(trace.output_tok[fits].mean())
    if isinstance(work, doc.TaskWorkload):
        return _with_prefix(mean_length(work.input_tokens, materials), traffic), None
    if isinstance(work, doc.EmbeddingsWorkload):
        return product(*(mean_length(d, materials) for d in (work.batch, work.input_tokens))), 0.0
    assert isinstance(work, doc.DatasetWorkload)
    rows = materials.datasets.get(work.file, ())
    given = [row.output_tok for row in rows if row.output_tok is not None]
    if given and len(given) == len(rows):
        return None, sum(given) / len(given)
    return None, mean_length(work.output_tokens, materials)


def _with_prefix(tok: float | None, traffic: doc.TrafficClass) -> float | None:
    """A shared opening comes on top of a class's own input."""
    return tok if tok is None or traffic.prefix is None else tok + traffic.prefix.tokens


def _audio_min(work: doc.AudioWorkload, materials: Materials) -> float | None:
    """Clips by their distribution, files in turns."""
    if work.clip is not None:
        return _mean_time_s(work.clip.duration) / _S_PER_MIN
    found = [materials.audio.get(file) for file in work.files]
    known = [recording.duration_s for recording in found if recording is not None]
    return sum(known) / len(known) / _S_PER_MIN if known and len(known) == len(found) else None


def _mean_time_s(times: doc.Times) -> float:
    match times:
        case doc.FixedTime(value=value):
            return value
        case doc.UniformTime():
            return (times.min + times.max) / 2
        case doc.LognormalTime():
            return _lognormal_mean(times)
    return times.mean


def _lognormal_mean(lengths: doc.Lognormal | doc.LognormalTime) -> float:
    """Mean of a lognormal cut at max: exp(mu + s^2/2) P(Z < z - s) / P(Z < z)."""
    sigma = math.log(lengths.p95 / lengths.median) / _Z95
    if sigma == 0:
        return lengths.median
    z = math.log(lengths.max / lengths.median) / sigma
    return lengths.median * math.exp(sigma**2 / 2) * _normal_cdf(z - sigma) / _normal_cdf(z)


def _normal_cdf(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2
