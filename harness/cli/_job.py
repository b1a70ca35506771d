"""What `harness run` and `calibrate` are to measure, by whom: a scenario as loaded, or a stored run
that is continued. Nothing is sent here; whatever can be refused is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cli._budget import Budget, budget_of
from harness.cli._options import Voice, default_workers, out_root
from harness.errors import MeasurementError, UsageError
from harness.load import check_bind
from harness.notices import Notice
from harness.records import RunDirectory, find_run, require_folder
from harness.scenario import (
    LoadedScenario,
    Materials,
    Point,
    expand,
    load_resolved,
    load_scenario,
    read_materials,
)
from harness.scenario.advice import unknown_variables
from harness.scenario.document import SearchSweep
from harness.traffic import build_schedule


@dataclass(frozen=True, slots=True)
class Team:
    """The load processes of a run. bind: where those of other hosts reach us."""

    num_local: int
    num_remote: int = 0
    bind: str = "127.0.0.1"

    @classmethod
    def of(cls, workers: int | None, remote_workers: int | None, bind: str) -> Team:
        """As asked; with remote ones, local ones only where they are asked for. Raises UsageError
        where other hosts could join without a secret."""
        num_remote = remote_workers or 0
        check_bind(bind, num_remote)
        num_local = workers or 0 if num_remote else default_workers(workers)
        return cls(num_local, num_remote, bind)


@dataclass(frozen=True, slots=True)
class GateWishes:
    """What the command line asks of a gate. baseline: a stored name or a run, else its own.

    on_inconclusive: changes the exit code of an open question, never its verdict.
    """

    baseline: str | None = None
    save_baseline: str | None = None
    on_inconclusive: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be measured. directory: an earlier run that is continued, else None.

    missing: the points without complete records, or whose records were damaged since.
    budget: what this call may spend, where the scenario says so.
    """

    loaded: LoadedScenario
    points: tuple[Point, ...]
    materials: Materials
    out: Path
    directory: RunDirectory | None = None
    missing: tuple[Point, ...] = ()
    budget: Budget | None = None

    @property
    def is_spent(self) -> bool:
        return self.budget is not None and self.budget.is_spent

    @property
    def notices(self) -> tuple[Notice, ...]:
        return self.loaded.notices


def new_job(
    scenario: str,
    overrides: Sequence[str],
    *,
    url: str | None,
    model: str | None,
    api_key_env: str | None,
    seed: int | None,
    out: Path | None,
) -> Job:
    """Load, expand and read everything the scenario names. Raises ScenarioError."""
    loaded = load_scenario(
        scenario, overrides=overrides, url=url, model=model, api_key_env=api_key_env, seed=seed,
        env=os.environ,
    )  # fmt: skip
    require_folder(out_root(out))
    return job_of(loaded, out)


def resumed_job(run: str, out: Path | None) -> Job:
    """The stored scenario of an earlier run, and its directory."""
    root = out_root(out)
    directory = RunDirectory.open(find_run(run, root))
    directory.lock()
    loaded = load_resolved(directory.path / "scenario.resolved.yaml")
    loaded = replace(loaded, notices=tuple(unknown_variables(os.environ)))
    job = job_of(loaded, root, directory)
    _require_same_traffic(job, directory)
    if isinstance(job.loaded.document.sweep, SearchSweep):
        from harness.cli._search_run import is_over  # statistics take a second to import

        return replace(job, missing=()) if is_over(job) else job
    return job


def _require_same_traffic(job: Job, directory: RunDirectory) -> None:
    """A trace or table that was edited since would make the missing points another experiment.

    One finished point tells: its schedule is built again. Raises MeasurementError.
    """
    for folder in directory.whole_points[:1]:
        known = folder.meta.get("schedule_sha256")
        if known and build_schedule(job.points[folder.index], job.materials).sha256() != known:
            raise MeasurementError(
                "the scenario's files are not those the run began with",
                where=str(directory.path),
                why=f"point {folder.label} would now be sent other requests than it was",
                do="restore the files, or begin a new run",
            )


def gated_job(job: Job, wishes: GateWishes, voice: Voice) -> Job:
    """The job with the gate as the command line asks, its design told, its limits checked.

    Raises UsageError where gate flags meet no gate, or a limit lies below this machine's noise.
    """
    if job.loaded.document.gate is None:
        if wishes != GateWishes():
            raise UsageError(
                f"scenario {job.loaded.name} has no gate",
                why="--baseline, --save-baseline and --on-inconclusive belong to one",
                do="add a gate block, or leave them out",
            )
        return job
    from harness.cli._gate_judge import baseline_of, with_baseline
    from harness.cli._gate_plan import gate_plan, require_above_floor

    if wishes.baseline and job.directory is None:
        document = with_baseline(job.loaded.document, baseline_of(wishes.baseline, job.out))
        # what was said of blocks does not hold for sessions
        kept = tuple(n for n in job.notices if n.code != "gate_reach")
        job = job_of(replace(job.loaded, document=document, notices=kept), job.out)
    plan = gate_plan(job.loaded.document, job.materials, job.out)
    require_above_floor(plan)
    voice.say("\n".join(plan.lines))
    return job


def job_of(loaded: LoadedScenario, out: Path | None, directory: RunDirectory | None = None) -> Job:
    """Expanded, and its files read; of an earlier run, the points that are missing there. Raises
    ScenarioError."""
    materials = read_materials(loaded.document, loaded.search_paths)
    points = expand(loaded.document)
    done = {p.index for p in directory.whole_points} if directory else set()
    if loaded.document.gate is not None:  # a block of which one run is missing has none
        halves = {p.repeat for p in points if p.index not in done}
        done = {p.index for p in points if p.repeat not in halves}
    missing = tuple(p for p in points if p.index not in done)
    return Job(
        loaded,
        points,
        materials,
        out_root(out),
        directory,
        missing,
        budget_of(loaded.document, points, materials),
    )
