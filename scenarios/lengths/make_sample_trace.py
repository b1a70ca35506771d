"""python scenarios/lengths/make_sample_trace.py

Writes sample-trace.csv beside this file: 240 made-up rows in the layout of the Azure LLM inference
trace, so that trace-replay runs before a real trace is at hand. Seeded; no row is of a real trace.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

ROWS, RATE_PER_S = 240, 4.0


def main() -> None:
    """Poisson arrivals, lognormal lengths."""
    rng = np.random.default_rng(2023)
    at_s = np.cumsum(rng.exponential(1 / RATE_PER_S, ROWS))
    lengths = np.clip(rng.lognormal((5.8, 4.2), (0.8, 0.7), (ROWS, 2)), 4, 4000).astype(int)
    start = datetime(2023, 1, 1, tzinfo=UTC)
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    for second, (given, made) in zip(at_s, lengths, strict=True):
        stamp = (start + timedelta(seconds=float(second))).strftime("%Y-%m-%d %H:%M:%S.%f")
        lines.append(f"{stamp}0,{given},{made}")
    path = Path(__file__).parent / "sample-trace.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
