"""python -m benchmarks.gpu --out FOLDER [--minutes 9] [--rehearse] [--check-machine]

The reference engine on one GPU: correctness, the card's two ceilings, and everything else as a
share of them. One command on a fresh machine; no set-up but PYTHONPATH=. and what --check-machine
names. Stages run in order of worth, each in a process of its own, for at most 8 minutes and for
what is left of --minutes. Every point is kept as soon as it is measured, and the same command goes
on where it was stopped; elsewhere it needs results.json alone. Leaves FOLDER/results.json and
results.md, which are right at every moment.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.gpu_stages.base import FULL, TOY, Context, DoesNotFit, read_points
from benchmarks.gpu_stages.processes import Limits, end_with_parent, run_child, wait_for_memory

MAX_STAGE_S = 480.0
GRACE_S = 15.0  # beyond its limit a stage is ended


class Stage(NamedTuple):
    """A function of benchmarks.gpu_stages.<module>, imported when its turn comes.

    least_s: with less time left it is not begun.  expects_s: what all its points should take on an
    H200, an estimate until one was seen.
    """

    name: str
    least_s: float
    expects_s: float
    module: str
    args: tuple[str, ...] = ()
    function: str = "run"

    def run(self, ctx: Context) -> None:
        module = importlib.import_module(f"benchmarks.gpu_stages.{self.module}")
        getattr(module, self.function)(ctx, *self.args)


# By worth: what the bars need comes first and fits one call of ten minutes.
STAGES = (
    Stage("correctness", 20, 70, "correctness"),
    Stage("ceilings", 10, 15, "ceilings"),
    Stage("decode-8b", 25, 40, "decode", ("llama-8b", "", "bars")),
    Stage("prefill-8b", 25, 60, "prefill", ("llama-8b",)),
    Stage("serve-8b", 150, 280, "serve", ("llama-8b",)),
    Stage("transformers-8b", 60, 110, "rival", ("llama-8b",)),
    Stage("decode-8b-rest", 25, 60, "decode", ("llama-8b", "", "rest")),
    Stage("speculation-8b", 40, 110, "speculation", ("llama-8b",)),
    Stage("decode-1b", 25, 60, "decode", ("llama-1b", "", "all")),
    Stage("decode-8b-fp8", 25, 60, "decode", ("llama-8b", "fp8", "all")),
    Stage("prefill-1b", 25, 40, "prefill", ("llama-1b",)),
    Stage("decode-70b-fp8", 60, 90, "decode", ("llama-70b", "fp8", "bars")),
    Stage("speculation-1b", 30, 90, "speculation", ("llama-1b",)),
    Stage("correctness-wide", 60, 300, "correctness", (), "run_wide"),
)


def main() -> int:
    args = _parser().parse_args()
    if args.child:
        return _child(args)
    from benchmarks.gpu_stages import check

    if args.check_machine:
        lines, is_fit = check.report()
        print("\n".join(lines))
        return 0 if is_fit else 1
    if check.about()["gpu"] == "none" and not args.rehearse:
        print("error: there is no GPU here\n  do: add --rehearse to run everything at toy sizes")
        return 2
    return _run_all(args)


def _run_all(args: argparse.Namespace) -> int:
    from benchmarks.gpu_stages import check, report

    end_s = time.monotonic() + 60 * args.minutes
    not_run: list[dict[str, str]] = []
    head: dict[str, Any] = {
        "command": "python -m benchmarks.gpu " + " ".join(sys.argv[1:]),
        "is_rehearsal": args.rehearse, "not_run": not_run, "took_s": {},
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "about": check.about(),
    }  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    if other := report.restore(args.out, head):
        print(f"error: {args.out} holds results of {other}\n  do: give another --out")
        return 2
    chosen = [s for s in STAGES if not args.stages or s.name in args.stages.split(",")]
    print("expected on an H200, s:", ", ".join(f"{s.name} {s.expects_s:.0f}" for s in chosen))
    for stage in chosen:
        left_s = min(MAX_STAGE_S, end_s - time.monotonic() - GRACE_S)
        if left_s < (stage.least_s if not args.rehearse else 1):
            not_run.append({"stage": stage.name, "why": f"{max(0, left_s):.0f} s were left"})
        else:
            print(f"== {stage.name}, at most {left_s:.0f} s", flush=True)
            began_s = time.monotonic()
            why = run_child(
                _command(args, stage.name, left_s),
                args.out / f"{stage.name}.log",
                Limits(left_s, GRACE_S),
                lambda: report.write(args.out, head),
            )
            took_s = head["took_s"].get(stage.name, 0.0) + time.monotonic() - began_s
            head["took_s"][stage.name] = round(took_s, 1)
            if why:
                not_run.append({"stage": stage.name, "why": why})
        as_json, as_page = report.write(args.out, head)
    print(f"\n{as_json}\n{as_page}")
    points = {f.stem: read_points(f) for f in args.out.glob("*.jsonl")}
    for bar in report.told_bars(head, points):
        told = {True: "met", False: "NOT MET", None: "open"}[bar.is_met]
        print(f"{told:8}{bar.asked}: {bar.seen}")
    for left_out in not_run:
        print(f"not run {left_out['stage']}: {left_out['why']}")
    return 0


def _command(args: argparse.Namespace, stage: str, left_s: float) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", stage, "--out", str(args.out),
               "--deadline-s", f"{left_s:.0f}"]  # fmt: skip
    return command + (["--rehearse"] if args.rehearse else [])


def _child(args: argparse.Namespace) -> int:
    end_with_parent()
    (stage,) = (s for s in STAGES if s.name == args.child)
    ctx = Context(args.child, args.out, TOY if args.rehearse else FULL, args.deadline_s)
    wait_for_memory(ctx)
    try:
        if args.rehearse:
            from engine_under_test.kernels import attention

            attention.NUM_PROGRAMS = 4  # the interpreter runs one after another
        stage.run(ctx)
    except DoesNotFit as finding:
        ctx.put("skipped", skipped=str(finding))
    except Exception as error:
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of results")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all stages together")
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
