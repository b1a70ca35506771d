"""Clips made here: exact lengths, valid files, sound like speech, the same for the same seed."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np

from harness.load.dialects import DIALECTS
from harness.load.facts import TargetFacts
from harness.traffic import SALT_MARK, ContentMaker, TokenPlan, build_schedule, salt, short_clip
from harness.traffic._speech import RATE_HZ, clip, sound

LOAD = {
    "kind": "open", "arrival": {"kind": "constant"}, "rate": "2/s", "warmup": "0s",
    "duration": "4s", "cooldown": "0s",
}  # fmt: skip
WORK = {
    "kind": "audio", "language": "en",
    "clip": {"duration": {"kind": "uniform", "min": "200ms", "max": "3s"}},
}  # fmt: skip
SPEECH = {"name": "speech", "workload": WORK}


def made(make_point, materials, *classes):
    point = make_point(LOAD, *classes, seed=5)
    schedule = build_schedule(point, materials)
    return ContentMaker(point, schedule, materials, TokenPlan("estimated"), "run"), schedule


def chunks(raw: bytes) -> dict[bytes, bytes]:
    """The chunks of a RIFF file, whose sizes have to add up to the file."""
    assert raw[:4] == b"RIFF"
    assert struct.unpack("<I", raw[4:8]) == (len(raw) - 8,)
    found, at = {}, 12
    while at < len(raw):
        (size,) = struct.unpack("<I", raw[at + 4 : at + 8])
        found[raw[at : at + 4]] = raw[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    assert at == len(raw)
    return found


def test_every_clip_is_a_file_of_its_length(make_point, materials) -> None:
    maker, schedule = made(make_point, materials, SPEECH)
    stage = schedule.stages[0]
    assert ((stage.audio_ms >= 200) & (stage.audio_ms <= 3000)).all()
    assert len(set(stage.audio_ms.tolist())) == len(stage) == 8
    assert (stage.asked_in == -1).all()
    sounds = set()
    for row in range(len(stage)):
        content = maker.make(0, row)
        own = salt("run", "main", 0, 0, row, False, maker.salt_words).encode()
        raw = content.wav.replace(SALT_MARK.encode(), own)
        assert content.wav.count(SALT_MARK.encode()) == 1
        parts = chunks(raw)
        assert own in parts[b"LIST"]
        with wave.open(io.BytesIO(raw)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
            assert file.getnframes() == stage.audio_ms[row] * 16
            sounds.add(file.readframes(1600))
        assert dict(content.fields) == {"response_format": "json", "language": "en"}
    assert len(sounds) == len(stage)
    again, _ = made(make_point, materials, SPEECH, {"name": "talk"})
    row = int(np.flatnonzero(again._schedule.stages[0].class_id == 0)[0])
    assert again.make(0, row).wav == maker.make(0, 0).wav


def test_the_schedule_tells_clips_apart(make_point, materials) -> None:
    _, one = made(make_point, materials, SPEECH)
    longer = {**WORK, "clip": {"duration": {"kind": "fixed", "value": "2s"}}}
    _, other = made(make_point, materials, {"name": "speech", "workload": longer})
    assert set(other.stages[0].audio_ms.tolist()) == {2000}
    assert one.sha256() != other.sha256()


def test_it_sounds_like_speech_and_not_like_noise() -> None:
    samples = sound(np.random.default_rng(3)).astype(np.float64)
    assert len(samples) == 30 * RATE_HZ
    assert np.array_equal(sound(np.random.default_rng(3)), samples.astype(np.int16))
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    # the band of a telephone holds nearly all of it
    assert power[(hz > 80) & (hz < 4000)].sum() / power.sum() > 0.95
    loud = np.abs(samples.reshape(-1, 800)).mean(axis=1)  # 50 ms
    assert 0.05 < np.mean(loud < 0.05 * loud.max()) < 0.6  # pauses, but not silence
    assert np.array_equal(clip(samples, len(samples) - 2, 4)[2:], samples[:2])


def test_the_form_holds_the_fields_and_the_file(make_point, materials) -> None:
    maker, _ = made(make_point, materials, SPEECH)
    body = DIALECTS["transcriptions"].encode(maker.make(0, 0), TargetFacts("http://x/v1", "m"), "m")
    assert body.tail is not None
    assert b'name="model"\r\n\r\nm\r\n' in body.head
    assert b'name="language"\r\n\r\nen\r\n' in body.head
    assert body.head.count(b"RIFF") == 1
    assert body.shared is not None
    assert body.end.endswith(b"--\r\n")
    chunks(short_clip())


def test_transcripts_are_read_or_refused() -> None:
    read = DIALECTS["transcriptions"].read_whole
    assert read(b'{"text":"so","usage":{"type":"duration","seconds":3}}').text == "so"
    assert read(b'{"text":""}').problem == ""
    assert read(b'{"text":null}').problem == "the answer has no 'text'"
    assert read(b"hello").problem == "the body is not JSON"
    assert read(b"[]").problem == "the body is not a JSON object"
    assert read(b'{"error":"no"}').error == "no"
