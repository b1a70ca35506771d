"""Transcriptions: a form with a WAV file, answered with fixed words when the script says so."""

from __future__ import annotations

import io
import json
import wave
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from harness.testing._ask import Ask, BadRequest
from harness.testing._events import STAMPS, Answer
from harness.testing.script import Behaviour

# formats that are no JSON
_WRITTEN = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}
_TIMED = {
    "srt": "1\n00:00:00,000 --> 00:00:01,000\n{}\n",
    "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{}\n",
}
_NOTHING = b"%.0b%.0a%.0a%.0a"  # id and stamps, cut to no byte


def read_form(payload: bytes, content_type: str) -> Ask:
    """Parse a body of /v1/audio/transcriptions. Raises BadRequest."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + payload)
    if not form.is_multipart():
        raise BadRequest(400, "a transcription needs a form with a file")
    fields: dict[str, bytes] = {}
    for part in form.walk():
        held = part.get_payload(decode=True)
        if isinstance(held, bytes):
            fields[str(part.get_param("name", header="content-disposition"))] = held
    if "file" not in fields:
        raise BadRequest(400, "the form has no file", param="file")
    try:
        with wave.open(io.BytesIO(fields.pop("file"))) as sound:
            duration_s = sound.getnframes() / sound.getframerate()
    except (wave.Error, EOFError) as error:
        raise BadRequest(400, f"the file is no WAV: {error}", param="file") from None
    body: dict[str, Any] = {
        name: value.decode("utf-8", "replace") for name, value in fields.items()
    }
    return Ask(
        is_chat=False, is_stream=False, max_tok=None, prompt_words=0, opening="", wants_usage=True,
        wants_usage_always=False, body=body, audio_s=duration_s,
    )  # fmt: skip


class Transcript(Answer):
    """What an Exchange asks of an answer; none of it is streamed."""

    def __init__(self, behaviour: Behaviour, ask: Ask, model: str) -> None:
        self.behaviour, self.ask, self.model = behaviour, ask, model
        self.output_tok, self.token_chunks, self.prompt_tok = 0, [], 0

    @property
    def kind(self) -> str:
        """Its content type."""
        return _WRITTEN.get(self._format, "application/json")

    @property
    def _format(self) -> str:
        return str(self.ask.body.get("response_format", "json"))

    def whole(self) -> bytes:
        """One template with the four holes of every answer, which words alone leave empty."""
        if self._format in _WRITTEN:
            text = (self.behaviour.transcript or "").replace("%", "%%")
            return _TIMED.get(self._format, "{}").format(text).encode() + _NOTHING
        said: dict[str, Any] = {}
        if self.behaviour.transcript is not None:
            said["text"] = self.behaviour.transcript
        if self.ask.body.get("response_format") == "verbose_json":
            said |= {"task": "transcribe", "duration": self.ask.audio_s, "segments": []}
            said["language"] = self.ask.body.get("language", "en")
        if self.behaviour.usage.where != "absent":
            said["usage"] = {"type": "duration", "seconds": self.ask.audio_s}
        text = json.dumps(said).replace("%", "%%")[1:-1]
        told = f",{text}" if text else ""
        return f'{{"id":"trsc-%b"{told},"x_script":{{"k":0,{STAMPS}}}}}'.encode()
