"""The hash that says whether two runs asked the same, and the JSON Schema of the language."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from harness.scenario._files import FileFault, find, library_folder
from harness.scenario._references import FILE_KEYS
from harness.scenario.document import Scenario
from harness.scenario.resolved import as_written

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


def comparability_hash(document: Scenario) -> str:
    """Hex digest over traffic, load, tokens and seed as resolved, and over what decides goodput.

    Targets, labels, output and validity are left out; so are limits that only judge. A file counts
    by its bytes, not by where it lies.
    """
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
    text = json.dumps(_by_content(kept), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `harness/v1`, for editors."""
    schema = Scenario.model_json_schema(by_alias=True)
    return {"$schema": SCHEMA_ID, **schema, "title": "harness/v1 scenario"}


def _by_content(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _digest(v) if k in FILE_KEYS else _by_content(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_by_content(item) for item in value]
    return value


def _digest(name: object) -> str:
    try:
        path: Path = find(str(name), (library_folder(),))
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileFault, OSError):
        return Path(str(name)).name
