"""make bench-load, or: python -m benchmarks.peers --tool aiperf=VENV --tool guidellm=VENV ...

The scripted endpoint driven by `harness run` and by installed releases of other load generators,
each as its users run it, in turn. Every figure a tool reports is held against the endpoint's own
log of exactly those requests; no clock of ours is part of the truth. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from benchmarks.endpoint import Endpoint
from benchmarks.machine import machine
from benchmarks.peer_tools.base import Driver, Job
from benchmarks.peer_tools.table import tables
from benchmarks.peer_tools.truth import errors_ms, truth_of

ROOT = Path(__file__).parents[1]
TOKENIZER = ROOT / "engine_under_test" / "weights" / "tiny"
WORD = " the"  # one token of that tokenizer: whoever counts text counts what the endpoint counts
OURS = ("ours", "ours-cold")
PEERS = ("aiperf", "guidellm", "genai-bench")
SETTLE_S = 30  # for the supervisor to end a tool that ran past its limit
MOST_REQUESTS = 4096


def main() -> int:
    flags = _flags()
    load_before = os.getloadavg()[0]
    _split_cpus(flags.endpoint_cpu)
    rows = []
    for num_streams in flags.levels:
        for name, venv in _tools(flags):
            row = _one(name, venv, num_streams, flags)
            rows.append(row)
            print(f"{num_streams:>5} streams  {row['tool']:<12} {_summary(row)}", file=sys.stderr)
            _save(flags, load_before, rows)
    print(tables(rows))
    print(_footer(machine(("locust", "gevent"), load_before), flags))
    # a peer that fails is a finding; ours failing is a fault
    ours = {_driver(name).TITLE for name in OURS}
    return 1 if any("failed" in row and row["tool"] in ours for row in rows) else 0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", epilog=_how_to_install())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--tool", action="append", default=[], type=_tool, metavar="NAME=VENV",
        help="a peer and the virtual environment it is installed in; may be repeated",
    )  # fmt: skip
    parser.add_argument("--peers-only", action="store_true", help="leave ours out of this run")
    parser.add_argument(
        "--levels", type=_numbers, default=[1, 64], help="concurrent streams, such as 1,64,256"
    )
    parser.add_argument("--requests", type=int, help="a level; default 16 a stream, 50 to 4,096")
    parser.add_argument("--tokens", type=int, default=32, help="of every answer, at least 2")
    parser.add_argument("--rate", type=float, default=50.0, help="tokens/s of each stream")
    parser.add_argument("--ttft", type=float, default=0.2, help="seconds, of every answer")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds a tool may take")
    parser.add_argument("--endpoint-cpu", type=int, help="keep this CPU for the endpoint alone")
    parser.add_argument("--keep", type=Path, help="folder for the tools' own exports")
    parser.add_argument("--json", type=Path, help="write every row and the machine to this file")
    return parser.parse_args()


def _tool(text: str) -> tuple[str, Path]:
    name, _, venv = text.partition("=")
    if name not in PEERS or not (Path(venv) / "bin" / name).exists():
        raise argparse.ArgumentTypeError(f"want NAME=VENV, NAME of {', '.join(PEERS)}: {text}")
    return name, Path(venv).absolute()


def _tools(flags: argparse.Namespace) -> list[tuple[str, Path]]:
    ours = [] if flags.peers_only else [(name, Path(sys.prefix)) for name in OURS]
    return ours + list(flags.tool)


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _how_to_install() -> str:
    lines = [
        f"  python3 -m venv V/{name} && V/{name}/bin/pip install {_driver(name).RELEASE}"
        for name in PEERS
    ]
    return "\n".join(["a virtual environment for each peer:", *lines])


def _driver(name: str) -> Driver:
    module = importlib.import_module(f"benchmarks.peer_tools.{name.replace('-', '_')}")
    return cast(Driver, module)


def _split_cpus(endpoint_cpu: int | None) -> None:
    """Children inherit it; the endpoint is then moved to its own CPU."""
    if endpoint_cpu is not None:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {endpoint_cpu})


def _one(name: str, venv: Path, num_streams: int, flags: argparse.Namespace) -> dict[str, Any]:
    """A fresh endpoint, one run of one tool, and its row."""
    driver = _driver(name)
    row: dict[str, Any] = {"tool": driver.TITLE, "num_streams": num_streams}
    script = {
        "timing": {"ttft": f"{flags.ttft}s", "gap": f"{1000 / flags.rate:.9g}ms"},
        "tokens": {"output": flags.tokens}, "chunks": {"text": WORD}, "log_requests": 2**20,
    }  # fmt: skip
    num_requests = flags.requests or min(max(50, 16 * num_streams), MOST_REQUESTS)
    with tempfile.TemporaryDirectory() as fresh, Endpoint(script, flags.endpoint_cpu) as endpoint:
        folder = Path(fresh) if flags.keep is None else flags.keep / f"{num_streams}-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        job = Job(
            endpoint.url, TOKENIZER, num_streams, num_requests, flags.tokens, flags.limit, folder
        )
        output = Path(fresh) / "output.txt"
        cost = _run(driver, job, venv, output)
        row |= cost
        if cost["timed_out"]:
            return row | {"failed": f"not done after {flags.limit:.0f} s"}
        try:
            return row | _judge(driver, job, endpoint.log())
        except (OSError, ValueError, KeyError, TypeError) as error:
            # no export, or not the format of the release: say why the tool stopped, if it did
            why = f"exit {cost['rc']}: {_last_line(output)}" if cost["rc"] else f"{error!r}"
            return row | {"failed": why}


def _run(driver: Driver, job: Job, venv: Path, output: Path) -> dict[str, Any]:
    """The tool under the supervisor, which says {rc, timed_out, wall_s, cpu_s}."""
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    # its own Python comes first for whatever it starts by name
    environment["PATH"] = f"{venv / 'bin'}{os.pathsep}{environment['PATH']}"
    result = output.with_name("cost.json")
    supervisor = Path(__file__).with_name("peer_tools") / "supervise.py"
    watched = [str(job.limit_s), str(result), str(output), *driver.command(job, venv)]
    subprocess.run(
        [sys.executable, "-P", str(supervisor), *watched],
        cwd=job.folder, env=environment | driver.environment(), check=True,
        timeout=job.limit_s + SETTLE_S,
    )  # fmt: skip
    cost: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return cost


def _judge(driver: Driver, job: Job, log: list[dict[str, Any]]) -> dict[str, Any]:
    reported = driver.read(job.folder)
    truth = truth_of(log, reported, job.num_tok)
    remarks = [reported.remark] if reported.remark else []
    if truth.num_requests != reported.num_requests:
        remarks.append(f"the endpoint's log has {truth.num_requests} of them")
    return {
        "num_requests": reported.num_requests, "num_served": truth.num_served,
        "error_ms": errors_ms(reported, truth), "true": asdict(truth),
        "reported": {name: getattr(reported, name) for name in ("ttft_s", "gap_s", "chunk_gap_s")},
        "computed": sorted(reported.computed), "remark": "; ".join(remarks),
    }  # fmt: skip


def _last_line(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").split("\n")
    told = [line.strip() for line in lines if line.strip(" \t\r─│╭╮╰╯")]
    return (told[-1] if told else "no output")[:160].replace("|", "/")


def _summary(row: dict[str, Any]) -> str:
    return str(row.get("failed") or f"{row['cpu_s']:.1f} s CPU, {row['num_requests']} requests")


def _save(flags: argparse.Namespace, load_before: float, rows: list[dict[str, Any]]) -> None:
    """After every row, so that a run cut short leaves what it found."""
    if flags.json is None:
        return
    said = {key: str(value) for key, value in vars(flags).items()}
    found = {"machine": machine(("locust",), load_before), "flags": said, "rows": rows}
    flags.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _footer(where: dict[str, Any], flags: argparse.Namespace) -> str:
    releases = ", ".join(str(_driver(name).RELEASE) for name, _ in flags.tool) or "no peers given"
    return (
        f"\n{where['date']}; {where['num_cpus']} CPUs (usable: {where['usable_cpus']}), "
        f"{where['cpu']}; Python {where['python']}; {releases}\n"
        f"True TTFT asked for: {1e3 * flags.ttft:g} ms, gap {1e3 / flags.rate:g} ms,"
        f" {flags.tokens} tokens an answer.\n"
        f"Endpoint and tools share this machine; load average {where['load_average_before']:.1f}"
        " before (above 0.5: others are at work, trust ratios and not digits)."
    )


if __name__ == "__main__":
    sys.exit(main())
