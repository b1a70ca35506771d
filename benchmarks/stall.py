"""python -m benchmarks.stall [--repeats 5]

How long others wait while the reference engine takes in a huge body. One client reads a stream of
tokens; another posts ten megabytes of JSON of one kind or another. The figure is the longest gap
between two tokens while the body was on its way and being answered, beside the longest gap of an
equally long time without it. Median over the repeats, and the worst.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise

from benchmarks.machine import machine

USER = [{"role": "user", "content": "Tell me a tale."}]
QUIET_S = 0.5
BODIES: dict[str, tuple[str, bytes]] = {
    name: (path, body if isinstance(body, bytes) else json.dumps(body).encode())
    for name, path, body in (
        ("one text", "completions", {"prompt": "word " * 2_000_000}),
        ("200,000 messages", "chat/completions", {"messages": USER * 200_000}),
        ("one million token ids", "completions", {"prompt": [1234] * 1_000_000}),
        ("300,000 fields", "chat/completions", {f"field{n}": n for n in range(300_000)}),
        ("five million zeros", "completions", b'{"prompt":[' + b"0," * 5_000_000 + b"0]}"),
        ("three million lists", "completions", b'{"prompt":[' + b"[]," * 3_300_000 + b"[]]}"),
        ("a text of escapes", "completions", b'{"prompt":"' + rb"\u00fc" * 1_600_000 + b'"}'),
    )
}  # fmt: skip


class Reader(threading.Thread):
    """Reads one endless stream and keeps when its events came."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.times_s = port, [time.perf_counter()]
        self.is_over = False

    def run(self) -> None:
        body = {"messages": USER, "stream": True, "ignore_eos": True, "max_tokens": 8000}
        while not self.is_over:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            connection.request("POST", "/v1/chat/completions", json.dumps(body))
            reply = connection.getresponse()
            while not self.is_over and (line := reply.readline()):
                if line.startswith(b"data"):
                    self.times_s.append(time.perf_counter())
            connection.close()

    def longest_gap_ms(self, begin_s: float, end_s: float) -> float:
        """Between two events of which the later one came within."""
        times = self.times_s
        gaps = [b - a for a, b in pairwise(times) if begin_s <= b <= end_s]
        return 1e3 * max(gaps, default=end_s - begin_s)


def post(port: int, path: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", f"/v1/{path}", body, {"content-type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args(argv)
    command = [sys.executable, "-m", "engine_under_test", "serve", "--model", "tiny", "--port", "0"]
    load_before = os.getloadavg()[0]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().split(":")[-1].split("/")[0])
        reader = Reader(port)
        reader.start()
        time.sleep(2)
        print("| body | MB | status | longest gap, ms: median (worst) | without it |")
        print("| --- | ---: | --- | ---: | ---: |")
        for name, (path, body) in BODIES.items():
            with_body, without, status = [], [], 0
            for _ in range(args.repeats):
                begin_s = time.perf_counter()
                status = post(port, path, body)
                end_s = time.perf_counter()
                time.sleep(QUIET_S)  # a gap that the body began may end a little later
                with_body.append(reader.longest_gap_ms(begin_s, end_s + 0.1))
                quiet_s = time.perf_counter()
                time.sleep(end_s - begin_s + 0.1)
                without.append(reader.longest_gap_ms(quiet_s, time.perf_counter()))
            print(
                f"| {name} | {len(body) / 1e6:.1f} | {status} | "
                f"{statistics.median(with_body):.0f} ({max(with_body):.0f}) | "
                f"{statistics.median(without):.0f} ({max(without):.0f}) |",
                flush=True,
            )
        reader.is_over = True
        server.terminate()
    print(machine(("pydantic_core",), load_before))
    return 0


if __name__ == "__main__":
    sys.exit(main())
