"""Embeddings over real sockets: what is sent, what is recorded, and every way to go wrong."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TargetError
from harness.load import LoadProcess, TargetFacts, calibrate, probe_target, with_embeddings
from harness.load.answer import Answer
from harness.load.dialects import DIALECTS, Whole
from harness.load.expectations import Vectors
from harness.scenario.document import CalibratedTokens
from harness.scenario.materials import Materials, shipped_words
from harness.testing import ScriptedServer

from .conftest import drive, make_plan, open_load, scenario_of

pytestmark = pytest.mark.e2e
FAULTS: dict[str, dict[str, Any]] = {
    "few": {"vectors": {"delta": -1}},
    "none": {"vectors": {"delta": -2}},
    "nan": {"vectors": {"entry": "nan"}},
    "null": {"vectors": {"entry": "null"}},
    "status": {"http": {"status": 503}},
    "error": {"http": {"body": "error"}},
    "text": {"http": {"content_type": "text/html"}},
    "torn": {"transport": {"fail": "close"}},
    "untold": {"usage": {"where": "absent"}},
    "packed-nan": {"vectors": {"entry": "nan"}},
    "packed-torn": {"vectors": {"entry": "text"}},
    "short": {"vectors": {"wrong_dims": 3}},
}
EXPECTED = {
    "fit": "", "untold": "", "few": "invalid_output", "none": "empty", "nan": "malformed",
    "null": "malformed", "status": "http_5xx", "error": "stream_error", "text": "malformed",
    "torn": "truncated", "packed": "", "packed-nan": "malformed", "packed-torn": "malformed",
    "short": "invalid_output",
}  # fmt: skip
SCRIPT = {
    "timing": {"ttft": "30ms", "gap": "5ms"},
    "tokens": {"prompt_slope": 1.0, "prompt_fixed": 3},
    "faults": [{"model": name, "then": then} for name, then in FAULTS.items()],
}


def classes() -> list[dict[str, Any]]:
    work = {
        "kind": "embeddings", "batch": {"kind": "fixed", "value": 2},
        "input_tokens": {"kind": "fixed", "value": 40},
    }  # fmt: skip
    embed = [{"name": n, "model": n, "workload": deepcopy(work)} for n in EXPECTED]
    for one in embed:
        if "packed" in one["name"]:
            one["workload"]["encoding_format"] = "base64"
        if one["name"] == "short":
            one["workload"]["dimensions"] = 4
    chat = {
        "kind": "chat", "input_tokens": {"kind": "fixed", "value": 30},
        "output_tokens": {"kind": "fixed", "value": 4},
    }  # fmt: skip
    return [*embed, {"name": "chat", "workload": chat, "weight": 3}]


def test_answers_are_recorded_and_classified(load_process: LoadProcess, tmp_path: Path) -> None:
    with ScriptedServer(SCRIPT) as server:
        scenario = scenario_of(server.base_url, open_load(130, 170), traffic=classes())
        facts = TargetFacts(server.base_url, "scripted")
        point = drive(load_process, make_plan(tmp_path, scenario, facts))
        log = {r.request_id: r for r in server.requests}
    rows = [row for row in point.rows if row["phase"] == "measured"]
    by_class: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_class.setdefault(row["class"], []).append(row)
    assert set(by_class) == {*EXPECTED, "chat"}
    for name, error in EXPECTED.items():
        assert {row["error_class"] for row in by_class[name]} == {error}, name
    for row in (*by_class["fit"], *by_class["untold"]):
        served = log[row["request_id"]]
        assert served.path == "/v1/embeddings"
        assert row["api"] == "embeddings"
        assert row["vector_count"] == 2
        assert row["asked_in"] == 80
        assert (row["n_out"], row["first_token_ns"], row["last_token_ns"]) == (None, None, None)
        assert row["chunk_ns"] == []
        assert row["is_fit"]
        # due 30 ms after it came; the client's clock is the server's
        assert row["end_ns"] - row["intended_ns"] >= 30_000_000
        assert row["end_ns"] >= served.send_ns[0]
    # words cost 1, and each text 3: the plan knows of no such mark, so 2 * 3 come on top
    assert {row["n_in"] for row in by_class["fit"]} == {86}
    assert {row["tok_source"] for row in by_class["fit"]} == {"usage_final"}
    assert {(r["n_in"], r["tok_source"]) for r in by_class["untold"]} == {(None, "absent")}
    assert {row["error_detail"] for row in by_class["few"]} == {"1 vectors for 2 texts"}
    assert {row["error_detail"] for row in by_class["short"]} == {
        "vectors of 3 numbers where 4 were asked for"
    }
    assert {row["vector_count"] for row in by_class["packed"]} == {2}
    assert {row["vector_count"] for row in by_class["chat"]} == {None}
    assert all(row["first_token_ns"] for row in by_class["chat"])
    salts = {log[row["request_id"]].opening[:30] for row in rows if row["api"] == "embeddings"
             and row["request_id"] in log}  # fmt: skip
    assert len(salts) == sum(row["api"] == "embeddings" for row in rows
                             if row["request_id"] in log)  # fmt: skip


def test_the_endpoint_is_asked_before_any_load() -> None:
    materials = Materials(words=shipped_words())
    with ScriptedServer(SCRIPT) as server:
        facts = probe_target(server.base_url, api="embeddings")
        assert (facts.model, facts.api, facts.has_usage) == ("scripted", "embeddings", True)
        told = (server.base_url, None, None, None, facts, CalibratedTokens(), materials)
        plan = calibrate(*told)
        assert (plan.kind, plan.slope_tok_per_word, plan.fixed_tok) == ("calibrated", 1.0, 3.0)
        talk = probe_target(server.base_url)
        both = with_embeddings(
            plan, server.base_url, "scripted", None, None, None, talk, *told[-2:]
        )  # fmt: skip
        assert both.of("embeddings") == plan
        assert both.of("chat") is both
        assert not probe_target(server.base_url, "untold", api="embeddings").has_usage
        with pytest.raises(TargetError, match="failed with 503"):
            probe_target(server.base_url, "status", api="embeddings")
        with pytest.raises(TargetError, match="holds no embeddings") as caught:
            probe_target(server.base_url, "nan", api="embeddings")
        assert "no finite number" in caught.value.why
        with pytest.raises(TargetError, match="has no embeddings, at least not of model 'it'"):
            probe_target(f"{server.base_url}/deeper", "it", api="embeddings")


def test_the_length_of_vectors_is_held_to_what_was_asked() -> None:
    answer = Answer(DIALECTS["embeddings"], keep_text=False)
    answer.num_inputs, answer.whole = 2, Whole(num_vectors=2, num_dims=8)
    assert Vectors(None).judge(answer).is_fit
    assert Vectors(8).judge(answer).is_fit
    unfit = Vectors(16).judge(answer)
    assert (unfit.is_fit, unfit.reason) == (
        False, "vectors of 8 numbers where 16 were asked for",
    )  # fmt: skip
