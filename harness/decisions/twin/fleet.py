"""Replicas behind a router, and the memory the kernel works in."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import layout
from .layout import BLOCK, fits_ever, limits_record, replica_records, request_records
from .model import Deployment, StepModel
from .outcome import Outcome
from .requests import IntArray, Requests

Router = Literal["round_robin", "sticky", "least_loaded", "two_choices", "prefix_aware"]
ROUTERS: dict[Router, int] = {
    "round_robin": layout.ROUND_ROBIN,
    "sticky": layout.STICKY,
    "least_loaded": layout.LEAST_LOADED,
    "two_choices": layout.TWO_CHOICES,
    "prefix_aware": layout.PREFIX_AWARE,
}


class Fleet:
    """Replicas in the middle of a simulation, numbered from 0 in the order of their start."""

    def __init__(
        self, model: StepModel, deployment: Deployment, requests: Requests,
        *, num_replicas: int, router: Router, seed: int = 0,
    ) -> None:  # fmt: skip
        if router not in ROUTERS:
            raise ValueError(f"router {router!r} is not one of {', '.join(ROUTERS)}")
        if router == "sticky" and requests.session is None:
            raise ValueError("router 'sticky' needs requests with a session")
        self.requests, self.router = requests, ROUTERS[router]
        self.fits = fits_ever(deployment, requests)
        self.rows = request_records(requests)
        self.replicas = replica_records(num_replicas)
        self._limits = limits_record(model, deployment, requests)
        self._room = np.zeros((num_replicas, 3, deployment.max_batch), np.int64)
        self._start, self._ids = np.zeros(len(requests) + 1, np.int64), np.zeros(0, np.int64)
        num_ids = 0
        if self._limits["shared_tok"][0]:
            assert requests.blocks is not None
            names, ids = np.unique(requests.blocks.ids, return_inverse=True)
            num_ids = len(names)
            self._ids = np.ascontiguousarray(ids, np.int64)
            self._start = np.ascontiguousarray(requests.blocks.start, np.int64)
        self._tables = np.zeros((num_replicas, num_ids), BLOCK)
        self._is_held = np.zeros(len(self._ids), np.uint8)
        self._session = np.zeros(0, np.int64) if requests.session is None else requests.session
        self._draws = np.zeros((1, 2))
        if router == "two_choices":
            self._draws = np.random.default_rng(seed).random((max(len(requests), 1), 2))

    def serve(self, arriving: IntArray, is_open: IntArray, until_s: float) -> None:
        """Route who arrives among the open replicas, then advance all to until_s.

        arriving: request numbers in order of `rows["enter_s"]`, none after until_s.
        """
        from .kernel import serve

        serve(
            self._limits, self.replicas, self.rows, self._room,
            self._tables, self._start, self._ids, self._is_held,
            arriving, is_open, self.router, self._session, self._draws, until_s,
        )  # fmt: skip

    def add_replica(self) -> int:
        """The number of a new replica, empty. Its table of blocks may have been another's."""
        number = len(self.replicas)
        free = sorted(set(range(len(self._tables))) - set(self.replicas["table"].tolist()))
        self.replicas = np.concatenate([self.replicas, replica_records(1)])
        self._room = _with_one_more(self._room)
        if not free:
            free = [len(self._tables)]
            self._tables = _with_one_more(self._tables)
        self._tables[free[0]] = 0
        self.replicas["table"][number] = free[0]
        return number

    def remove_replica(self, number: int) -> None:
        """An empty replica's cache is forgotten; its figures stay."""
        assert self.replicas["num_present"][number] == 0, "a replica with requests cannot go"
        self.replicas["table"][number] = layout.NONE

    def outcome(self) -> Outcome:
        return Outcome.of(self.requests, self.rows, self.replicas)


def _with_one_more(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([rows, np.zeros((1, *rows.shape[1:]), rows.dtype)])


def simulate(model: StepModel, deployment: Deployment, requests: Requests) -> Outcome:
    """Serve all requests on one replica, first come first served.

    Requests that could never fit the KV cache are refused on arrival, as the engine does. The first
    call on a machine compiles (seconds; kept on disk). Frees the GIL.
    """
    return simulate_fleet(model, deployment, requests, replicas=1)


def simulate_fleet(
    model: StepModel, deployment: Deployment, requests: Requests,
    *, replicas: int, router: Router = "round_robin", seed: int = 0,
) -> Outcome:  # fmt: skip
    """Serve all requests on replicas >= 1 of a kind.

    round_robin: in turns.  sticky: by session, modulo replicas.  least_loaded: fewest requests
    waiting or running.  two_choices: the less loaded of two drawn from seed.  prefix_aware: fewest
    tokens to compute before its answer begins, its own uncached ones included, plus tokens in the
    KV cache of running sequences (what NVIDIA Dynamo's router weighs, at its default weight).
    Loads and caches are those at the instant of the arrival; ties go to the first.
    Raises ValueError on an unknown router, and on `sticky` without sessions.
    """
    if replicas < 1:
        raise ValueError(f"{replicas} replicas; at least one is needed")
    fleet = Fleet(model, deployment, requests, num_replicas=replicas, router=router, seed=seed)
    fleet.serve(np.flatnonzero(fleet.fits), np.arange(replicas), np.inf)
    return fleet.outcome()
