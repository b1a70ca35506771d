"""Rules of classes whose answers come whole: texts to embed, recordings to transcribe.

As in _rules.py: field and message, run on every block that is valid in itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.scenario import document as doc
from harness.units import write_seconds

LEAST_CLIP_S, MOST_CLIP_S = 0.1, 600.0  # of 16 kHz: 19 MB
_LONGEST = {"fixed": "value", "uniform": "max", "lognormal": "max", "exponential": "mean"}


def whole_complaints(block: doc.TrafficClass) -> Iterator[tuple[str, str]]:
    """Keys of generated text, on a class that generates none."""
    work = block.workload
    if not isinstance(work, doc.WholeWorkload):
        return
    what = f"is for generated text, which a workload of kind {work.kind} has none of"
    if block.api != "chat":
        yield "api", f"{what}; leave it out"
    if block.sampling != doc.Sampling():
        yield "sampling", f"{what}; leave it out"
    if block.prefix is not None:
        yield "prefix", f"{what}; leave it out"
    if block.cancel is not None and block.cancel.after_tokens is not None:
        yield "cancel.after_tokens", f"{what}; say cancel.after, a time"


def embeddings_complaints(block: doc.EmbeddingsWorkload) -> Iterator[tuple[str, str]]:
    for name, what in (("batch", "text"), ("input_tokens", "token")):
        lengths = getattr(block, name)
        if (isinstance(lengths, doc.Fixed) and lengths.value < 1) or (
            isinstance(lengths, doc.Uniform) and lengths.max < 1
        ):
            yield name, f"must be at least one {what}"


def audio_complaints(block: doc.AudioWorkload) -> Iterator[tuple[str, str]]:
    if (block.clip is None) == (not block.files):
        yield "clip", "say what is sent: either clip (made here) or files"
    if block.language is not None and not re.fullmatch("[a-z]{2,3}", block.language):
        yield "language", "is a code of two letters, such as en"
    if block.clip is None:
        return
    duration = block.clip.duration
    where = f"clip.duration.{_LONGEST[duration.kind]}"
    longest = getattr(duration, _LONGEST[duration.kind])
    if longest > MOST_CLIP_S:
        yield where, f"is above {write_seconds(MOST_CLIP_S)}; endpoints take 25 MB of audio"
    elif duration.kind == "exponential" and longest > MOST_CLIP_S / 10:
        yield (
            where,
            f"is above {write_seconds(MOST_CLIP_S / 10)}; single draws reach ten times a mean",
        )
    if longest < LEAST_CLIP_S:
        yield where, f"is below {write_seconds(LEAST_CLIP_S)}, the least that endpoints take"
