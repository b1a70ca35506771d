"""python scenarios/forecasts/derive_servegen.py RATES_10MIN_CSV

Makes servegen-day.csv beside this file: one day of 10-minute rates of the service m-large of
https://github.com/alibaba/ServeGen (Apache-2.0), over their mean. The input sums the rates of the
released clients in windows of 600 s over 14 days (columns t_s, m-large_rps). Of the 14 days it is
the one whose peak over mean is the median: an average of days would have no peaks to plan for.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

PER_DAY = 144
HEADER = """\
# One day of a large production model: requests/s in windows of 10 minutes, over their mean.
# Derived from the rates of service m-large of ServeGen (https://github.com/alibaba/ServeGen,
# Apache-2.0) by derive_servegen.py; changes: day {day} of 14, the one with the median peak over
# mean ({peak:.2f}; over 14 days it is {whole:.2f}), divided by its mean.
"""


def main(path: Path) -> None:
    """Write servegen-day.csv."""
    with path.open(newline="") as file:
        rates = np.array([float(row["m-large_rps"]) for row in csv.DictReader(file)])
    days = rates.reshape(-1, PER_DAY)
    peaks = days.max(axis=1) / days.mean(axis=1)
    day = int(np.argsort(peaks, kind="stable")[len(peaks) // 2])
    shape = days[day] / days[day].mean()
    text = HEADER.format(day=day + 1, peak=peaks[day], whole=rates.max() / rates.mean())
    lines = [f"{600 * i},{rate:.4f}" for i, rate in enumerate(shape)]
    out = Path(__file__).parent / "servegen-day.csv"
    out.write_text(text + "\n".join(["t_s,req_per_s", *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
