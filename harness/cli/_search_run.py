"""A search being measured: window after window until the interval closes, the budget is spent, the
target is gone, or the user ends it. What is next follows from what stands in the run directory
alone.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from harness.analysis.absence import absence_of
from harness.cli._endpoints import Endpoints
from harness.cli._interruption import Interruption
from harness.cli._job import Job
from harness.cli._options import Voice
from harness.cli._run import measure_next, pause
from harness.cli._search import (
    Measured,
    read_window,
    read_windows,
    search_plan,
    tried_of,
    why_void,
)
from harness.cli._still_there import why_gone
from harness.decisions.search import SearchPlan, Step, Tried, conclude, next_step
from harness.decisions.search_words import ending_sentence, window_sentence
from harness.load import LoadProcess
from harness.records import PointDirectory, PointRecords, RunDirectory, RunStatus
from harness.scenario import Point
from harness.scenario.budget import point_budget
from harness.scenario.document import SearchSweep
from harness.scenario.search import Place, index_of, windows_of
from harness.units import format_seconds

Presence = Literal["there", "away", "gone", "unknown"]


def is_over(job: Job) -> bool:
    """Whether the windows in the run's directory leave nothing to measure."""
    if job.directory is None:
        return False
    plan, windows = search_plan(job.loaded.document), _stored(job, job.directory)
    names = dict.fromkeys(point.target_name for point in job.points)
    return all(
        next_step(plan, tried_of([w for w in windows if w.target == name])) is None
        for name in names
    )


def _stored(job: Job, directory: RunDirectory) -> list[Measured]:
    whole = [PointRecords(p.path, p.index, p.label) for p in directory.whole_points]
    return read_windows(whole, job.points)


def measure_search(
    job: Job,
    directory: RunDirectory,
    endpoints: Endpoints,
    load: LoadProcess,
    interruption: Interruption,
    voice: Voice,
) -> RunStatus:
    """Target after target; the status of the run: complete also where the budget was spent."""
    document = job.loaded.document
    sweep = document.sweep
    assert isinstance(sweep, SearchSweep)
    walk = _Walk(
        job, directory, endpoints, load, interruption, voice, search_plan(document), sweep,
        end_s=time.monotonic() + sweep.budget if sweep.budget else None,
        used={p.index for p in directory.whole_points},
    )  # fmt: skip
    stored = _stored(job, directory)
    status: RunStatus = "complete"
    for number, name in enumerate(dict.fromkeys(point.target_name for point in job.points)):
        found = walk.search(number, name, [w for w in stored if w.target == name])
        if found == "interrupted" or job.is_spent:
            return found
        status = found if found != "complete" else status
    return status


@dataclass(slots=True)
class _Walk:
    """All that measuring a window takes. end_s: of the budget.  used: indices of points that hold
    a whole window, or lost theirs in this call."""

    job: Job
    directory: RunDirectory
    endpoints: Endpoints
    load: LoadProcess
    interruption: Interruption
    voice: Voice
    plan: SearchPlan
    sweep: SearchSweep
    end_s: float | None
    used: set[int]
    has_measured: bool = False
    lost: Counter[int] = field(default_factory=Counter)

    def search(self, number: int, name: str, windows: list[Measured]) -> RunStatus:
        """One target's search, from the windows it has.

        Partial where a window is missing that only --resume may bring: the target is gone, or lost
        workers or went away at the same rate twice.
        """
        self.lost.clear()
        status: RunStatus = "complete"
        while (step := next_step(self.plan, _with_lost(tried_of(windows), self.lost))) is not None:
            point = self._point(number, step.rate)
            if self._is_too_long(point):
                self.voice.say(f"the budget of {format_seconds(self.sweep.budget or 0.0)} is spent")
                break
            if self.has_measured:
                pause(self.job, self.interruption)
            self.has_measured = True
            done = measure_next(
                self.job, self.directory, point, self.endpoints, self.load, self.interruption,
                self.voice,
            )  # fmt: skip
            if done is None:
                return "partial" if self.job.is_spent else "interrupted"
            if done.status == "interrupted":
                return "interrupted"
            self.used.add(point.index)
            folder = self.directory.add_point(point.index, point.label)
            seen = self._presence(point, folder)
            if seen in ("gone", "unknown"):
                status = "partial" if seen == "gone" else "interrupted"
                break
            found = read_window(point, PointRecords(folder.path, folder.index, folder.label))
            if seen == "away" or done.status != "complete" or found is None:
                self.lost[step.rate] += 1
                continue
            windows.append(found)
            self._tell(name, step, [w for w in windows if w.rate == step.rate])
        else:  # what was lost and never measured again leaves the search open
            if next_step(self.plan, tried_of(windows)) is not None:
                status = "partial"
        tried = tried_of(windows)
        ending = conclude(self.plan, tried)
        self.voice.say(ending_sentence(self.plan, tried, ending, why_void(windows)))
        return status

    def _point(self, number: int, rate: int) -> Point:
        """Of the next window at a rate; one that was lost before leaves its place to be measured
        again."""
        document = self.job.loaded.document
        at = (Place(number, rate, w) for w in range(windows_of(self.sweep)))
        places = (index_of(document, self.sweep, place) for place in at)
        return self.job.points[next(index for index in places if index not in self.used)]

    def _is_too_long(self, point: Point) -> bool:
        """Whether its window would end after the budget does."""
        asked_s = point_budget(point, self.job.materials).load_s or 0.0
        return self.end_s is not None and time.monotonic() + asked_s > self.end_s

    def _presence(self, point: Point, folder: PointDirectory) -> Presence:
        """`there`; `away` where the target was not for a while, `gone` where it is not any more,
        `unknown` where the user did not wait for its answer. But for the first the window is given
        back: it says nothing of its rate, and --resume measures it again."""
        absence = absence_of(PointRecords(folder.path, folder.index, folder.label).requests())
        gone = ""
        seen: Presence = "away" if absence.num_refused else "there"
        if absence.ends_silent:
            try:
                with self.interruption.raising():
                    gone = why_gone(point, self.endpoints.of(point))
                seen = "gone" if gone else seen
            except KeyboardInterrupt:
                seen = "unknown"
        reason = {
            "gone": f"the target no longer answers ({gone})",
            "away": f"{absence.num_refused} requests met nobody, and the target is back",
            "unknown": "stopped while the target was asked whether it is still there",
        }.get(seen)
        if reason is not None:
            folder.update_meta(status="partial", reason=reason, gone=gone)
            self.directory.log.append("target_away", point=point.index, said=reason)
            self.voice.say(f"{point.label}: {reason}; this window says nothing of its rate")
        return seen

    def _tell(self, name: str, step: Step, own: list[Measured]) -> None:
        tried, void = tried_of(own)[step.rate], why_void(own[-1:])
        said = window_sentence(self.plan, step.rate, tried, void)
        self.directory.log.append("searched", target=name, phase=step.phase, said=said)
        self.voice.say(f"{step.phase}: {said}")


def _with_lost(tried: dict[int, Tried], lost: Counter[int]) -> dict[int, Tried]:
    """Windows that were lost count as void, or a target that a rate kills, or that kills our
    workers, is asked for ever."""
    for rate, count in lost.items():
        known = tried.get(rate, Tried())
        tried[rate] = Tried(known.windows, known.num_void + count)
    return tried
