"""python -m benchmarks.twin_validation --out FOLDER [--minutes 20] [--page FILE] [--report-only]

The twin against the reference engine: calibrated on a twin sweep alone, then asked for the times of
every request of runs it has not seen, at 30, 50, 70, 85 % of what it thinks the engine can serve,
and for the stability verdict at 95 %. Three kinds of traffic. Resumable: what FOLDER holds is kept,
a run cut short is continued. Failures are printed like everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks._twin_page import page
from benchmarks._twin_runs import KINDS, measure_kind, read_calibration
from benchmarks.machine import machine

CALIBRATION_SHARE = 0.35  # of the minutes at most; the kinds share the rest


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds of the wall clock until which work may begin."""

    end_s: float

    @classmethod
    def of(cls, minutes: float) -> Budget:
        return cls(time.monotonic() + 60 * minutes)

    @property
    def left_s(self) -> float:
        return max(0.0, self.end_s - time.monotonic())


def main() -> int:
    """Measure what is missing as far as the minutes go, then print the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="keeps the runs; continued")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--page", type=Path, help="write the Markdown page there, too")
    parser.add_argument("--json", type=Path, help="every figure of the page")
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    parser.add_argument("--kinds", nargs="+", choices=[k.name for k in KINDS], help="some only")
    given = parser.parse_args()
    kinds = [k for k in KINDS if not given.kinds or k.name in given.kinds]
    given.out.mkdir(parents=True, exist_ok=True)
    budget, where = Budget.of(given.minutes), _machine(given.out)
    if not given.report_only:
        _run(given.out / "calibration", ["twin-sweep"], budget, CALIBRATION_SHARE)
    calibration = read_calibration(given.out / "calibration")
    cells = []
    for k, kind in enumerate(kinds):
        share = 1 / (len(kinds) - k)
        if not given.report_only:
            scenario = given.out / f"{kind.name}.yaml"
            if not scenario.exists():  # a run that is continued keeps its rates and lengths
                scenario.write_text(kind.scenario(calibration, budget.left_s * share))
            _run(given.out / kind.name, [str(scenario.resolve())], budget, share)
        cells += measure_kind(kind, calibration, given.out / kind.name)
    text = page(calibration, cells, where)
    print(text)
    if given.page:
        given.page.write_text(text, encoding="utf-8")
    if given.json:
        rows = [asdict(cell) for cell in cells]
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


def _machine(out: Path) -> Mapping[str, Any]:
    """Of the first session: that is where the figures are from."""
    path = out / "machine.json"
    if not path.exists():
        row = machine(["inference-harness", "torch", "numba", "numpy"], os.getloadavg()[0])
        path.write_text(json.dumps(row), encoding="utf-8")
    known: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return known


def _run(out: Path, arguments: list[str], budget: Budget, share: float) -> None:
    """`harness run`, or its continuation; interrupted when its share of the time is over."""
    latest = out / "latest"
    if latest.exists():
        manifest = json.loads((latest.resolve() / "manifest.json").read_text("utf-8"))
        if manifest["status"] == "complete":
            return
        arguments = ["--resume", str(latest.resolve())]
    harness = [sys.executable, "-c", "from harness.cli import main; main()", "run", *arguments]
    flags = ["-o", str(out), "--progress", "none", "--no-report"]
    started_s = time.monotonic()
    print(f"{out.name}: {' '.join(arguments)}, {budget.left_s * share:.0f} s", file=sys.stderr)
    with subprocess.Popen([*harness, *flags], stdout=subprocess.DEVNULL) as child:
        try:
            child.wait(timeout=max(30.0, budget.left_s * share))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGINT)
            child.wait(timeout=60)
        except KeyboardInterrupt:
            child.wait(timeout=60)
            raise
    took_s = time.monotonic() - started_s
    print(f"{out.name}: exit {child.returncode} after {took_s:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
