"""The workload `audio` in a document: what it takes, what it refuses, and the files it names."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.scenario import comparability_hash, load_scenario, read_materials
from harness.scenario._check import check

CLIP = {"duration": {"kind": "fixed", "value": "5s"}}


def document(work: dict[str, Any], **blocks: Any) -> Any:
    own = blocks.pop("own", {})
    return {
        "schema": "harness/v1", "name": "t",
        "targets": {"main": {"kind": "openai", "url": "http://127.0.0.1:1/v1"}},
        "traffic": [{"name": "speech", "workload": {"kind": "audio"} | work, **own}],
        "load": {"kind": "closed", "concurrency": 1, "duration": "9s"}, **blocks,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("work", "own", "place", "said"),
    [
        ({}, {}, "workload.clip", "either clip (made here) or files"),
        ({"clip": CLIP, "files": ["a.wav"]}, {}, "workload.clip", "either clip"),
        ({"clip": {"duration": {"kind": "fixed", "value": "20min"}}}, {},
         "workload.clip.duration.value", "endpoints take 25 MB"),
        ({"clip": {"duration": {"kind": "uniform", "min": "0s", "max": "50ms"}}}, {},
         "workload.clip.duration.max", "is below 100ms"),
        ({"clip": CLIP, "language": "English"}, {}, "workload.language", "such as en"),
        ({"clip": CLIP, "response_format": "mp3"}, {}, "workload.response_format", "json"),
        ({"clip": {"duration": {"kind": "exponential", "mean": "2min"}}}, {},
         "workload.clip.duration.mean", "is above 1min; single draws reach ten times a mean"),
        ({"clip": CLIP}, {"sampling": {"top_p": 0.5}}, "sampling", "kind audio has none of"),
        ({"clip": CLIP}, {"slo": {"ttft": {"p50": "1s"}}}, "slo.ttft",
         "no answer of kind audio has any"),
    ],
)  # fmt: skip
def test_what_it_refuses(work: dict[str, Any], own: dict[str, Any], place: str, said: str) -> None:
    data = document(work, own=own)
    checked = check(data)
    faults = {fault.path: fault.message for fault in checked.shown(data)}
    assert checked.document is None
    assert list(faults) == [f"traffic.speech.{place}"]
    assert said in faults[f"traffic.speech.{place}"]


def write(folder: Path, name: str, num: int) -> None:
    with wave.open(str(folder / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\1" * num)


TEXT = """\
schema: harness/v1
name: t
targets: {main: {kind: openai, url: "http://127.0.0.1:1/v1"}}
traffic: [{name: speech, workload: {kind: audio, files: [a.wav, b.wav]}}]
load: {kind: closed, concurrency: 1, duration: 9s}
slo: {rtf: {p50: 0.5}, audio_min_per_s: {min: 0.1}}
"""


def test_files_are_read_beside_the_scenario_and_count_by_their_bytes(tmp_path: Path) -> None:
    write(tmp_path, "a.wav", 4000)
    write(tmp_path, "b.wav", 12_000)
    (tmp_path / "t.yaml").write_text(TEXT)
    loaded = load_scenario(str(tmp_path / "t.yaml"), env={})
    audio = read_materials(loaded.document, loaded.search_paths).audio
    assert [round(r.duration_s, 6) for r in audio.values()] == [0.5, 1.5]
    assert all(Path(name).is_absolute() for name in audio)
    before = comparability_hash(loaded.document)
    write(tmp_path, "b.wav", 12_001)
    assert comparability_hash(load_scenario(str(tmp_path / "t.yaml"), env={}).document) != before


def test_a_file_that_is_no_recording_is_a_fault_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, "a.wav", 0)
    (tmp_path / "b.wav").write_bytes(b"no RIFF at all")
    (tmp_path / "t.yaml").write_text(TEXT)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(str(tmp_path / "t.yaml"), env={})
    told = {fault.path: fault.message for fault in caught.value.faults}
    assert told["traffic.speech.workload.files.0"] == "a.wav holds no sound"
    assert "b.wav is no WAV file" in told["traffic.speech.workload.files.1"]
