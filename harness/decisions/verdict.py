"""From the parts to the whole: one outcome and one exit code for a run.

A point whose measurement is invalid makes the run invalid even where no rule was set; saturation
alone does not, it only fails the rules it breaks.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import PointSummary
from harness.errors import ExitCode
from harness.estimate import Outcome, Verdict, overall

_CODES = {
    Outcome.PASS: ExitCode.OK,
    Outcome.FAIL: ExitCode.FAILED,
    Outcome.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Outcome.INVALID: ExitCode.INVALID,
}


def verdict_of_run(summaries: Sequence[PointSummary], verdicts: Sequence[Verdict]) -> Outcome:
    """Nothing measured is invalid, never a pass."""
    if not summaries:
        return Outcome.INVALID
    return overall([*(s.validity for s in summaries), *(v.outcome for v in verdicts)])


def exit_code(outcome: Outcome) -> ExitCode:
    """What the process returns for an outcome."""
    return _CODES[outcome]
