"""Puts this client under known loads against the scripted endpoint and tells its own error.

The real path throughout: a scenario with one stage a load, the real load process, real records, the
real validity checks. Only the endpoint differs: it knows when it sent each chunk. Everything lies
in a temporary folder and goes with it.
"""

from __future__ import annotations

import json
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.analysis import PointMeta
from harness.analysis.client_check import CLIENT_CHECK, CheckedLoad, ClientCheck, check_load
from harness.cli._client_loads import TTFT_S, ClientLoad
from harness.cli._endpoints import open_endpoint
from harness.cli._interruption import Interruption
from harness.cli._judge import stage_metas
from harness.cli._measure import measure_point
from harness.cli._options import Voice
from harness.errors import MeasurementError
from harness.load import LoadProcess
from harness.records import PointRecords, Run, RunDirectory
from harness.scenario import LoadedScenario, expand, load_scenario, read_materials
from reports._client_tables import error_sentence

__all__ = ["BEFORE_RUN_S", "CLIENT_CHECK", "check_client", "endpoint_script", "error_sentence"]

SILENT = Voice(-1, False, "never", "none")
LOG_TIMEOUT_S = 60.0
BEFORE_RUN_S = 4.0  # measured time of a check before a run
# asked for usage in every chunk the endpoint would format each one anew: its own error
PLAIN = {"http": {"reject_fields": ["stream_options.continuous_usage_stats"]}}
Stamps = Mapping[str, tuple[int, ...]]


def check_client(
    loads: Sequence[ClientLoad],
    seconds: float,
    process: LoadProcess,
    interruption: Interruption,
    *,
    intended: int | None = None,
    target: Mapping[str, Any] | None = None,
) -> ClientCheck:
    """Each load for seconds / len(loads), rising; the errors of each.

    intended: position of the load a run will make.  target: where a scripted endpoint runs already
    with `endpoint_script`; None starts one.
    Raises MeasurementError where no load could be measured, KeyboardInterrupt where the user asked.
    """
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder, ExitStack() as stack:
        loaded = _scenario(Path(folder), loads, seconds / len(loads), target)
        materials = read_materials(loaded.document, loaded.search_paths)
        (point,) = expand(loaded.document)
        endpoint = open_endpoint("it", loaded.document, materials, stack, SILENT)
        directory = RunDirectory.create(
            Path(folder), loaded.document.name, given_text=loaded.given_text,
            resolved_yaml=loaded.resolved_yaml(), provenance={},
        )  # fmt: skip
        done = measure_point(
            process, directory, point, endpoint, materials, interruption, SILENT,
            keeps_user_stamps=True,
        )  # fmt: skip
        if interruption.is_asked:
            raise KeyboardInterrupt
        (records,) = Run.open(directory.path).points
        metas = stage_metas(point, records)
        if not metas:
            raise MeasurementError("the client could not be checked", why=done.reason)
        sent_ns = _sent_ns(endpoint.base_url)
        rows = [
            _judged(load, records, meta, sent_ns)
            for load, meta in zip(loads, metas, strict=False)  # a broken check ends early
        ]
        return ClientCheck(tuple(rows), process.workers, intended)


def endpoint_script(tok_per_s: float, **timing: Any) -> dict[str, Any]:
    """What the endpoint does. timing: more of it, such as a `step` that all chunks wait for."""
    pace = {"ttft": f"{TTFT_S}s", "gap": f"{1 / tok_per_s:.9g}s"} | timing
    return {"timing": pace, "log_requests": 1_000_000_000} | PLAIN


def _judged(
    load: ClientLoad, records: PointRecords, meta: PointMeta, sent_ns: Stamps
) -> CheckedLoad:
    requests = records.requests()
    sources = set(requests["stamp_source"].to_pylist())
    meta = replace(meta, stamp_source="kernel" if sources == {"kernel"} else "user")
    stage = next(s for s in records.meta["stages"] if s["index"] == meta.stage_index)
    load_end_ns = stage.get("load_end_ns") or meta.t1_ns
    asked = (load.streams, load.tok_per_s, load.req_per_s, load.chunks_per_s)
    return check_load(requests, records.clients(), meta, load_end_ns, sent_ns, asked)


def _scenario(
    folder: Path,
    loads: Sequence[ClientLoad],
    window_s: float,
    target: Mapping[str, Any] | None,
) -> LoadedScenario:
    """One stage a load; answers are as long in all of them."""
    first = loads[0]
    own = {"kind": "scripted", "script": endpoint_script(first.tok_per_s)}
    fixed = {"kind": "fixed"}
    workload = {
        "kind": "chat", "input_tokens": fixed | {"value": 16},
        "output_tokens": fixed | {"value": first.answer_tok},
    }  # fmt: skip
    document = {
        "schema": "harness/v1",
        "name": "client-check",
        "seed": 1,
        "targets": {"it": dict(target or own)},
        "tokens": {"kind": "estimated"},
        "traffic": [{"name": "chat", "workload": workload}],
        "load": {
            "kind": "stages",
            "stages": [load.stage(f"load-{i}", window_s) for i, load in enumerate(loads)],
            "warmup": f"{first.answer_s + 0.2:.9g}s",
            # what an overloaded client has not read by then is cut; its stamps count all the same
            "cooldown": f"{first.answer_s + 1:.9g}s",
            "drain": "1s",
        },
    }
    path = folder / "client-check.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML 1.2
    return load_scenario(str(path))


def _sent_ns(base_url: str) -> Stamps:
    """request_id -> the endpoint's stamps right before each send."""
    url = base_url.removesuffix("/v1") + "/script/log"
    with urllib.request.urlopen(url, timeout=LOG_TIMEOUT_S) as reply:
        rows = json.loads(reply.read())
    return {row["request_id"]: tuple(row["send_ns"]) for row in rows if row["request_id"]}
