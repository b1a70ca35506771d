"""One replica, all requests known beforehand."""

from __future__ import annotations

import numpy as np

from .layout import (
    NONE,
    fits_ever,
    limits_record,
    outcome_of,
    replica_records,
    request_records,
    totals_of,
)
from .model import Deployment, StepModel
from .outcome import Outcome
from .requests import Requests


def simulate(model: StepModel, deployment: Deployment, requests: Requests) -> Outcome:
    """Serve all requests on one replica, first come first served.

    Requests that could never fit the KV cache are refused on arrival, as the engine does.
    Raises nothing that its arguments' own checks do not. Compiles once a machine (seconds), kept on
    disk; frees the GIL.
    """
    from .kernel import run_to_end

    fits = fits_ever(deployment, requests)
    rows, replicas = request_records(requests), replica_records(1)
    line = np.flatnonzero(fits)
    rows["behind"][line[:-1]] = line[1:]
    if len(line):
        replicas["first"], replicas["last"] = line[0], line[-1]
    room = np.full((1, deployment.max_batch), NONE, np.int64)
    run_to_end(limits_record(model, deployment), replicas, rows, room, room.copy())
    return outcome_of(requests, rows, fits, totals_of(replicas))
