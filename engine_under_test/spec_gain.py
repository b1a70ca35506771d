"""What speculation gains, net: measured step against measured step at equal batch. No torch.

Steps of decoding only are compared: every sequence adds its next token, with drafts or without. Of
those with drafts one in a while is run without on purpose, a control: how long a step takes without
them, by number of sequences B, is thereby measured in the same engine under the same load. Then

    without = sum over B of (tokens kept / B) * mean control at B
    net speed-up = (without + controls) / (time of the steps with drafts + controls)

where controls are all steps without drafts, be it that none was worth a trial: they count the same
on both sides. Drafting, judging and whatever was computed in vain are inside. It is an estimate: it
says nothing of steps mixed with prompts, nor of batches that would have been larger or smaller.
Its interval counts the scatter of steps as if they were independent; a machine's bad minute is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import exp, sqrt
from typing import NamedTuple

from .plan import SchedulerOutput
from .request import RequestOutput

FIRST_CONTROL = 8  # steps with drafts before the first control; twice as many before each next
EVERY = 16  # up to this: 6 % of the steps with drafts
MIN_CONTROLS = 3  # of a batch before its steps are compared
REFRESH_STEPS = 16  # observed between two estimates
_Z95 = 1.96

ControlRule = Callable[[int], bool]


class GainEstimate(NamedTuple):
    """Of all compared steps; low, high: a 95 % interval. speed_up 0: nothing was compared yet."""

    speed_up: float = 0.0
    low: float = 0.0
    high: float = 0.0
    decode_s: float = 0.0
    num_tokens: int = 0
    num_controls: int = 0


@dataclass(slots=True)
class _Times:
    """Count, mean and sum of squared deviations of step times (Welford)."""

    num: int = 0
    mean_s: float = 0.0
    squares: float = 0.0

    def add(self, step_s: float) -> None:
        self.num += 1
        change = step_s - self.mean_s
        self.mean_s += change / self.num
        self.squares += change * (step_s - self.mean_s)

    @property
    def variance(self) -> float:
        return self.squares / (self.num - 1) if self.num > 1 else 0.0


@dataclass(slots=True)
class _Batch:
    """Steps of one number of sequences. num_tokens: kept of those with drafts."""

    controls: _Times = field(default_factory=_Times)
    drafted: _Times = field(default_factory=_Times)
    num_tokens: int = 0
    since_control: int = 0  # steps with drafts
    next_after: int = FIRST_CONTROL


@dataclass(slots=True)
class SpecGain:
    """has_controls: False where a step without drafts would change what is answered (a fixed length
    in ratio mode): then only steps that had none anyway are compared with."""

    has_controls: bool = True
    estimate: GainEstimate = field(default_factory=GainEstimate)
    _batches: dict[int, _Batch] = field(default_factory=dict)
    _num_observed: int = 0

    def is_control(self, num_seqs: int) -> bool:
        """Whether the next step of decoding, of so many sequences, is to run without drafts."""
        if not self.has_controls:
            return False
        batch = self._batches.get(num_seqs)
        return batch is not None and batch.since_control >= batch.next_after

    def restart(self) -> None:
        """Nothing is known any more: what ran before was a warm-up, and cold."""
        self.estimate = GainEstimate()
        self._batches = {}

    def observe(
        self, plan: SchedulerOutput, outputs: Iterable[RequestOutput], step_s: float
    ) -> None:
        """One step has run and is booked. outputs: what each request keeps of it."""
        seqs = plan.seqs
        if not seqs or any(s.num_new - s.num_drafts != 1 or not s.is_sampled for s in seqs):
            return
        batch = self._batches.setdefault(len(seqs), _Batch())
        kept = {output.request_id: len(output.new_token_ids) for output in outputs}
        # A draft model that stayed silent was asked all the same, and took its time.
        if any(s.max_drafts for s in seqs):
            batch.drafted.add(step_s)
            batch.num_tokens += sum(kept.get(s.request.request_id, 0) for s in seqs)
            batch.since_control += 1
            without_s = batch.controls.mean_s
        else:
            _take_control(batch, step_s)
            without_s = step_s
        if batch.controls.num >= MIN_CONTROLS:
            for s in seqs:
                t = s.request.timings
                t.compared_s += step_s
                t.without_drafts_s += without_s * kept.get(s.request.request_id, 0)
        self._num_observed += 1
        if self._num_observed % REFRESH_STEPS == 0:
            self.estimate = self._estimate()

    def _estimate(self) -> GainEstimate:
        spent_s = without_s = spread = without_spread = 0.0
        num_tokens = num_controls = 0
        for num_seqs, batch in self._batches.items():
            controls, drafted = batch.controls, batch.drafted
            if controls.num < MIN_CONTROLS:
                continue
            own_s, num_steps = controls.num * controls.mean_s, batch.num_tokens / num_seqs
            spent_s += own_s + drafted.num * drafted.mean_s
            without_s += own_s + num_steps * controls.mean_s
            spread += drafted.num * drafted.variance
            without_spread += num_steps**2 * controls.variance / controls.num
            num_tokens += batch.num_tokens + controls.num * num_seqs
            num_controls += controls.num
        if not spent_s:
            return GainEstimate()
        ratio = without_s / spent_s
        width = exp(_Z95 * sqrt(spread / spent_s**2 + without_spread / without_s**2))
        return GainEstimate(ratio, ratio / width, ratio * width, spent_s, num_tokens, num_controls)


def _take_control(batch: _Batch, step_s: float) -> None:
    batch.controls.add(step_s)
    if batch.since_control >= batch.next_after:
        batch.next_after = min(2 * batch.next_after, EVERY)
    batch.since_control = 0
