"""View -> CSV for a spreadsheet: a row an estimate of every point, a compared metric, or a step."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
STEP_COLUMNS = (
    "kind", "num_seqs", "context_tok", "prompt_tok", "cached_tok", "num", "seconds", "law_s",
)  # fmt: skip


def render_csv(view: View) -> str:
    """A header and its rows, values in base units; empty where there is none."""
    columns, rows = _table(view.data)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _plain(v) for k, v in row.items()} for row in rows)
    return text.getvalue()


def _table(data: Mapping[str, Any]) -> tuple[Sequence[str], Iterable[dict[str, Any]]]:
    if "metrics" in data:
        return PAIR_COLUMNS, _pairs(data["metrics"])
    if "steps" in data:  # a calibration's points have no figures of their own
        return STEP_COLUMNS, data["steps"]
    return POINT_COLUMNS, _estimates(data.get("points", ()))


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
