"""View -> CSV for a spreadsheet: a row an estimate of every point, or a row a compared metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.view import View

POINT_COLUMNS = (
    "point", "load", "metric", "stat", "scope", "population", "unit", "value", "low", "high",
    "level", "n", "n_eff", "reason",
)  # fmt: skip
PAIR_COLUMNS = (
    "metric", "stat", "stage", "unit", "baseline", "candidate", "change_ratio", "low_ratio",
    "high_ratio", "limit_ratio", "mde_ratio", "p", "verdict", "reason",
)  # fmt: skip


def render_csv(view: View) -> str:
    """A header and its rows, values in base units; empty where there is none."""
    is_pair = "metrics" in view.data
    columns = PAIR_COLUMNS if is_pair else POINT_COLUMNS
    rows = _pairs(view.data["metrics"]) if is_pair else _estimates(view.data.get("points", ()))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _plain(v) for k, v in row.items()} for row in rows)
    return text.getvalue()


def _estimates(points: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for point in points:
        for estimate in point["estimates"]:
            yield {"point": point["name"], "load": point["load"], **estimate}


def _pairs(metrics: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in metrics:
        low, high = row["ci_ratio"]
        yield {**row, "low_ratio": low, "high_ratio": high}


def _plain(value: Any) -> Any:
    """Six digits are more than any sample carries."""
    return f"{value:.6g}" if isinstance(value, float) else value
