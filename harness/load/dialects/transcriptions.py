"""/audio/transcriptions: one recording in, as a form with a file; its words out, in one answer.

The words are read to see that there are some, and dropped. Of formats that are no JSON the body is
the answer: words, or words between times.
"""

from __future__ import annotations

from typing import Any

from harness.load.dialects.base import Body, Unstreamed, Whole
from harness.load.facts import TargetFacts
from harness.traffic import SALT_MARK, Content

# fixed: bodies are made before the load, and equal on every worker
BOUNDARY = "----harness-form-5f1d0c7ab2e94c36"
_CLOSING = f"\r\n--{BOUNDARY}--\r\n".encode()


class Transcriptions(Unstreamed):
    path = "/audio/transcriptions"
    content_type = f"multipart/form-data; boundary={BOUNDARY}"

    def encode(self, content: Content, facts: TargetFacts, model: str) -> Body:
        opening = _opening({"model": model, **content.fields}) + content.wav_head
        if not content.salted:
            return Body(opening, None, shared=content.sound, end=_CLOSING)
        head, mark, tail = opening.partition(SALT_MARK.encode())
        assert mark, "a clip that is made here carries the mark"
        return Body(head, tail, shared=content.sound, end=_CLOSING)

    def read_object(self, answer: dict[str, Any], usage: dict[str, Any] | None) -> Whole:
        text = answer.get("text")
        if not isinstance(text, str):
            return Whole(usage, problem="the answer has no 'text'")
        return Whole(usage, text=text)


class WrittenTranscriptions(Transcriptions):
    """The same, answered as text, srt or vtt."""

    is_json = False

    def read_whole(self, body: bytes) -> Whole:
        if body.lstrip().startswith(b"{"):  # an error, or an endpoint that knows only JSON
            told = super().read_whole(body)
            if told.error:
                return told
            if not told.problem:
                return Whole(told.usage, problem="JSON though words alone were asked for")
        try:
            return Whole(text=_words(body.decode()))
        except UnicodeDecodeError:
            return Whole(problem="the body is not UTF-8 text")


def _words(text: str) -> str:
    """What is said, without the numbers and times of srt and vtt."""
    lines = text.removeprefix("\ufeff").splitlines()
    if not any("-->" in line for line in lines) and lines[:1] != ["WEBVTT"]:
        return text
    kept = [x for x in lines if "-->" not in x and not x.strip().isdigit() and x != "WEBVTT"]
    return "\n".join(kept)


def form_of(fields: dict[str, str], wav: bytes) -> bytes:
    """The form as it goes on the wire."""
    return _opening(fields) + wav + _CLOSING


def _opening(fields: dict[str, str]) -> bytes:
    """Up to the recording."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return "".join(parts).encode()
