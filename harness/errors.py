"""Every failure the harness reports on purpose, and the exit code it ends in.

    HarnessError              anything we say in our own words
    |- UsageError        2    the command line, a file or a setting is wrong
    |  `- ScenarioError  2    a scenario document is wrong; carries every fault at once
    |- MeasurementError  4    what was measured cannot be trusted or compared
    |- TargetError       5    the endpoint is unreachable, refused us, or never answered
    |- InternalError    70    a bug of ours; includes what to report
    `- Interrupted     130    the user stopped us; what was measured is kept

A verdict (fail 1, inconclusive 3) is a value, never an exception. A message has four parts, each a
short line: what - where - why - do this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; documented in the README."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCONCLUSIVE = 3
    INVALID = 4
    TARGET = 5
    INTERNAL = 70
    INTERRUPTED = 130


# When several apply the first of these wins: an invalid measurement proves no failure, a failure
# outranks an open question.
PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.INTERNAL,
    ExitCode.USAGE,
    ExitCode.TARGET,
    ExitCode.INVALID,
    ExitCode.FAILED,
    ExitCode.INCONCLUSIVE,
    ExitCode.OK,
)


def strongest(codes: Sequence[ExitCode]) -> ExitCode:
    """The code that wins when several apply; OK when there is none."""
    return min(codes, key=PRECEDENCE.index, default=ExitCode.OK)


class HarnessError(Exception):
    """A failure said in four parts. `where`, `why` and `do` may be empty."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, what: str, *, where: str = "", why: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.do = what, where, why, do

    def render(self) -> str:
        """The lines a user reads, without colour."""
        parts = [f"error: {self.what}"]
        parts += [f"  where: {self.where}"] if self.where else []
        parts += [f"  why:   {self.why}"] if self.why else []
        parts += [f"  do:    {self.do}"] if self.do else []
        return "\n".join(parts)


class UsageError(HarnessError):
    """The command line, a file or a setting is wrong."""

    exit_code = ExitCode.USAGE


class MeasurementError(HarnessError):
    """What was measured cannot be trusted or compared."""

    exit_code = ExitCode.INVALID


class TargetError(HarnessError):
    """The endpoint is unreachable, refused us, or never answered."""

    exit_code = ExitCode.TARGET


class InternalError(HarnessError):
    """A bug of ours."""


class Interrupted(HarnessError):
    """The user stopped the run; partial results are kept."""

    exit_code = ExitCode.INTERRUPTED


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a document. line and column count from 1; 0 where there is no text."""

    path: str
    message: str
    line: int = 0
    column: int = 0

    @property
    def position(self) -> str:
        return f"line {self.line}, col {self.column}" if self.line else ""


SHOWN_FAULTS = 20  # a screen of them; JSON has all


class ScenarioError(UsageError):
    """A document is not valid; every fault is reported together. check: the verb that reads it."""

    def __init__(
        self, source: str, faults: Sequence[Fault], *, kind: str = "scenario",
        check: str = "harness validate",
    ) -> None:  # fmt: skip
        super().__init__(f"{kind} '{source}' is not valid")
        self.source, self.check = source, check
        self.faults = tuple(faults)

    def render(self) -> str:
        shown = self.faults[:SHOWN_FAULTS]
        paths = [f.path if len(f.path) <= 80 else f"{f.path[:77]}..." for f in shown]
        path = max(map(len, paths), default=0)
        position = max((len(f.position) for f in shown), default=0)
        rows = [
            f"  {name:<{path}}  {f.position:<{position}}  {f.message}".rstrip()
            for name, f in zip(paths, shown, strict=True)
        ]
        if len(self.faults) > len(shown):
            num_left = len(self.faults) - len(shown)
            rows.append(f"  and {num_left:,} more: {self.check} --json lists all")
        retry = f"fix {'this' if len(rows) == 1 else 'these'}, then: {self.check} {self.source}"
        return "\n".join([f"error: {self.what}", *rows, retry])
