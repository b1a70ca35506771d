"""A fault plan makes the engine worse on purpose, to prove that a gate sees what it must.

Off unless a file is given. Which requests are hit is a pure function of the plan's seed and the
request (its x-request-id, else its place in arrival order), so a run repeats. Replies, /v1/models
and /metrics all say that a plan is on: a doctored number cannot pass for a real one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

SPIN_NS = 200_000  # the end of a delay is spun: sleeping is accurate to about this
Truncation = Literal["no_done", "cut_bytes", "short_output"]


class BadFaultPlan(ValueError):
    """The file is missing, not JSON, or holds a field we do not know; the text names it."""


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: tuple[int, int | None] = Field(
        (0, None), description="engine steps [first, end) in which the fault is on; null: for ever"
    )

    @field_validator("steps")
    @classmethod
    def _opens(cls, steps: tuple[int, int | None]) -> tuple[int, int | None]:
        first, end = steps
        if first < 0 or (end is not None and end <= first):
            raise ValueError("a window [first, end) needs 0 <= first < end")
        return steps

    def covers(self, step: int) -> bool:
        first, end = self.steps
        return first <= step and (end is None or step < end)


class StepTimeFactor(_Fault):
    """Each step ends later by (value - 1) of its own measured time."""

    value: float = Field(ge=1, le=100, description="1.05: every step takes 5 % longer")


class StepTimeAdd(_Fault):
    """Each step ends later by a constant."""

    value: float = Field(ge=0, le=60_000, description="milliseconds added to every step")


class Stall(_Fault):
    """Some steps hang: chosen by hash(seed, step)."""

    ms: float = Field(ge=0, le=600_000, description="how long a stalled step hangs, milliseconds")
    rate: float = Field(1.0, ge=0, le=1, description="share of the window's steps that stall")


class Error(_Fault):
    """Some requests fail: with a status at admission, or with an error event mid-stream."""

    rate: float = Field(ge=0, le=1, description="share of requests that fail")
    status: int = Field(500, ge=400, le=599, description="HTTP status at admission")
    at: Literal["admission", "mid-stream"] = Field("admission", description="where it fails")


class Truncate(_Fault):
    """Some answers end wrongly: no [DONE], bytes cut inside an event, or too few tokens."""

    rate: float = Field(ge=0, le=1, description="share of requests that are cut")
    kind: Truncation = Field(description="how the answer ends")


def _scalar(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"value": value} if is_number else value


@dataclass(frozen=True, slots=True)
class RequestFault:
    """What is to happen to one request; after_steps says at which of its output steps (from 1)."""

    name: str
    after_steps: int
    error_status: int = 0
    at_admission: bool = False
    truncation: Truncation | None = None


class FaultPlan(BaseModel):
    """The file. A bare number may stand for step_time_factor and step_time_add_ms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, description="chooses the victims")
    step_time_factor: Annotated[StepTimeFactor, BeforeValidator(_scalar)] | None = Field(
        None, description="multiplies the time of each step"
    )
    step_time_add_ms: Annotated[StepTimeAdd, BeforeValidator(_scalar)] | None = Field(
        None, description="adds milliseconds to each step"
    )
    stall: Stall | None = Field(None, description="some steps hang")
    error: Error | None = Field(None, description="some requests fail")
    truncate: Truncate | None = Field(None, description="some answers end wrongly")

    @classmethod
    def from_file(cls, path: Path) -> FaultPlan:
        """Reads the plan. Raises BadFaultPlan with the file and every fault in it."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BadFaultPlan(f"fault plan '{path}': {error.strerror}") from error
        except ValidationError as error:
            rows = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise BadFaultPlan("\n".join([f"fault plan '{path}' is not valid", *rows])) from error

    @property
    def names(self) -> tuple[str, ...]:
        """The faults this plan holds, in the order of the file format."""
        return tuple(n for n in type(self).model_fields if n != "seed" and getattr(self, n))

    @property
    def header(self) -> str:
        """The value of x-harness-fault: enough to tell two plans apart."""
        digest = hashlib.blake2b(self.model_dump_json().encode(), digest_size=4).hexdigest()
        return f"plan={digest}; faults={','.join(self.names)}"

    def step_delay_ns(self, step: int, measured_ns: int) -> int:
        """How much later engine step `step`, which took measured_ns, has to end."""
        delay = 0.0
        if (factor := self.step_time_factor) and factor.covers(step):
            delay += measured_ns * (factor.value - 1)
        if (add := self.step_time_add_ms) and add.covers(step):
            delay += add.value * 1e6
        stall = self.stall
        if stall and stall.covers(step) and _share(self.seed, "stall", str(step)) < stall.rate:
            delay += stall.ms * 1e6
        return int(delay)

    def for_request(self, key: str, step: int) -> RequestFault | None:
        """The fault that hits the request named key, admitted at engine step `step`, if any."""
        after = 1 + int(_share(self.seed, "after", key) * 4)
        error = self.error
        if error and error.covers(step) and _share(self.seed, "error", key) < error.rate:
            return RequestFault(
                "error", after, error_status=error.status, at_admission=error.at == "admission"
            )
        cut = self.truncate
        if cut and cut.covers(step) and _share(self.seed, "truncate", key) < cut.rate:
            return RequestFault(f"truncate.{cut.kind}", after, truncation=cut.kind)
        return None


def slow_steps(plan: FaultPlan) -> Callable[[int, float], None]:
    """The hook an EngineCore calls with (step index, its seconds so far) before it books a step."""

    def hook(step: int, measured_s: float) -> None:
        wait_ns(plan.step_delay_ns(step, int(measured_s * 1e9)))

    return hook


def wait_ns(delay_ns: int) -> None:
    """Returns delay_ns later: sleeps, then spins the last 200 us."""
    end = time.monotonic_ns() + delay_ns
    if delay_ns > SPIN_NS:
        time.sleep((delay_ns - SPIN_NS) / 1e9)
    while time.monotonic_ns() < end:
        pass


def _share(seed: int, what: str, key: str) -> float:
    """A number in [0, 1) that depends on its arguments alone."""
    digest = hashlib.blake2b(f"{seed}\0{what}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
