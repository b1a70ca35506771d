"""What a calibration of the twin says of itself: its verdict, its sentence, what each batch showed.

A calibration is judged by the points that its fit had not seen, never by the load of its points:
they are short on purpose and prove no rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.analysis.steps import StepRow
from harness.decisions.headline import Headline
from harness.decisions.step_fit import StepFit, step_times
from harness.decisions.twin_capacity import MOST_HELD_OUT, doubt_of
from harness.decisions.wording import amount, capital, counted
from harness.errors import MeasurementError
from harness.estimate import Estimate, Outcome, Verdict

RULE = "calibration"


@dataclass(frozen=True, slots=True)
class StepSeen:
    """A row of the calibration beside the law fitted to all of them. Fields as of StepRow;
    law_s: what the law says it takes."""

    kind: str
    num_seqs: int
    context_tok: float
    prompt_tok: int
    cached_tok: int
    num: int
    seconds: float
    law_s: float

    @property
    def error_ratio(self) -> float:
        """The law over what was measured, less one."""
        return self.law_s / self.seconds - 1

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def steps_seen(rows: Sequence[StepRow], fit: StepFit) -> tuple[StepSeen, ...]:
    """Decode steps by batch and context, then prompts by length."""
    law = fit.hinge.predict(step_times(rows, fit.budget_tok))
    found = [
        StepSeen(
            row.kind, row.num_seqs, row.context_tok, row.prompt_tok, row.cached_tok, row.num,
            row.seconds, float(law_s),
        )
        for row, law_s in zip(rows, law, strict=True)
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda r: (r.kind, r.num_seqs, r.context_tok, r.prompt_tok)))


def calibration_verdict(fit: StepFit) -> Verdict:
    """pass: half of the points left out of a fit of the others are met within MOST_HELD_OUT."""
    held, doubt = fit.held_out, doubt_of(fit)
    estimate = Estimate(
        "step_error", "p50", "ratio", held.median_ratio, n=held.n, n_eff=float(held.n),
        method="absolute error relative to the measured step, a fifth of the points left out",
    )  # fmt: skip
    outcome = Outcome.INCONCLUSIVE if doubt else Outcome.PASS
    return Verdict(RULE, outcome, doubt, estimate, limit=MOST_HELD_OUT)


def calibration_headline(fit: StepFit) -> Headline:
    """answer - spread - rule in brackets - what was swept - next step."""
    held, hull, doubt = fit.held_out, fit.hull, doubt_of(fit)
    median, most, worst = (
        amount(x, "ratio") for x in (held.median_ratio, held.p90_ratio, held.worst_ratio)
    )
    found = f"half of the points left out of the fit are met within {median}"
    answer = f"TOO NOISY A CALIBRATION: {found}" if doubt else f"Calibrated: {found}"
    deepest = max(k for _, k in hull.envelope)
    speculates = (
        f" A decoding sequence made {fit.tok_per_step:.3g} tokens a step: it speculates."
        if fit.tok_per_step > 1 else ""
    )  # fmt: skip
    drifts = (
        f" From one half minute to the next the server's pace differed by"
        f" {amount(fit.drift.sd, 'ratio')} (SD); a plan's intervals hold that."
        if fit.drift.is_seen else ""
    )  # fmt: skip
    detail = (
        f"(nine of ten within {most}, the worst {worst}) [limit {amount(MOST_HELD_OUT, 'ratio')}]."
        f" From {fit.num_decode} batches and {counted(fit.num_prefill, 'length')} of prompts; swept"
        f" up to {hull.max_seqs:,.0f} sequences, {deepest:,.0f} tokens of context, prompts of"
        f" {hull.max_prompt_tok:,} tokens.{drifts}{speculates}"
    )
    if doubt:
        detail += " Calibrate again with the target left alone."
    outcome = Outcome.INCONCLUSIVE if doubt else Outcome.PASS
    return Headline(answer, detail, outcome.value)


def no_calibration(error: MeasurementError) -> tuple[Verdict, Headline]:
    """Of a run whose points cannot carry the law."""
    verdict = Verdict(RULE, Outcome.INVALID, error.why or error.what)
    told = (error.why or error.what).rstrip(".")
    detail = f"{capital(told)}. Widen the table of the sweep, or see Errors."
    return verdict, Headline("NO CALIBRATION: no plan can be made of this run.", detail,
                             Outcome.INVALID.value)  # fmt: skip
