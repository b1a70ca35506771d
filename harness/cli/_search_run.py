"""A search being measured: window after window until the interval closes, the budget is spent, or
the user ends it. What is next follows from what stands in the run directory alone.
"""

from __future__ import annotations

import time
from collections import Counter

from harness.cli._endpoints import Endpoints
from harness.cli._interruption import Interruption
from harness.cli._options import Voice
from harness.cli._run import Job, measure_next, pause
from harness.cli._search import Measured, read_window, read_windows, search_plan, tried_of
from harness.decisions.search import Tried, conclude, next_step
from harness.decisions.search_words import ending_sentence, window_sentence
from harness.load import LoadProcess
from harness.records import PointRecords, RunDirectory, RunStatus
from harness.scenario.budget import point_budget
from harness.scenario.document import SearchSweep
from harness.scenario.search import Place, index_of, windows_of
from harness.units import format_seconds


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
    sweep, plan = document.sweep, search_plan(document)
    assert isinstance(sweep, SearchSweep)
    end_s = time.monotonic() + sweep.budget if sweep.budget else None
    windows = _stored(job, directory)
    used = {p.index for p in directory.whole_points}
    status: RunStatus = "complete"
    has_measured = False
    for number, name in enumerate(dict.fromkeys(point.target_name for point in job.points)):
        lost: Counter[int] = Counter()
        while True:
            tried = _with_lost(tried_of([w for w in windows if w.target == name]), lost)
            step = next_step(plan, tried)
            if step is None:
                break
            # a window that was lost before leaves its place to be measured again
            at = (Place(number, step.rate, w) for w in range(windows_of(sweep)))
            places = (index_of(document, sweep, place) for place in at)
            point = job.points[next(index for index in places if index not in used)]
            asked_s = point_budget(point, job.materials).load_s or 0.0
            if end_s is not None and time.monotonic() + asked_s > end_s:
                voice.say(f"the budget of {format_seconds(sweep.budget or 0.0)} is spent")
                break
            if has_measured:
                pause(job, interruption)
            has_measured = True
            done = measure_next(job, directory, point, endpoints, load, interruption, voice)
            if done is None:
                return "partial" if job.is_spent else "interrupted"
            if done.status == "interrupted":
                return "interrupted"
            used.add(point.index)
            folder = directory.add_point(point.index, point.label)
            found = read_window(point, PointRecords(folder.path, folder.index, folder.label))
            if done.status != "complete" or found is None:
                status = "partial"
                lost[step.rate] += 1
                continue
            windows.append(found)
            own = tried_of([w for w in windows if w.target == name and w.rate == step.rate])
            said = window_sentence(plan, step.rate, own[step.rate])
            directory.log.append("searched", target=name, phase=step.phase, said=said)
            voice.say(f"{step.phase}: {said}")
        voice.say(ending_sentence(plan, tried, conclude(plan, tried)))
        if _give_back_unanswered(directory, [w for w in windows if w.target == name], voice):
            status = "partial"
    return status


def _give_back_unanswered(directory: RunDirectory, windows: list[Measured], voice: Voice) -> bool:
    """A target that answered once, and from some window on no request at all, has gone: those
    windows miss for another reason than their rate, and --resume measures them again.

    windows: of one target, in the order they were measured.
    """
    tallies = [w.sample.summary.counts for w in windows]
    answered = [k for k, own in enumerate(tallies) if own["failed"] < max(1, own["valid"])]
    silent = windows[answered[-1] + 1 :] if answered else []
    for window in silent:
        meta = window.sample.summary.meta
        reason = "no request was answered, nor any after it: is the target still up?"
        directory.add_point(meta.index, meta.label).update_meta(status="partial", reason=reason)
    if silent:
        meta = silent[0].sample.summary.meta
        voice.say(
            f"from {meta.label} on no request was answered: is the target still up? Those windows"
            " do not count; --resume measures them again"
        )
    return bool(silent)


def _with_lost(tried: dict[int, Tried], lost: Counter[int]) -> dict[int, Tried]:
    """Windows whose workers were lost count as void, or a target that kills them is asked for
    ever."""
    for rate, count in lost.items():
        known = tried.get(rate, Tried())
        tried[rate] = Tried(known.windows, known.num_void + count)
    return tried
