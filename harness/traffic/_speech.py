"""Clips of sound with the shape of speech, made here: voiced syllables, formants, pauses.

No word is said: what a model writes down for it means nothing. What it costs to process depends on
a clip's length, which is exact to the sample. The same seed gives the same samples. A clip that is
to be unlike any other starts where its own generator says, in half a minute of sound.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from .vocabulary import SALT_LENGTH_WORDS, SALT_MARK

RATE_HZ = 16_000
SAMPLE_BYTES = 2
BANK_S = 30
_NUM_HARMONICS = 24
_SYLLABLE_S = 0.21
_PAUSE_SHARE = 0.2
_FORMANTS_HZ = np.array(
    [[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480], [570, 840, 2410]]
)  # of five vowels (Peterson and Barney 1952, men)
_WIDTH_HZ = 110.0
# eight words of four letters and the spaces between them: a chunk's size is known without them
_SALT_BYTES = 5 * SALT_LENGTH_WORDS - 1

Samples = npt.NDArray[np.int16]


def sound(rng: np.random.Generator) -> Samples:
    """[BANK_S * RATE_HZ] samples."""
    count = BANK_S * RATE_HZ
    syllables = int(BANK_S / _SYLLABLE_S) + 2
    at = np.arange(count) / RATE_HZ / _SYLLABLE_S
    which, inside = at.astype(np.int64), at % 1.0
    pitch_hz = np.interp(at, np.arange(syllables), rng.uniform(95.0, 180.0, syllables))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    vowel = rng.integers(0, len(_FORMANTS_HZ), syllables)
    loud = np.where(rng.random(syllables) < _PAUSE_SHARE, 0.0, rng.uniform(0.4, 1.0, syllables))
    envelope = np.sin(np.pi * inside) ** 0.6 * loud[which]
    num = np.bincount(which, minlength=syllables).clip(1)
    pitch_of = np.bincount(which, pitch_hz, syllables) / num
    wave = np.zeros(count)
    for k in range(1, _NUM_HARMONICS + 1):
        away = (k * pitch_of[:, None] - _FORMANTS_HZ[vowel]) / _WIDTH_HZ
        gain = np.exp(-0.5 * away**2).sum(axis=1) + 0.03
        wave += gain[which] * np.sin(k * phase)
    wave *= envelope
    wave += 0.004 * rng.standard_normal(count)
    return np.asarray(np.rint(wave / np.abs(wave).max() * 22_000), dtype=np.int16)


def clip(bank: Samples, start: int, num_samples: int) -> Samples:
    """num_samples of the bank from `start` on, round and round."""
    return np.asarray(np.take(bank, np.arange(start, start + num_samples), mode="wrap"))


def wav(samples: Samples) -> bytes:
    """A WAV file, mono, 16 bits; see wav_head."""
    data = samples_bytes(samples)
    return wav_head(len(data)) + data


def samples_bytes(samples: Samples) -> bytes:
    """As a WAV file holds them: SAMPLE_BYTES each, little-endian."""
    return samples.astype("<i2").tobytes()


def wav_head(num_bytes: int) -> bytes:
    """What stands before num_bytes of samples in a file, with a comment where SALT_MARK is until it
    is sent: no two requests have the same bytes. Sizes are those with the salt in its place."""
    text = SALT_MARK.encode() + b"\0" * (2 - _SALT_BYTES % 2)
    comment = b"ICMT" + struct.pack("<I", _SALT_BYTES + 1) + text
    info_bytes = 4 + 8 + _SALT_BYTES + len(text) - len(SALT_MARK)
    form = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, RATE_HZ * SAMPLE_BYTES, SAMPLE_BYTES,
        8 * SAMPLE_BYTES,
    )  # fmt: skip
    size = 4 + len(form) + 8 + info_bytes + 8 + num_bytes
    return b"".join(
        (
            b"RIFF", struct.pack("<I", size), b"WAVE", form,
            b"LIST", struct.pack("<I", info_bytes), b"INFO", comment,
            b"data", struct.pack("<I", num_bytes),
        )
    )  # fmt: skip


def short_clip() -> bytes:
    """A second of sound as a WAV file without a mark, to ask an endpoint whether it hears."""
    made = clip(sound(np.random.default_rng(0)), 0, RATE_HZ)
    return wav(made).replace(SALT_MARK.encode(), b"x" * _SALT_BYTES)
