"""The run's data as the page embeds it: the values of summary.json in fewer bytes.

What is at its default is left out (Estimate.from_json fills it in again) and floats keep six
digits. Of a run of very many points first the estimates by class and those withheld are dropped,
then all but the key figures; the page says so under `left_out`, and points.csv holds them all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from harness.estimate import Estimate

MOST_BYTES = 300_000
# what would end the script or turn the direction of what follows, written as its number
_SPOKEN = re.compile("[&<>\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
KEY_STATS = ("p50", "rate", "ratio")
_DEFAULTS = {f.name: f.default for f in fields(Estimate) if f.default is not MISSING}

Keep = Callable[[Mapping[str, Any]], bool]
# fuller first: what stays of a point's estimates, and what the page says of the others
LEVELS: tuple[tuple[Keep, str], ...] = (
    (lambda e: True, ""),
    (lambda e: e.get("value") is not None and e.get("scope", "all") == "all",
     "estimates by class, those withheld, methods: points.csv"),
    (lambda e: e.get("value") is not None and e.get("scope", "all") == "all"
     and e["stat"] in KEY_STATS, "all but medians, rates and shares; methods: points.csv"),
)  # fmt: skip


def embedded_json(data: Mapping[str, Any]) -> str:
    """JSON that cannot close its own script element, at most about MOST_BYTES of estimates."""
    text = ""
    for keep, left_out in LEVELS:
        text = _dump(
            _kept(data, keep, ("method",) * bool(left_out))
            | ({"left_out": left_out} if left_out else {})
        )
        if len(text) <= MOST_BYTES or "points" not in data:
            break
    return _SPOKEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _dump(data: Mapping[str, Any]) -> str:
    return json.dumps(_short(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _kept(data: Mapping[str, Any], keep: Keep, drop: Sequence[str]) -> dict[str, Any]:
    verdicts = [
        {**v, "estimate": _bare(v["estimate"])} if v.get("estimate") else v
        for v in data.get("verdicts", ())
    ]
    data = {**data, "verdicts": verdicts} if verdicts else dict(data)
    if "points" not in data:
        return data
    points = [
        {**point, "estimates": [_bare(e, drop) for e in point["estimates"] if keep(e)]}
        if "estimates" in point  # a calibration's have none: they are no figures of a load
        else point
        for point in data["points"]
    ]
    return {**data, "points": points}


def _bare(estimate: Mapping[str, Any], drop: Sequence[str] = ()) -> dict[str, Any]:
    """Without what Estimate has by default, and without what is dropped."""
    return {
        k: v
        for k, v in estimate.items()
        if k not in drop and (k not in _DEFAULTS or v != _DEFAULTS[k])
    }


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {k: _short(v) for k, v in value.items()}
    return [_short(v) for v in value] if isinstance(value, list | tuple) else value
