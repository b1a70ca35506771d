"""The files of one point, written at the master: rows as they come, its stages, its workers.

Rows are spooled as their worker sent them, on its axis; workers.json beside them tells how to put
them on the master's. What has been written is told batch by batch, and only after fsync.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
from gevent.queue import Queue

from harness.errors import HarnessError
from harness.load.roster import Member
from harness.load.rows import client_batch, from_bytes
from harness.records import SpoolWriter, write_workers

Key = tuple[int, int]  # of a batch: its shard, its number there
_STAGE = ("index", "name", "t0_ns", "t1_ns", "load_end_ns", "start_ns")


class PointWriter:
    """One greenlet that writes; fsync runs in a native thread, so that the hub goes on.

    acknowledge(key): a batch is on disk, or was before.  refuse(reason): the disk takes no more;
    batches that follow are dropped, and acknowledged so that nobody waits for them.
    num_rows: requests on disk.
    """

    def __init__(
        self, folder: Path, acknowledge: Callable[[Key], None], refuse: Callable[[str], None]
    ) -> None:
        self.num_rows = 0
        self._folder, self._acknowledge, self._refuse = folder, acknowledge, refuse
        self._spool: SpoolWriter | None = None
        self._queue: Queue = Queue()
        self._greenlet = gevent.spawn(self._write)

    def open(self) -> None:
        """Begin the spool. Raises HarnessError, OSError."""
        self._spool = SpoolWriter(self._folder)

    def put_requests(self, key: Key, data: dict[str, Any] | None) -> None:
        """A batch that came; None: one that came before, and is acknowledged again."""
        self._queue.put((key, data))

    def put_client(self, row: dict[str, Any]) -> None:
        """A worker's second of its own health."""
        self._queue.put((None, {"row": row}))

    def settle(self) -> None:
        """Return once all that came is on disk, or refused."""
        self._queue.put(None)
        self._greenlet.join()

    def close(self) -> None:
        self._greenlet.kill()
        if self._spool is not None:
            self._spool.close()

    def _write(self) -> None:
        is_full = False
        while (item := self._queue.get()) is not None:
            key, data = item
            if data is not None and not is_full:
                try:
                    gevent.get_hub().threadpool.apply(self._append, (data,))
                    self.num_rows += data.get("rows", 0)
                except (HarnessError, OSError) as error:
                    is_full = True
                    self._refuse(words_of(error))
            if key is not None:
                self._acknowledge(key)

    def _append(self, data: dict[str, Any]) -> None:
        assert self._spool is not None
        if "row" in data:
            self._spool.append_clients(client_batch([data["row"]]))
            return
        self._spool.append_requests(from_bytes(data["raw"]))
        if data["samples"]:
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in data["samples"]]
            with open(self._folder / "samples.jsonl", "a", encoding="utf-8") as file:
                file.writelines(lines)

    def write_stages(self, stages: Sequence[dict[str, Any]]) -> None:
        """stages.json, replaced as a whole: a killed run has the stages that began. Raises
        OSError."""
        rows = [{name: s[name] for name in _STAGE} for s in stages if "start_ns" in s]
        path = self._folder / "stages.json"
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        os.replace(draft, path)

    def write_workers(self, members: Sequence[Member]) -> None:
        """workers.json, a row a shard. Raises HarnessError, OSError."""
        write_workers(self._folder, [_facts(member) for member in members])


def _facts(member: Member) -> dict[str, Any]:
    """A row of workers.json; hosts are told apart, not named."""
    clock, facts = member.clock, member.facts
    assert clock is not None
    return {
        "shard": member.shard,
        "is_remote": member.is_remote,
        "host_sha256": facts.host_sha256,
        "cores": facts.cores,
        "descriptors": facts.descriptors,
        "has_kernel_stamps": facts.has_kernel_stamps,
        "versions": facts.versions,
        "offset_ns": clock.start.offset_ns,
        "at_ns": clock.start.at_ns,
        "end_offset_ns": clock.end.offset_ns if clock.end else None,
        "end_at_ns": clock.end.at_ns if clock.end else None,
        "uncertainty_ns": clock.uncertainty_ns,
        "drift_ppm": clock.drift_ppm,
        "sure_drift_ppm": clock.surely_drifts_ppm,
    }


def words_of(error: HarnessError | OSError) -> str:
    """An error in one line, as the reason of a point's end."""
    if isinstance(error, HarnessError):
        return f"{error.what}: {error.where}" if error.where else error.what
    return str(error)
