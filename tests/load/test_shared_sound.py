"""A closed load of recordings keeps its sound once, and sends what it always sent."""

from __future__ import annotations

import hashlib
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.load.bodies import Bodies, ClassPlan, opening_sha256
from harness.load.dialects import DIALECTS
from harness.load.dialects.transcriptions import form_of
from harness.load.facts import TargetFacts
from harness.scenario import expand, read_materials
from harness.scenario._check import check
from harness.traffic import SALT_MARK, ContentMaker, Span, TokenPlan, build_schedule
from harness.traffic._speech import clip, sound, wav

FACTS = TargetFacts("http://127.0.0.1:1/v1", "m")


def prepared(work: dict[str, Any], num_workers: int = 1, worker: int = 0) -> Any:
    """Schedule, maker, classes and bodies of a closed load of 4 users for a minute."""
    data = {
        "schema": "harness/v1", "name": "t",
        "targets": {"main": {"kind": "openai", "url": "http://127.0.0.1:1/v1"}},
        "traffic": [{"name": "speech", "workload": {"kind": "audio"} | work}],
        "load": {"kind": "closed", "concurrency": 4, "duration": "60s"}, "seed": 3,
    }  # fmt: skip
    document = check(data).document
    assert document is not None
    (point,) = expand(document)
    materials = read_materials(document)
    schedule = build_schedule(point, materials)
    maker = ContentMaker(point, schedule, materials, TokenPlan("estimated"), "run")
    plans = (ClassPlan("speech", DIALECTS["transcriptions"], "m", b"", (), api="transcriptions"),)
    told = (schedule, maker, plans, FACTS)
    bodies = Bodies(*told, worker, num_workers, lambda: None)
    return schedule, maker, bodies, opening_sha256(*told, lambda: None)


def test_a_thousand_clips_take_no_more_than_their_heads() -> None:
    """1,024 bodies of 2 to 40 s are 690 MB of sound; the file holds 500 bytes of each."""
    uniform = {"kind": "uniform", "min": "2s", "max": "40s"}
    schedule, maker, bodies, _ = prepared({"clip": {"duration": uniform}})
    (stage,) = schedule.stages
    assert len(stage) == 1024
    total = int(stage.audio_ms.sum()) * 32
    assert total > 600e6
    assert bodies.num_bytes < 1024 * 700
    bank = sound(maker._rng("speech", 0, "sound"))
    longer = int(np.argmax(stage.audio_ms))
    assert stage.audio_ms[longer] > 30_000  # longer than the sound: round and round
    for row in (0, 1, 7, 500, longer, 1023):
        start = int(maker._rng("speech", 0, str(row)).integers(len(bank)))
        whole = wav(clip(bank, start, int(stage.audio_ms[row]) * 16))
        form = form_of({"model": "m", "response_format": "json"}, whole)
        assert bodies.body(0, row, "a salt") == form.replace(SALT_MARK.encode(), b"a salt")
    bodies.close()


def test_files_are_kept_once_however_often_they_are_sent(tmp_path: Path) -> None:
    for name, num in (("a.wav", 200_000), ("b.wav", 300_000)):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(np.arange(num, dtype="<i2").tobytes())
    files = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    _, _, bodies, digest = prepared({"files": files, "language": "de"})
    assert bodies.num_bytes < 1024 * 700
    for row in (0, 1, 1023):
        raw = Path(files[row % 2]).read_bytes()
        fields = {"model": "m", "response_format": "json", "language": "de"}
        assert bodies.body(0, row, "no place for it") == form_of(fields, raw)
    other = files[::-1]
    assert prepared({"files": other, "language": "de"})[3] != digest
    assert prepared({"files": files, "language": "de"})[3] == digest


def test_workers_share_the_rows_and_agree_on_what_they_are() -> None:
    work = {"clip": {"duration": {"kind": "fixed", "value": "100ms"}}}
    schedule, _, alone, digest = prepared(work)
    for worker in range(2):
        _, _, part, own = prepared(work, 2, worker)
        assert own == digest
        for row in range(0, len(schedule.stages[0]), 97):
            if row % 4 % 2 == worker:
                assert part.body(0, row, "s") == alone.body(0, row, "s")
            else:
                with pytest.raises(KeyError):
                    part.body(0, row, "s")


@pytest.mark.parametrize("start", [0, 1, 6])
@pytest.mark.parametrize("num", [0, 1, 5, 7, 8, 14, 23])
def test_a_span_goes_round(start: int, num: int) -> None:
    source = bytes(range(7))
    assert Span(source, start, num).read() == bytes((start + k) % 7 for k in range(num))


def test_a_whole_source_is_handed_over_as_it_is() -> None:
    source = hashlib.sha256(b"x").digest()
    assert Span(source, 0, len(source)).read() is source
