"""The spool keeps what was acknowledged: torn tails, corruption, a full disk, SIGKILL."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pyarrow as pa
import pytest

from harness.errors import UsageError
from harness.records import CLIENT_SCHEMA, REQUEST_SCHEMA, SpoolWriter, read_spool


def rows_of(table: pa.Table) -> list[int]:
    return table.column("row").to_pylist()


def test_batches_come_back_in_order(tmp_path, requests_batch, clients_batch) -> None:
    with SpoolWriter(tmp_path) as spool:
        spool.append_requests(requests_batch(0, 3))
        spool.append_clients(clients_batch(1))
        spool.append_requests(requests_batch(3, 2))
    found = read_spool(tmp_path)
    assert rows_of(found.requests) == [0, 1, 2, 3, 4]
    assert found.requests.schema.equals(REQUEST_SCHEMA)
    assert found.requests.column("chunk_ns")[4].as_py() == [4, 5]
    assert found.clients.column("t_ns").to_pylist() == [1]
    assert found.num_torn_bytes == 0


def test_no_spool_is_empty_tables(tmp_path) -> None:
    found = read_spool(tmp_path)
    assert (len(found.requests), len(found.clients), found.num_torn_bytes) == (0, 0, 0)
    assert found.clients.schema.equals(CLIENT_SCHEMA)


def test_a_tail_torn_anywhere_loses_only_its_frame(tmp_path, requests_batch) -> None:
    with SpoolWriter(tmp_path) as spool:
        spool.append_requests(requests_batch(0, 2))
        file = tmp_path / "spool" / "requests.frames"
        whole = file.stat().st_size
        spool.append_requests(requests_batch(2, 2))
    data = file.read_bytes()
    for cut in (
        whole,
        whole + 1,
        whole + 15,
        whole + 17,
        len(data) // 2 + whole // 2,
        len(data) - 1,
    ):
        file.write_bytes(data[:cut])
        found = read_spool(tmp_path)
        assert rows_of(found.requests) == [0, 1]
        assert found.num_torn_bytes == cut - whole


def test_a_corrupt_frame_leaves_its_neighbours(tmp_path, requests_batch) -> None:
    file = tmp_path / "spool" / "requests.frames"
    edges = []
    with SpoolWriter(tmp_path) as spool:
        for k in range(3):
            spool.append_requests(requests_batch(k, 1))
            edges.append(file.stat().st_size)
    data = bytearray(file.read_bytes())
    data[edges[0] + 40] ^= 0xFF
    file.write_bytes(data)
    found = read_spool(tmp_path)
    assert rows_of(found.requests) == [0, 2]
    assert found.num_torn_bytes == edges[1] - edges[0]


def test_writing_resumes_after_a_torn_tail(tmp_path, requests_batch) -> None:
    with SpoolWriter(tmp_path) as spool:
        spool.append_requests(requests_batch(0, 1))
    file = tmp_path / "spool" / "requests.frames"
    file.write_bytes(file.read_bytes() + b"HSP1 half a frame")
    with SpoolWriter(tmp_path) as spool:
        spool.append_requests(requests_batch(1, 1))
    found = read_spool(tmp_path)
    assert rows_of(found.requests) == [0, 1]
    assert found.num_torn_bytes == len(b"HSP1 half a frame")


def test_batches_of_an_older_schema_are_read(tmp_path) -> None:
    """Missing columns null, narrower types widened, unknown columns ignored."""
    old = pa.RecordBatch.from_pydict(
        {"row": pa.array([5], pa.int32()), "phase": ["measured"], "of_the_future": [1.5]}
    )
    with SpoolWriter(tmp_path) as spool:
        spool.append_requests(old)
    table = read_spool(tmp_path).requests
    assert table.schema.equals(REQUEST_SCHEMA)
    assert table.to_pylist()[0] | {"row": 5, "end_ns": None} == table.to_pylist()[0]
    assert "of_the_future" not in table.column_names


def test_a_full_disk_is_a_clear_fault_and_keeps_what_was_written(tmp_path) -> None:
    """A real limit on the file's size stands for the full disk: write() fails half way."""
    script = """
        import resource, sys
        from pathlib import Path
        import pyarrow as pa
        from harness.errors import UsageError
        from harness.records import SpoolWriter
        batch = pa.RecordBatch.from_pydict({"row": pa.array(range(4000), pa.int64())})
        spool = SpoolWriter(Path(sys.argv[1]))
        spool.append_requests(batch)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            spool.append_requests(batch)
        except UsageError as error:
            print(error.render())
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        spool.append_requests(batch.slice(0, 5))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "error: the disk is full" in done.stdout
    assert str(tmp_path / "spool" / "requests.frames") in done.stdout
    found = read_spool(tmp_path)
    assert len(found.requests) == 4005
    assert found.num_torn_bytes == 0


def test_no_space_for_the_spool_itself_is_a_clear_fault(tmp_path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    with pytest.raises(UsageError) as caught:
        SpoolWriter(tmp_path)
    assert str(tmp_path / "spool") in caught.value.render()
    assert caught.value.do


NURSERY = """
import os, sys
from pathlib import Path
import pyarrow as pa
from harness.records import SpoolWriter

def append(folder):
    acknowledged = os.open(folder / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with SpoolWriter(folder) as spool:
        for k in range(10_000):
            row = pa.array([k] * 50, pa.int64())
            spool.append_requests(pa.RecordBatch.from_pydict({"row": row}))
            os.write(acknowledged, b"%d " % k)  # only after the append returned

for line in sys.stdin:
    folder = Path(line.strip())
    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        append(folder)
        os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print("gone", flush=True)
"""


def test_every_acknowledged_batch_survives_sigkill(tmp_path) -> None:
    """Ten children, killed at random moments while they append as fast as they can; forked, so that
    libraries are imported once."""
    rng = random.Random(11)
    survived = 0
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for attempt in range(10):
            folder = tmp_path / str(attempt)
            print(folder, file=nursery.stdin, flush=True)
            pid = int(nursery.stdout.readline())
            told = folder / "acknowledged"
            try:
                while not (told.exists() and told.read_bytes()):
                    time.sleep(0.001)
                time.sleep(rng.random() * 0.02)
            finally:
                os.kill(pid, signal.SIGKILL)
            assert nursery.stdout.readline() == "gone\n"
            acknowledged = [int(k) for k in told.read_text().split(" ")[:-1]]
            rows = rows_of(read_spool(folder).requests)
            assert rows[: 50 * len(acknowledged)] == [k for k in acknowledged for _ in range(50)]
            # at most one batch more: written, and killed before it could be told
            assert len(rows) <= 50 * (len(acknowledged) + 1)
            survived += len(acknowledged)
        nursery.stdin.close()
    assert survived > 10


@pytest.mark.parametrize("name", ["workers.json", "spool/requests.frames"])
def test_a_file_beside_the_frames_that_cannot_be_read_is_named(tmp_path, name: str) -> None:
    SpoolWriter(tmp_path).close()
    (tmp_path / name).unlink(missing_ok=True)
    if name == "workers.json":
        (tmp_path / name).write_text("[{")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="records cannot be read") as error:
        read_spool(tmp_path)
    assert name in error.value.where
