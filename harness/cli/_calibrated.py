"""A run -> the twin calibrated on it: its steps read, the law fitted, the deployment's limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.analysis.frame import read_frame
from harness.analysis.server_series import read_server
from harness.analysis.steps import Overhead, StepRow, point_steps
from harness.analysis.turnovers import Turnover
from harness.decisions.step_fit import NUM_DRAWS, StepFit, fit_steps, told_budget
from harness.decisions.twin import Deployment
from harness.decisions.twin_drafting import BatchPace, Drafting, drafting_of
from harness.errors import MeasurementError
from harness.records import PointRecords, Run


@dataclass(frozen=True, slots=True)
class Limits:
    """The deployment as the user says it is; None: as the endpoint told, or as the sweep shows."""

    max_batch: int | None = None
    budget_tok: int | None = None
    kv_tok: int | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """assumed: limits that nobody told, in words: what was swept stands for them.  rows: what the
    law is fitted to."""

    fit: StepFit
    rows: tuple[StepRow, ...]
    deployment: Deployment
    assumed: tuple[str, ...]
    target: str
    model: str


def calibrate_on(run: Run, given: Limits, *, num_draws: int = NUM_DRAWS) -> Calibration:
    """Raises MeasurementError where the run is no calibration, or is of several targets."""
    points = [p for p in run.points if not p.is_partial and "facts" in p.meta]
    targets = {p.meta["target"] for p in points}
    if len(targets) > 1:
        raise MeasurementError(
            "this run is no calibration of the twin",
            where=str(run.path), why=f"it measured {len(targets)} targets",
            do="harness run twin-sweep --url URL, and plan from that run",
        )  # fmt: skip
    told = points[0].meta["facts"].get("limits", {}) if points else {}
    told_tok = given.budget_tok or told.get("max_num_batched_tokens")
    rows: list[StepRow] = []
    overheads: list[Overhead] = []
    turnovers: list[Turnover] = []
    steps: dict[int, int] = {}
    paces: list[BatchPace] = []
    for point in points:
        frame = read_frame(point.requests(), *_window_ns(point))
        counted = read_server(point.server()).speculation()
        found = point_steps(frame, point.index, counted, told_tok or math.inf)
        rows += found.rows
        overheads += found.overheads
        turnovers += found.turnovers
        steps |= found.num_prefill_steps
        decoding = [row.num_seqs for row in found.rows if row.kind == "decode"]
        paces += [BatchPace(max(decoding), found.pace)] if decoding else []
    longest = max((row.prompt_tok for row in rows), default=1)
    budget = told_tok or told_budget(steps)
    drafts = drafting_of(paces)
    fit = fit_steps(
        rows, overheads, turnovers, budget_tok=budget or longest, num_draws=num_draws,
        tok_per_step=drafts.tau,
        begin_s={p.index: _window_ns(p)[0] / 1e9 for p in points},
    )  # fmt: skip
    deployment, assumed = _deployment(fit, told, given, budget, drafts)
    facts = points[0].meta["facts"]
    target = points[0].meta["target"]
    return Calibration(fit, tuple(rows), deployment, assumed, target, facts["model"])


def _deployment(
    fit: StepFit, told: dict[str, int], given: Limits, budget: int | None, drafts: Drafting
) -> tuple[Deployment, tuple[str, ...]]:
    assumed = list(drafts.assumed)
    max_batch = given.max_batch or told.get("max_num_seqs")
    if not max_batch:
        max_batch = int(fit.hull.max_seqs)
        assumed.append(f"at most {max_batch} requests at once, the largest batch swept")
    blocks = told.get("num_blocks", 0) - 1  # one is padding
    kv_tok = given.kv_tok or max(0, blocks) * told.get("block_size", 16)
    if not kv_tok:
        kv_tok = int(max(k for _, k in fit.hull.envelope))
        assumed.append(f"a KV cache of {kv_tok:,} tokens, the largest context swept")
    if budget is None:
        assumed.append("no limit on the tokens of a step: prompts are read in one")
        budget = max(fit.hull.max_prompt_tok, max_batch) + max_batch
    block_tok = told.get("block_size", 16)
    tokens = max(budget, max_batch)
    deployment = Deployment(
        max_batch, tokens, kv_tok, block_tok=block_tok, gamma=drafts.gamma, tau=drafts.tau
    )
    return deployment, tuple(assumed)


def _window_ns(point: PointRecords) -> tuple[int, int]:
    """Any zero will do: every phase counts."""
    stages = point.meta.get("stages") or [{}]
    begin = stages[0].get("t0_ns") or 0
    return begin, max(begin, stages[-1].get("t1_ns") or begin)
