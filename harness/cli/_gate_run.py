"""A gate being measured: block after block until a look decides, the blocks run out, or the user
ends it. Each run of an endpoint that is ours gets a fresh process, alone on this machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from harness.cli._endpoints import Endpoints
from harness.cli._gate import ArmRun, as_blocks, compare_arms, read_arm, result_of
from harness.cli._interruption import Interruption
from harness.cli._job import Job
from harness.cli._options import Voice
from harness.cli._run import measure_next
from harness.decisions.gate import is_decided, sort_blocks
from harness.decisions.looks import plan_looks
from harness.decisions.wording import counted
from harness.load import LoadProcess
from harness.records import PointDirectory, PointRecords, RunDirectory, RunStatus
from harness.scenario import Point
from harness.scenario.expand import spare_blocks
from harness.scenario.gate import Gate


class _Watch:
    """The blocks so far, and whether more would change anything."""

    def __init__(self, job: Job, gate: Gate, voice: Voice) -> None:
        self._document, self._gate, self._voice = job.loaded.document, gate, voice
        self._arms: list[ArmRun] = []
        self._num_runs = 0
        self.is_over = False

    def add(self, points: Sequence[Point], folders: Sequence[PointDirectory]) -> None:
        """One more block: both of its runs, or the candidate's alone."""
        for point, folder in zip(points, folders, strict=True):
            records = PointRecords(folder.path, folder.index, folder.label)
            self._arms.append(read_arm(point, records))
        if self._gate.baseline.kind != "target":
            self._num_runs += all(
                s.summary.is_valid for s in self._arms[-1].stages.values()
            )  # fmt: skip
            self.is_over = self._num_runs >= self._gate.blocks
            return
        self._look()

    def _look(self) -> None:
        blocks = as_blocks(self._gate, self._arms)
        sound, discarded = sort_blocks(self._gate, blocks)
        if discarded and discarded[-1][0] == blocks[-1].index:
            self._voice.say(f"block {blocks[-1].index + 1} does not count: {discarded[-1][1]}")
            # two of the first three are no fate yet: over only where no end could mend the share
            self.is_over = len(discarded) > spare_blocks(self._gate)
            return
        looks = plan_looks(self._gate)
        look = next((look for look in looks if look.k == len(sound)), None)
        if look is not None:
            # as the end will judge it, but for what only the end knows: calibration, machine
            result = result_of(compare_arms(self._gate, self._document, self._arms, {}, look))
            after = counted(look.k, "block")
            self._voice.say(f"look after {after} at alpha {look.alpha:.3g}: {result.outcome}")
            self.is_over = is_decided(result) or look is looks[-1]


def measure_gate(
    job: Job,
    directory: RunDirectory,
    endpoints: Endpoints,
    load: LoadProcess,
    interruption: Interruption,
    voice: Voice,
) -> RunStatus:
    """Blocks in order; a block of which only one run stands is measured again as a whole."""
    gate = job.loaded.document.gate
    assert gate is not None
    watch = _Watch(job, gate, voice)
    missing = {point.index for point in job.missing}
    for _, group in groupby(job.points, key=lambda point: point.repeat):
        block = list(group)
        if watch.is_over:
            break
        for point in block if any(p.index in missing for p in block) else ():
            done = measure_next(
                job, directory, point, endpoints, load, interruption, voice, is_fresh=True
            )
            if done is None or done.status == "interrupted":
                return "interrupted"
        watch.add(block, [directory.add_point(p.index, p.label) for p in block])
    return "complete"
