"""python -m benchmarks.agreement [--requests 100] [--rate 5] [--tokens 32] [--json FILE]

Do three parties agree on the same times? `harness run` drives `constant_server`, which notes when
it got each request and sent each token; then `plain_client` asks the same server. Printed: medians
of TTFT and of the gaps between tokens by each client, by the server's stamps of the same requests,
and the difference. The two sides are separate processes that share the kernel's clock and no code.
Exit 1 where harness and server are more than 50 us apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from benchmarks.machine import machine
from benchmarks.plain_client import Seen, ask

ROOT = Path(__file__).parents[1]
BAR_S = 50e-6  # harness and server agree within this on loopback
FROM_SEND, FROM_INTENDED, GAP = "TTFT from the send", "TTFT from the intended send", "gap"
SCENARIO = """\
schema: harness/v1
name: agreement
targets:
  main: {{kind: openai, url: "http://127.0.0.1:{port}/v1"}}
traffic:
  - name: chat
    workload:
      kind: chat
      input_tokens: {{kind: fixed, value: 30}}
      output_tokens: {{kind: fixed, value: {num_tok}}}
load: {{kind: open, arrival: {{kind: constant}}, rate: {rate:g}/s, requests: {num_requests},
       warmup: {warmup_s:g}s, cooldown: 10s, drain: 10s}}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity of one client: medians over the same requests, seconds.

    error_s: median of measured - true of each request or gap, which no shape of the distribution
    can hide.  said_s: what the harness's own summary says, None for the plain client.
    """

    client: str
    quantity: str
    n: int
    measured_s: float
    true_s: float
    error_s: float
    said_s: float | None = None

    @property
    def difference_s(self) -> float:
        return self.measured_s - self.true_s


@dataclass(frozen=True, slots=True)
class Agreement:
    """lines, and how many requests either side saw: of the harness's load and of the client."""

    exit_code: int
    num_load: int
    num_load_served: int
    num_plain: int
    lines: tuple[Line, ...]


class ConstantServer:
    """`constant_server` as a process of its own; runs while its block does."""

    def __init__(self, stamps: Path, ttft_s: float, gap_s: float) -> None:
        self._stamps = stamps
        command = [sys.executable, "-m", "benchmarks.constant_server", str(stamps)]
        self._process = subprocess.Popen(
            [*command, "--ttft", str(ttft_s), "--gap", str(gap_s)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def answers(self) -> dict[str, dict[str, Any]]:
        """Its own account so far, by request id."""
        rows = [json.loads(line) for line in self._stamps.read_text("ascii").splitlines()]
        return {row["request_id"]: row for row in rows}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=5)
        self._process.kill()
        self._process.wait()


def agreement(
    folder: Path, *, num_requests: int, rate: float, num_tok: int, num_plain: int,
    ttft_s: float = 0.1, gap_s: float = 0.02, warmup_s: float = 2.0,
) -> Agreement:  # fmt: skip
    """Both clients in turn, on one server. folder: for the scenario and its run."""
    with ConstantServer(folder / "stamps.jsonl", ttft_s, gap_s) as server:
        text = SCENARIO.format(
            port=server.port, num_tok=num_tok, rate=rate, num_requests=num_requests,
            warmup_s=warmup_s,
        )  # fmt: skip
        (folder / "agreement.yaml").write_text(text, encoding="ascii")
        command = [sys.executable, "-c", "from harness.cli import main; main()"]
        done = subprocess.run(
            [*command, "run", "agreement.yaml"], cwd=folder, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=600,
        )  # fmt: skip
        run = folder / "runs" / "latest"
        if not run.exists():
            raise RuntimeError(f"harness run left nothing (exit {done.returncode}): {done.stderr}")
        plain = ask(server.port, num_plain, num_tok)
        answers = server.answers
    rows = _measured(run)
    true = [answers[row["request_id"]] for row in rows]
    num_served = sum(name.startswith(rows[0]["run_id"]) for name in answers) if rows else 0
    lines = (*_of_harness(rows, true, _said(run)), *_of_client(plain, answers))
    return Agreement(done.returncode, len(_all_rows(run)), num_served, len(plain), lines)


def _all_rows(run: Path) -> list[dict[str, Any]]:
    (path,) = (run / "points").glob("*/requests.parquet")
    return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]


def _measured(run: Path) -> list[dict[str, Any]]:
    rows = _all_rows(run)
    return [row for row in rows if row["phase"] == "measured" and not row["error_class"]]


def _said(run: Path) -> dict[str, float | None]:
    """Medians over successes that the summary tells; None where it withholds one."""
    (point,) = json.loads((run / "summary.json").read_text("utf-8"))["points"]
    return {
        row["metric"]: row["value"]
        for row in point["estimates"]
        if row["stat"] == "p50" and row["scope"] == "all" and row["population"] != "valid"
    }


def _of_harness(
    rows: Sequence[dict[str, Any]], true: Sequence[dict[str, Any]], said: dict[str, float | None]
) -> list[Line]:
    first = _column(row["first_token_ns"] for row in rows)
    sent = _column(row["sent_ns"] for row in rows)
    intended = _column(row["intended_ns"] for row in rows)
    real = _ttft(true)
    gaps, real_gaps = _gaps([r["chunk_ns"] for r in rows]), _gaps([t["send_ns"] for t in true])
    return [
        _line("harness", FROM_SEND, first - sent, real, said.get("ttft_service")),
        _line("harness", FROM_INTENDED, first - intended, real, said.get("ttft")),
        _line("harness", GAP, gaps, real_gaps, said.get("icl")),
    ]


def _of_client(plain: Sequence[Seen], answers: dict[str, dict[str, Any]]) -> list[Line]:
    true = [answers[seen.request_id] for seen in plain]
    ttft = _column(seen.token_ns[0] - seen.sent_ns for seen in plain)
    gaps = _gaps([seen.token_ns for seen in plain])
    return [
        _line("plain client", FROM_SEND, ttft, _ttft(true)),
        _line("plain client", GAP, gaps, _gaps([row["send_ns"] for row in true])),
    ]


def _line(
    client: str, quantity: str, measured: npt.NDArray[Any], true: npt.NDArray[Any],
    said: float | None = None,
) -> Line:  # fmt: skip
    middle, real, error = (float(np.median(ns)) / 1e9 for ns in (measured, true, measured - true))
    return Line(client, quantity, len(measured), middle, real, error, said)


def _column(values: Any) -> npt.NDArray[Any]:
    return np.array(list(values), dtype=np.int64)


def _ttft(true: Sequence[dict[str, Any]]) -> npt.NDArray[Any]:
    return _column(row["send_ns"][0] - row["recv_ns"] for row in true)


def _gaps(stamps: Sequence[Sequence[int]]) -> npt.NDArray[Any]:
    return np.concatenate([np.diff(np.array(row, dtype=np.int64)) for row in stamps])


def table(found: Agreement) -> str:
    """For people: milliseconds, and microseconds where things differ."""
    heads = ("client", "quantity", "n", "measured", "server's stamps", "difference",
             "error of the median one", "summary says")  # fmt: skip
    rows = [
        (line.client, line.quantity, f"{line.n:,}", f"{line.measured_s * 1e3:.4f} ms",
         f"{line.true_s * 1e3:.4f} ms", f"{line.difference_s * 1e6:+.1f} us",
         f"{line.error_s * 1e6:+.1f} us",
         "" if line.said_s is None else f"{line.said_s * 1e3:.4f} ms")
        for line in found.lines
    ]  # fmt: skip
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rate", type=float, default=5.0, help="requests/s of the harness's load")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--plain", type=int, default=30, help="requests of the plain client")
    parser.add_argument("--json", help="write every figure and the machine to this file")
    flags = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = agreement(
            Path(folder), num_requests=flags.requests, rate=flags.rate, num_tok=flags.tokens,
            num_plain=flags.plain,
        )  # fmt: skip
    facts = machine(("locust", "gevent", "numpy"), load_before)
    print(table(found))
    print(
        f"\nharness run ended with {found.exit_code}; {found.num_load} requests in its records,"
        f" {found.num_load_served} in the server's, {found.num_plain} of the plain client."
        f" {facts['num_cpus']} CPUs ({facts['cpu']}), load average {load_before:.1f} before."
    )
    if flags.json:
        text = json.dumps({"machine": facts, "flags": vars(flags), **asdict(found)}, indent=2)
        Path(flags.json).write_text(text + "\n", encoding="utf-8")
    # from the intended send our own lateness counts, which is no disagreement about the server
    judged = [x for x in found.lines if x.client == "harness" and x.quantity != FROM_INTENDED]
    apart = [line for line in judged if abs(line.difference_s) > BAR_S]
    for line in apart:
        print(f"{line.quantity}: more than {BAR_S * 1e6:.0f} us apart")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
