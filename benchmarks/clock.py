"""python -m benchmarks.clock [--streams 64,256,1024] [--seconds 6] [--json FILE] [--page FILE]

How well the client knows the time of a chunk: its stamps held against the scripted endpoint's own,
over plain TCP and TLS, with chunks spread over time and all on one grid of 20 ms. Each line of the
grid is what `harness doctor` does, with the real load process. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from harness.analysis.client_check import CheckedLoad, ClientCheck
from harness.cli._children import Child
from harness.cli._client_check import check_client, endpoint_script
from harness.cli._client_loads import ClientLoad
from harness.cli._interruption import Interruption
from harness.load import LoadProcess
from reports._client_tables import (
    KINDS,
    QUANTILES,
    cpu_text,
    quantile_texts,
    ratio_text,
    short,
)

LINES = ("plain", "TLS")
STEPS = (("spread", {}), ("20 ms grid", {"step": "20ms"}))
PACKAGES = ("locust", "gevent", "numpy", "pyarrow")
TOK_PER_S = 50.0
Cell = tuple[str, str, CheckedLoad]


def main() -> int:
    flags = _flags()
    loads = [ClientLoad(int(word), TOK_PER_S) for word in flags.streams.split(",")]
    load_before = os.getloadavg()[0]
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory() as folder:
        # before the load process starts: it trusts what its environment names
        os.environ["SSL_CERT_FILE"] = str(_authority(Path(folder)) / "ca.pem")
        with LoadProcess() as process, Interruption() as interruption:
            for line in LINES:
                for name, timing in STEPS:
                    with _endpoint(line == "TLS", Path(folder), timing) as url:
                        target = {"kind": "openai", "url": url}
                        check = check_client(
                            loads, flags.seconds, process, interruption, target=target
                        )
                    cells += [(line, name, load) for load in check.loads]
                    print(f"{line}, {name}: done", file=sys.stderr, flush=True)
    facts = machine(PACKAGES, load_before)
    page = _page(facts, cells)
    print(page)
    if flags.page:
        Path(flags.page).write_text(page, encoding="utf-8")
    if flags.json:
        rows = [
            {"line": line, "chunks": name} | ClientCheck((load,)).to_json()["loads"][0]
            for line, name, load in cells
        ]
        text = json.dumps({"machine": facts, "flags": vars(flags), "rows": rows}, indent=2)
        Path(flags.json).write_text(text + "\n", encoding="utf-8")
    return 0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clock")
    parser.add_argument("--streams", default="64,256,1024", help="loads, rising")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured time, all loads")
    parser.add_argument("--json", help="write every figure and the machine to this file")
    parser.add_argument("--page", help="write the tables as Markdown to this file")
    return parser.parse_args()


@contextmanager
def _endpoint(is_tls: bool, folder: Path, timing: dict[str, Any]) -> Iterator[str]:
    """The scripted endpoint as a process; gives its base URL."""
    script = json.dumps(endpoint_script(TOK_PER_S, **timing))
    command = ["harness.testing", "--port", "0", "--script", script]
    if is_tls:
        command += ["--tls-cert", str(folder / "server.pem")]
        command += ["--tls-key", str(folder / "server.key")]
    with Child(command, "the scripted endpoint") as child:
        yield child.base_url


def _authority(folder: Path) -> Path:
    """ca.pem, and server.pem and server.key for 127.0.0.1 signed by it."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n", encoding="ascii")
    for arguments in (
        ["req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
         "-subj", "/CN=benchmark authority"],
        ["req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=it"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
         "-CAcreateserial", "-out", "server.pem", "-days", "2", "-extfile", "ext"],
    ):  # fmt: skip
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    return folder


def _page(facts: dict[str, Any], cells: Sequence[Cell]) -> str:
    versions = ", ".join(f"{name} {found}" for name, found in facts["versions"].items())
    about = (
        f"Machine: {facts['num_cpus']} CPUs ({len(facts['usable_cpus'])} usable,"
        f" {facts['cpu']}), Linux {facts['kernel']}, Python {facts['python']}, {versions}."
        f" {facts['date']}. Load average {facts['load_average_before']:.1f} before the run,"
        f" {facts['load_average_after']:.1f} after it. Streams of {TOK_PER_S:g} tokens/s."
    )
    parts = [about, _costs(cells), _errors(cells)]
    return "\n\n".join(parts) + "\n"


def _costs(cells: Sequence[Cell]) -> str:
    heads = ("line", "chunks", "streams", "clean", "chunks/s arrived", "CPU a chunk", "CPU",
             "send lag p99", "receive lag p99", "uncertain")  # fmt: skip
    rows = []
    for line, name, load in cells:
        rows.append(
            (line, name, f"{load.streams:,}",
             "yes" if load.is_clean else "no: " + ", ".join(load.failed or {}),
             f"{load.achieved_chunks_per_s:,.0f} of {load.chunks_per_s:,.0f}", cpu_text(load),
             ratio_text(load.cpu_ratio), short(load.send_lag_p99_s),
             short(load.receive_lag_p99_s), ratio_text(load.uncertain_ratio))
        )  # fmt: skip
    return _table(heads, rows)


def _errors(cells: Sequence[Cell]) -> str:
    """Measured minus true; quantiles in one cell, p50 / p99 / p99.9 / max."""
    order = " / ".join(QUANTILES)
    heads = ("line", "chunks", "streams", "error of", "n", f"kernel stamps: {order}",
             f"user stamps: {order}")  # fmt: skip
    rows = []
    for line, name, load in cells:
        for kind, title in KINDS:
            kernel, user = getattr(load.kernel, kind), getattr(load.user, kind)
            texts = [" / ".join(quantile_texts(found)) for found in (kernel, user)]
            count = f"{kernel.n:,}" if kernel else "0"
            rows.append((line, name, f"{load.streams:,}", title, count, *texts))
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())
