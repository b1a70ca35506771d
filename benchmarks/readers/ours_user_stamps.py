"""Our wire again, judged by the stamps its own code takes: what kernel stamps are worth."""

from __future__ import annotations

from benchmarks.readers import ours
from benchmarks.readers.job import Job, Stream


class _NoKernel(ours.Axis):
    def map(self, kernel_ns, user_ns):  # type: ignore[no-untyped-def]
        return super().map(0 * kernel_ns, user_ns)


def read(job: Job) -> list[Stream]:
    ours.Axis = _NoKernel  # type: ignore[misc]
    return ours.read(job)
