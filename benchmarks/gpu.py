"""python -m benchmarks.gpu --out FOLDER [--minutes 12] [--rehearse] [--check-machine]

The reference engine on one GPU: correctness, the card's two ceilings, and everything else as a
share of them. One command on a fresh machine; no set-up but PYTHONPATH=. and what --check-machine
names. Stages run in order of worth, each in a process of its own, for at most 8 minutes and for
what is left of --minutes. Every point is kept as soon as it is measured, and the same command goes
on where it was stopped. Leaves FOLDER/results.json and results.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu_stages.base import FULL, TOY, Context

ROOT = Path(__file__).parents[1]
MAX_STAGE_S = 480.0
GRACE_S = 20.0  # beyond its limit a stage is ended


class Stage(NamedTuple):
    """least_s: with less time left it is not begun."""

    name: str
    least_s: float
    run: Callable[[Context], None]


def stages() -> list[Stage]:
    """By worth: what the bars need first."""
    from benchmarks.gpu_stages import (
        ceilings,
        correctness,
        decode,
        prefill,
        rival,
        serve,
        speculation,
    )

    return [
        Stage("correctness", 20, correctness.run),
        Stage("ceilings", 10, ceilings.run),
        Stage("decode-8b", 40, lambda ctx: decode.run(ctx, "llama-8b")),
        Stage("prefill-8b", 30, lambda ctx: prefill.run(ctx, "llama-8b")),
        Stage("serve-8b", 120, lambda ctx: serve.run(ctx, "llama-8b")),
        Stage("transformers-8b", 60, lambda ctx: rival.run(ctx, "llama-8b")),
        Stage("speculation-8b", 40, lambda ctx: speculation.run(ctx, "llama-8b")),
        Stage("decode-1b", 30, lambda ctx: decode.run(ctx, "llama-1b")),
        Stage("decode-8b-fp8", 30, lambda ctx: decode.run(ctx, "llama-8b", "fp8")),
        Stage("prefill-1b", 30, lambda ctx: prefill.run(ctx, "llama-1b")),
        Stage("correctness-wide", 60, correctness.run_wide),
        Stage("speculation-1b", 30, lambda ctx: speculation.run(ctx, "llama-1b")),
    ]


def main() -> int:
    args = _parser().parse_args()
    if args.child:
        return _child(args)
    from benchmarks.gpu_stages import check

    if args.check_machine:
        print(check.report())
        return 0
    if check.about()["gpu"] == "none" and not args.rehearse:
        print("error: there is no GPU here\n  do: add --rehearse to run everything at toy sizes")
        return 2
    return _run_all(args)


def _run_all(args: argparse.Namespace) -> int:
    from benchmarks.gpu_stages import check, report

    args.out.mkdir(parents=True, exist_ok=True)
    end_s = time.monotonic() + 60 * args.minutes
    command = "python -m benchmarks.gpu " + " ".join(sys.argv[1:])
    not_run: list[dict[str, str]] = []
    head: dict[str, Any] = {
        "command": command, "is_rehearsal": args.rehearse, "not_run": not_run,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "about": check.about(),
    }  # fmt: skip
    for stage in stages():
        if args.stages and stage.name not in args.stages.split(","):
            continue
        left_s = min(MAX_STAGE_S, end_s - time.monotonic() - GRACE_S)
        if left_s < stage.least_s and not args.rehearse:
            not_run.append({"stage": stage.name, "why": f"{max(0, left_s):.0f} s were left"})
        else:
            why = _spawn(args, stage.name, left_s)
            if why:
                not_run.append({"stage": stage.name, "why": why})
        as_json, as_page = report.write(args.out, head)  # whatever happens to the next stage
    print(f"\n{as_json}\n{as_page}")
    points = {f.stem: report.read_points(f) for f in args.out.glob("*.jsonl")}
    for bar in report.told_bars(head, points):
        print(
            f"{ {True: 'met', False: 'NOT MET', None: 'open'}[bar.is_met]:8}{bar.asked}: {bar.seen}"
        )
    return 0


def _spawn(args: argparse.Namespace, stage: str, left_s: float) -> str:
    """Run a stage; why it did not end by itself, or empty."""
    print(f"== {stage}, at most {left_s:.0f} s", flush=True)
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", stage, "--out", str(args.out),
               "--deadline-s", f"{left_s:.0f}"]  # fmt: skip
    command += ["--rehearse"] if args.rehearse else []
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    child = subprocess.Popen(command, env=environment)
    try:
        code = child.wait(left_s + GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return f"it was ended after {left_s:.0f} s; its points up to then are kept"
    return f"exit code {code}; the output says why" if code else ""


def _child(args: argparse.Namespace) -> int:
    if args.rehearse:
        from engine_under_test.kernels import attention

        attention.NUM_PROGRAMS = 4  # the interpreter runs one after another
    ctx = Context(args.child, args.out, TOY if args.rehearse else FULL, args.deadline_s)
    (stage,) = (s for s in stages() if s.name == args.child)
    stage.run(ctx)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of results")
    parser.add_argument("--minutes", type=float, default=12.0, help="for all stages together")
    parser.add_argument("--stages", default="", metavar="NAME,...", help="only these")
    parser.add_argument(
        "--rehearse", action="store_true", help="toy sizes on whatever device there is"
    )
    parser.add_argument(
        "--check-machine", action="store_true", help="say what is missing here, and stop"
    )
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--deadline-s", type=float, default=MAX_STAGE_S, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
