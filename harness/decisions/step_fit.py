"""A sweep's step times -> the twin's parameters, with what is not known about them.

Fitted on all points; the error shown comes from points left out of a fit of the others. The draws
are fits of resampled points (prompts, decode steps, turnovers each among themselves): every plan
made from a fit is made once a draw, each at a pace that the server may have by then, and its
interval is theirs. Three errors are therefore told apart: what few points leave open (the draws),
what the law cannot follow (the held-out error) and what the server itself will not keep (drift).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.steps import Overhead, StepRow, as_arrays
from harness.analysis.turnovers import Turnover
from harness.decisions.drift import Drift, drift_of
from harness.decisions.hinge import NAMES, FloatArray, Hinge, StepTimes, fit_hinge
from harness.decisions.swept_hull import SweptHull
from harness.errors import MeasurementError
from harness.estimate import Estimate

NUM_DRAWS = 60
HELD_OUT_SHARE = 0.2
LEAST_DECODE, LEAST_PREFILL = 5, 4  # rows; fewer cannot even tell the law's shape
UNITS = {"a0": "s", "b": "s", "a1": "s/tok", "d": "s/seq", "c": "s/tok", "e": "s/tok2", "o": "s",
         "r": "s/req", "g": "s/tok", "h": "s"}  # fmt: skip
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Relative errors of points that their fit had not seen. n: points; ratios: 0.03 is 3 %."""

    n: int
    median_ratio: float
    p90_ratio: float
    worst_ratio: float


@dataclass(frozen=True, slots=True)
class StepFit:
    """hinge: the fit of all points.  draws: fits of resampled points.  overhead_s +
    overhead_s_per_tok x prompt tokens: added to a first token, for what lies outside the engine.
    What of that keeps the server busy is in the law (r) and not waited for twice.
    budget_tok: tokens of a step the prompts were cut by.  tok_per_step: of a decoding sequence.
    num_requests: those whose own cost was seen, 0 where none came while others decoded.  drift: of
    the pace while the sweep ran."""

    hinge: Hinge
    draws: tuple[Hinge, ...]
    overhead_s: float
    overhead_s_per_tok: float
    held_out: HeldOut
    hull: SweptHull
    budget_tok: int
    tok_per_step: float
    num_decode: int
    num_prefill: int
    num_requests: int = 0
    drift: Drift = field(default_factory=Drift)

    @property
    def likely(self) -> tuple[Hinge, ...]:
        """The draws, each at a pace that a later half minute may have: a plan's interval is theirs.
        The same at every call."""
        paces = self.drift.paces(len(self.draws), np.random.default_rng(len(self.draws)))
        return tuple(law.at_pace(x) for law, x in zip(self.draws, paces.tolist(), strict=True))

    def outside_s(self, hinge: Hinge, n_in: IntArray) -> FloatArray:
        """[n] What a first token waits for outside the steps of this law."""
        outside_s = self.overhead_s + self.overhead_s_per_tok * n_in - hinge.r
        return np.asarray(np.maximum(outside_s, 0.0))

    def estimate(self, name: str) -> Estimate:
        """A parameter (one of NAMES) with the 95 % interval of its draws."""
        values = [getattr(draw, name) for draw in self.draws]
        low, high = np.percentile(values, [2.5, 97.5])
        value = float(getattr(self.hinge, name))
        return Estimate(
            f"step_{name}", "fit", UNITS[name], value, min(float(low), value),
            max(float(high), value), n=self.num_decode + self.num_prefill,
            n_eff=float(self.num_decode + self.num_prefill),
            method=f"weighted least absolute deviations, {len(self.draws)} bootstrap draws",
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "parameters": {name: self.estimate(name).to_json() for name in NAMES},
            "overhead_s": self.overhead_s,
            "overhead_s_per_tok": self.overhead_s_per_tok,
            "held_out": {
                "n": self.held_out.n,
                "median_ratio": self.held_out.median_ratio,
                "p90_ratio": self.held_out.p90_ratio,
                "worst_ratio": self.held_out.worst_ratio,
            },
            "drift": self.drift.to_json(),
            "num_decode": self.num_decode,
            "num_prefill": self.num_prefill,
            "num_requests": self.num_requests,
            "num_draws": len(self.draws),
            "budget_tok": self.budget_tok,
            "tok_per_step": self.tok_per_step,
            "swept": self.hull.to_json(),
        }


def fit_steps(
    rows: Sequence[StepRow],
    overheads: Sequence[Overhead],
    turnovers: Sequence[Turnover] = (),
    *,
    budget_tok: int,
    tok_per_step: float = 1.0,
    begin_s: Mapping[int, float] | None = None,
    seed: int = 0,
    num_draws: int = NUM_DRAWS,
) -> StepFit:
    """Fit, hold out, resample. budget_tok: most tokens of one step.  begin_s: when each point
    began; without it no drift is seen.

    Raises MeasurementError where there are too few decode or prompt rows to be a calibration.
    """
    decode = [row for row in rows if row.kind == "decode"]
    prefill = [row for row in rows if row.kind == "prefill"]
    _require(decode, prefill)
    ordered = [*decode, *prefill]
    times = step_times(ordered, budget_tok).and_(turnover_times(turnovers, budget_tok))
    kind = np.repeat([0, 1, 2], [len(decode), len(prefill), len(turnovers)])
    rng = np.random.default_rng([seed, len(ordered)])
    hinge = fit_hinge(times)
    overhead_s, per_tok = _overhead(overheads, hinge)
    return StepFit(
        hinge,
        tuple(fit_hinge(times.take(_resample(kind, rng)), hinge) for _ in range(num_draws)),
        overhead_s,
        per_tok,
        _hold_out(times, kind, hinge, rng),
        SweptHull.of(
            as_arrays(decode, "num_seqs").tolist(), as_arrays(decode, "context_tok").tolist(),
            [row.prompt_tok + row.cached_tok for row in prefill],
        ),
        budget_tok,
        tok_per_step,
        len(decode),
        len(prefill),
        sum(row.num_requests for row in turnovers),
        _drift(ordered, times.seconds[: len(ordered)], hinge.predict(times), begin_s or {}),
    )  # fmt: skip


def _drift(
    rows: Sequence[StepRow], seconds: FloatArray, law_s: FloatArray, begin_s: Mapping[int, float]
) -> Drift:
    """A row counts by the steps behind it. Turnovers are no clean steps."""
    known = [k for k, row in enumerate(rows) if row.point in begin_s]
    num = as_arrays(rows, "num")[known]
    at_s = [begin_s[rows[k].point] for k in known]
    return drift_of(at_s, seconds[known] * num, law_s[known] * num)


def step_times(rows: Sequence[StepRow], budget_tok: int) -> StepTimes:
    """Rows as the law sees them: a prompt is cut into chunks of budget_tok and a rest."""
    decode_tok, prompt_tok = as_arrays(rows, "num_seqs"), as_arrays(rows, "prompt_tok")
    num_full, rest = np.divmod(prompt_tok, budget_tok)
    # a sequence that speculates brings its drafts into the step
    first = np.where(decode_tok > 0, decode_tok * as_arrays(rows, "tok_per_seq"), budget_tok)
    return StepTimes(
        np.stack([first, rest], axis=1),
        np.stack([np.where(decode_tok > 0, 1.0, num_full), (rest > 0).astype(np.float64)], axis=1),
        decode_tok,
        as_arrays(rows, "context_tok"),
        # sum of p (x + p/2) over chunks p after x tokens, however the prompt is cut
        prompt_tok * (as_arrays(rows, "cached_tok") + prompt_tok / 2),
        as_arrays(rows, "has_overhead"),
        np.zeros(len(rows)),
        as_arrays(rows, "after_tok"),
        as_arrays(rows, "num_cold"),
        as_arrays(rows, "seconds"),
    )  # fmt: skip


def turnover_times(rows: Sequence[Turnover], budget_tok: int) -> StepTimes:
    """Turnovers as the law sees them: steps that read prompts, and steps that do not, each of their
    mean size."""

    def column(name: str) -> FloatArray:
        return np.array([getattr(row, name) for row in rows], dtype=np.float64)

    num_steps, decode_tok = column("num_steps"), column("seq_steps")
    # prompts may share a step, and one may take several
    least = np.ceil((column("prompt_tok") + decode_tok) / budget_tok)
    num_mixed = np.minimum(np.maximum(column("num_mixed"), least), num_steps)
    each = decode_tok / np.maximum(num_steps, 1)
    sizes = [each + column("prompt_tok") / np.maximum(num_mixed, 1), each]
    return StepTimes(
        np.stack(sizes, axis=1), np.stack([num_mixed, num_steps - num_mixed], axis=1), decode_tok,
        column("context_tok"), column("area"), np.zeros(len(rows)), column("num_requests"),
        column("after_tok"), np.zeros(len(rows)), column("seconds"),
    )  # fmt: skip


def told_budget(num_steps: Mapping[int, int]) -> int | None:
    """The step budget that explains how many steps prompts took (tokens -> steps); None where no
    prompt took two steps, or no budget explains them all."""
    least = max((-(-n // k) for n, k in num_steps.items()), default=0)
    most = min(((n - 1) // (k - 1) for n, k in num_steps.items() if k > 1), default=0)
    if not least or most < least:
        return None
    power = 1 << (most.bit_length() - 1)  # budgets are round numbers: the only one, or the middle
    return power if power >= least else (least + most) // 2


def _require(decode: Sequence[StepRow], prefill: Sequence[StepRow]) -> None:
    if len(decode) >= LEAST_DECODE and len(prefill) >= LEAST_PREFILL:
        return
    raise MeasurementError(
        "this run is no calibration of the twin",
        why=f"{len(decode)} batches were seen decoding undisturbed ({LEAST_DECODE} needed) and"
        f" {len(prefill)} lengths of prompts read alone ({LEAST_PREFILL} needed)",
        do="harness run twin-sweep --url URL, and plan from that run",
    )


def _overhead(overheads: Sequence[Overhead], hinge: Hinge) -> tuple[float, float]:
    """(s, s a prompt token) outside the engine: fitted where it was told, else the law's own o."""
    if len(overheads) < 2:
        return hinge.o, 0.0
    tok = np.array([row.prompt_tok for row in overheads], np.float64)
    seconds = np.array([max(row.seconds, 0.0) for row in overheads])
    lengths = np.unique(tok)
    if len(lengths) < 3:
        return float(np.median(seconds)), 0.0
    # Theil and Sen: the median slope is deaf to a hiccup, as least absolute deviations are
    i, j = np.triu_indices(len(tok), 1)
    apart = tok[i] != tok[j]
    slopes = (seconds[j] - seconds[i])[apart] / (tok[j] - tok[i])[apart]
    slope = max(0.0, float(np.median(slopes)))
    return max(0.0, float(np.median(seconds - slope * tok))), slope


def _resample(kind: IntArray, rng: np.random.Generator) -> IntArray:
    """As many rows of each kind as there are, drawn with replacement."""
    groups = [np.flatnonzero(kind == k) for k in np.unique(kind)]
    return np.concatenate([rng.choice(group, len(group)) for group in groups])


def _hold_out(times: StepTimes, kind: IntArray, hinge: Hinge, rng: np.random.Generator) -> HeldOut:
    """Every point is left out once, a fifth at a time; its error is that of the others' fit."""
    num_folds = round(1 / HELD_OUT_SHARE)
    fold = np.empty(len(times), np.int64)
    for group in (np.flatnonzero(kind == k) for k in np.unique(kind)):
        fold[rng.permutation(group)] = np.arange(len(group)) % num_folds
    errors: FloatArray = np.zeros(len(times))
    for k in range(num_folds):
        out = np.flatnonzero(fold == k)
        fit = fit_hinge(times.take(np.flatnonzero(fold != k)), hinge)
        unseen = times.take(out)
        errors[out] = np.abs(fit.predict(unseen) - unseen.seconds) / unseen.seconds
    p90 = float(np.percentile(errors, 90))
    return HeldOut(len(errors), float(np.median(errors)), p90, float(errors.max()))
