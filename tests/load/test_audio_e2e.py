"""Recordings over real sockets: what is sent, what is recorded, and every way to go wrong."""

from __future__ import annotations

import wave
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from harness.cli._endpoints import _require_ears
from harness.errors import TargetError, UsageError
from harness.load import LoadProcess, TargetFacts, check_hearing, probe_target
from harness.scenario import load_scenario
from harness.testing import ScriptedServer
from harness.traffic import TokenPlan

from .conftest import drive, make_plan, open_load, scenario_of

pytestmark = pytest.mark.e2e
FAULTS: dict[str, dict[str, Any]] = {
    "mute": {"transcript": None},
    "silent": {"transcript": " "},
    "silent-file": {"transcript": ""},
    "status": {"http": {"status": 503}},
    "error": {"http": {"body": "error"}},
    "text": {"http": {"content_type": "text/plain"}},
    "page": {"http": {"content_type": "text/html"}},
    "refused": {"http": {"status": 413}},
}
EXPECTED = {
    "fit": "", "file": "", "silent": "", "silent-file": "invalid_output", "mute": "malformed",
    "status": "http_5xx", "error": "stream_error", "text": "malformed", "words": "", "srt": "",
    "vtt-file": "", "page": "malformed", "refused": "http_4xx",
}  # fmt: skip
FORMATS = {"words": "text", "srt": "srt", "vtt-file": "vtt", "page": "text"}
PER_AUDIO_S = 0.1
SCRIPT = {
    "timing": {"ttft": "10ms", "per_audio_s": "100ms", "gap": "5ms"},
    "faults": [{"model": name, "then": then} for name, then in FAULTS.items()],
}


def classes(folder: Path) -> list[dict[str, Any]]:
    path = folder / "one.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\0\2\0" * 4000)  # half a second
    clips = {"kind": "audio", "clip": {"duration": {"kind": "fixed", "value": "400ms"}}}
    found = []
    for name in EXPECTED:
        work = {"kind": "audio", "files": [str(path)]} if "file" in name else deepcopy(clips)
        if name in FORMATS:
            work["response_format"] = FORMATS[name]
        found.append({"name": name, "model": name, "workload": work})
    chat = {
        "kind": "chat", "input_tokens": {"kind": "fixed", "value": 30},
        "output_tokens": {"kind": "fixed", "value": 4},
    }  # fmt: skip
    return [*found, {"name": "chat", "workload": chat}]


def test_recordings_are_sent_recorded_and_classified(
    load_process: LoadProcess, tmp_path: Path
) -> None:
    with ScriptedServer(SCRIPT) as server:
        scenario = scenario_of(server.base_url, open_load(80, 120), traffic=classes(tmp_path))
        facts = TargetFacts(server.base_url, "scripted")
        point = drive(load_process, make_plan(tmp_path / "run", scenario, facts))
        log = {r.request_id: r for r in server.requests}
    rows = [row for row in point.rows if row["phase"] == "measured"]
    by_class: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_class.setdefault(row["class"], []).append(row)
    assert set(by_class) == {*EXPECTED, "chat"}
    for name, error in EXPECTED.items():
        assert {row["error_class"] for row in by_class[name]} == {error}, name
    for row in (row for name in ("fit", "file", "words", "srt") for row in by_class[name]):
        served = log[row["request_id"]]
        assert served.path == "/v1/audio/transcriptions"
        assert row["api"] == "transcriptions"
        assert row["audio_s"] == (0.5 if row["class"] == "file" else 0.4)
        assert (row["n_in"], row["n_out"], row["first_token_ns"]) == (None, None, None)
        # the server decoded the very length that was asked, or it would have answered sooner
        assert row["end_ns"] - row["sent_ns"] >= (0.01 + PER_AUDIO_S * row["audio_s"]) * 1e9
    assert {row["error_detail"] for row in by_class["silent-file"]} == {"the transcript is empty"}
    assert {row["error_detail"] for row in by_class["page"]} == {
        "content type text/html instead of words alone"
    }
    assert {row["status"] for row in by_class["refused"]} == {413}
    assert {row["error_detail"] for row in by_class["mute"]} == {"the answer has no 'text'"}
    assert {row["audio_s"] for row in by_class["chat"]} == {None}


def test_the_endpoint_is_asked_whether_it_hears() -> None:
    with ScriptedServer(SCRIPT) as server:
        facts = probe_target(server.base_url, api="transcriptions")
        assert (facts.api, facts.has_usage) == ("transcriptions", True)
        check_hearing(server.base_url, "scripted", None, None, None)
        with pytest.raises(TargetError, match="holds no transcriptions of audio"):
            check_hearing(server.base_url, "mute", None, None, None)
        with pytest.raises(TargetError, match="has no transcriptions of audio"):
            check_hearing(f"{server.base_url}/deeper", "it", None, None, None)


def test_our_own_engine_is_not_started_to_hear() -> None:
    document = load_scenario("audio", env={}).document
    with pytest.raises(UsageError, match="the reference engine has no audio") as caught:
        _require_ears("audio", document.targets["audio"], document.traffic)
    assert "--url URL" in caught.value.do
    aimed = load_scenario("audio", url="http://host:1/v1", env={}).document
    _require_ears("audio", aimed.targets["audio"], aimed.traffic)
    assert TokenPlan("estimated").of("transcriptions").kind == "estimated"
