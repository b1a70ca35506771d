"""PointPlan: all a load process needs to send one point; it travels as JSON over a pipe.

The scenario itself travels as a path (the resolved document in the run directory); secrets never
travel: a worker reads them from its own environment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from harness.load.facts import TargetFacts
from harness.traffic import TokenPlan


@dataclass(frozen=True, slots=True)
class PointPlan:
    """One point on one target. Paths are absolute; `samples` answers are kept as text.

    arm, attempt: go into the salt, so that repeated points never meet a warm prefix cache.
    only_stage: send this stage alone (None: all).  keeps_user_stamps: store each chunk's user stamp
    beside its kernel stamp (a check of the client itself wants both).  keeps_asking: a target that
    answers nothing from the start is the finding and no reason to stop: uptime is measured.
    """

    run_id: str
    run_dir: str
    point_dir: str
    resolved_scenario: str
    point_index: int
    base_url: str
    model: str
    api_key_env: str | None
    facts: TargetFacts
    token_plan: TokenPlan
    workers: int = 1
    samples: int = 0
    arm: str = "main"
    attempt: int = 0
    only_stage: int | None = None
    keeps_user_stamps: bool = False
    keeps_asking: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return row | {"facts": self.facts.to_json(), "token_plan": self.token_plan.to_json()}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> PointPlan:
        parts = {
            "facts": TargetFacts.from_json(row["facts"]),
            "token_plan": TokenPlan.from_json(row["token_plan"]),
        }
        return cls(**(row | parts))


@dataclass(frozen=True, slots=True)
class Pulse:
    """What all workers together look like, once a second; for the live display, never a metric.

    Latencies are seconds over the requests of this stage that have ended, None before the first.
    """

    phase: str  # preparing | ready | warmup | measured | cooldown | drain
    stage: str
    elapsed_s: float
    remaining_s: float  # to the end of the window; 0 past it, or where it ends by count
    sent: int
    in_flight: int
    ok: int
    throttled: int
    failed: int
    ttft_p50_s: float | None
    ttft_p99_s: float | None
    tpot_p50_s: float | None
    tpot_p99_s: float | None
    out_tok_per_s: float
    client_cpu: float  # busiest worker, share of its core
    loop_lag_p99_s: float
    workers: int
    num_blocked: int = 0
    num_prepared: int = 0  # requests made before the first is sent
    whole_p50_s: float | None = None  # to the end, of answers that are no stream
    whole_p99_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Done:
    """The point's end. status: complete, interrupted (the user), partial (with its reason).

    is_refused: partial because the target answered none of the warm-up's requests.
    """

    status: str
    rows: int
    reason: str = ""
    is_refused: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


LoadEvent = Pulse | Done
