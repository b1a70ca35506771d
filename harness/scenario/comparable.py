"""The hash that says whether two runs asked the same, and the JSON Schema of the language."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.scenario._files import FileFault, find, library_folder
from harness.scenario._references import FILE_KEYS, LIST_KEY
from harness.scenario.document import Scenario
from harness.scenario.resolved import as_written

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


def comparability_hash(document: Scenario) -> str:
    """Hex digest over traffic, load, tokens and seed as resolved, and over what decides goodput.

    Targets, labels, output and validity are left out; so are limits that only judge. A file counts
    by its bytes, not by where it lies.
    """
    text = json.dumps(_by_content(_kept(document)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def question_differences(a: Scenario, b: Scenario) -> tuple[str, ...]:
    """Where two scenarios of unlike hash differ: `load.rate is 30/s in the baseline, 20/s in the
    candidate`, one a value, in order of their paths."""
    left, right = (dict(_leaves(_by_content(_kept(document)), ())) for document in (a, b))
    return tuple(
        f"{path} is {left.get(path, 'not given')} in the baseline, {right.get(path, 'not given')}"
        " in the candidate"
        for path in sorted({*left, *right})
        if left.get(path) != right.get(path)
    )


def limits_differ(a: Scenario, b: Scenario) -> bool:
    """Whether the two call other requests good."""
    left, right = (
        (plain.get("slo"), [c.get("slo") for c in plain["traffic"]])
        for plain in (as_written(document) for document in (a, b))
    )
    return left != right


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            name = item.get("name", index) if isinstance(item, dict) else index
            yield from _leaves(item, (*path, str(name)))
    else:
        yield ".".join(path), value


def _kept(document: Scenario) -> dict[str, Any]:
    plain = as_written(document)
    kept: dict[str, Any] = {
        key: plain[key] for key in ("traffic", "load", "tokens", "seed") if key in plain
    }
    kept["traffic"] = [
        {k: v for k, v in c.items() if k not in ("slo", "api_key_env")} for c in kept["traffic"]
    ]
    slo = plain.get("slo", {})
    kept["slo"] = {k: slo[k] for k in ("good_request", "attainment") if k in slo}
    if "goodput_req_per_s" in slo or "attainment" in slo:  # then every limit shapes what is good
        kept["slo"] = slo
    return kept


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `harness/v1`, for editors."""
    schema = Scenario.model_json_schema(by_alias=True)
    return {"$schema": SCHEMA_ID, **schema, "title": "harness/v1 scenario"}


def _by_content(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: _digest(v)
            if k in FILE_KEYS
            else [_digest(name) for name in v]
            if k == LIST_KEY and isinstance(v, list | tuple)
            else _by_content(v)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_by_content(item) for item in value]
    return value


def _digest(name: object) -> str:
    try:
        path: Path = find(str(name), (library_folder(),))
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileFault, OSError):
        return Path(str(name)).name
