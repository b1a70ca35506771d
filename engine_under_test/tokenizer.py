"""Text to tokens: vocabulary, special tokens and chat template of a Hugging Face or GGUF model.

Templates are code from a model directory, so they run in jinja2's immutable sandbox. Byte-level
vocabularies decode through a table of bytes, all others through the library. Shapes without a
vocabulary of their own speak bytes. Nothing here downloads anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from .detokenizer import (
    ByteDetokenizer,
    IncrementalDetokenizer,
    WindowDetokenizer,
)

Message = Mapping[str, Any]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


# A template that prints a call's arguments as JSON without asking whether they are text already.
_TAKES_OBJECTS = re.compile(r"arguments\s*\|\s*tojson")
_TAKES_TEXT = re.compile(r"arguments\s+is\s+string")


class BadTemplate(ValueError):
    """The messages do not fit the model's chat template; the text is the template's own."""


class ChatTemplate:
    """A jinja chat template as Hugging Face models ship it.

    Many of them expect a call's arguments as an object, where OpenAI's clients send JSON text: such
    a template gets the object, or it would print text within text.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        env = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        env.filters["tojson"] = _tojson
        env.globals["raise_exception"] = _raise_exception
        env.globals["strftime_now"] = _strftime_now
        self._template = env.from_string(source)
        self._special_tokens = dict(special_tokens or {})
        self._takes_objects = bool(_TAKES_OBJECTS.search(source) and not _TAKES_TEXT.search(source))

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt text. Raises BadTemplate when the template refuses the messages."""
        known = {
            **self._special_tokens,
            **(variables or {}),
            "messages": [_with_objects(m) for m in messages]
            if self._takes_objects
            else list(messages),
            "tools": list(tools) if tools else None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._template.render(known)
        except Exception as error:  # the model's code on the client's data: anything may come
            raise BadTemplate(str(error) or type(error).__name__) from error


class Tokenizer:
    """Encodes prompts, decodes answers. ids outside the vocabulary print as their number.

    That happens with random weights only: their output layer is wider than the byte vocabulary.
    """

    def __init__(
        self,
        backend: Backend,
        chat_template: ChatTemplate | None = None,
        eos_ids: Sequence[int] = (),
    ) -> None:
        self._backend = backend
        self.chat_template = chat_template
        self.eos_ids = tuple(eos_ids)
        self.vocab_size = backend.get_vocab_size(with_added_tokens=True)
        added = backend.get_added_tokens_decoder()
        self.special_ids = frozenset(i for i, token in added.items() if token.special)
        parts = json.loads(backend.to_str())
        self._byte_of = _byte_of_char() if _is_byte_level(parts) else None
        self._longest = 0 if _shrinks(parts) else max(map(len, backend.get_vocab()), default=0)
        self._bytes: dict[int, bytes] = dict.fromkeys(self.special_ids, b"")
        self._whole_texts: dict[int, str | None] = {}

    @classmethod
    def from_path(cls, path: Path) -> Tokenizer:
        """Of a model directory or a GGUF file. Raises FileNotFoundError, ValueError, ModelError."""
        if not path.is_file():
            return cls.from_dir(path)
        from .gguf_tokenizer import read_vocabulary  # late: they bring torch along
        from .models.gguf_file import GgufFile

        found = read_vocabulary(GgufFile(path))
        template = _template(path, found.chat_template, found.special_tokens)
        return cls(found.backend, template, () if found.eos_id is None else (found.eos_id,))

    @classmethod
    def from_dir(cls, path: Path) -> Tokenizer:
        """Reads tokenizer.json and tokenizer_config.json. Raises FileNotFoundError, ValueError."""
        file = path / "tokenizer.json"
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file")
        try:
            backend = Backend.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"{file}: {error}") from error
        config = _read_json(path / "tokenizer_config.json")
        special = {
            name: text
            for name, value in config.items()
            if name.endswith("_token") and (text := _token_text(value))
        }
        template = _template(path, _template_source(path, config), special)
        eos = backend.token_to_id(special.get("eos_token", ""))
        return cls(backend, template, () if eos is None else (eos,))

    @classmethod
    def of_bytes(cls) -> Tokenizer:
        """256 byte tokens and three markers, with the ChatML template: for random weights."""
        alphabet = sorted(_byte_of_char().items(), key=lambda pair: pair[1])
        backend = Backend(models.BPE(vocab=dict(alphabet), merges=[]))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        markers = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
        backend.add_special_tokens([AddedToken(m, special=True) for m in markers])
        end = backend.token_to_id("<|im_end|>")
        return cls(backend, ChatTemplate(CHATML), () if end is None else (end,))

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        # The batch call lets other threads run meanwhile; `encode` holds the interpreter's lock.
        (encoding,) = self._backend.encode_batch_fast([text], add_special_tokens=add_special_tokens)
        ids: list[int] = encoding.ids
        return ids

    def at_least(self, text: str) -> int:
        """A lower bound of the number of tokens, without encoding: no token spells more than the
        longest. 0 where the tokenizer may drop text first."""
        return -(-len(text) // self._longest) if self._longest else 0

    def decode(self, ids: Sequence[int]) -> str:
        """All tokens at once, special tokens left out, invalid UTF-8 replaced."""
        if self._byte_of is not None:
            return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")
        known = [i for i in ids if 0 <= i < self.vocab_size]
        text: str = self._backend.decode(known, skip_special_tokens=True)
        return text

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes one token adds to the text; empty for a special token."""
        found = self._bytes.get(token_id)
        if found is None:
            found = self._bytes[token_id] = self._compute_bytes(token_id)
        return found

    def whole_text(self, token_id: int) -> str | None:
        """The same as text; None where the bytes are not whole characters."""
        try:
            return self._whole_texts[token_id]
        except KeyError:
            try:
                text = self.token_bytes(token_id).decode()
            except UnicodeDecodeError:
                text = None
            self._whole_texts[token_id] = text
            return text

    def token_text(self, token_id: int) -> str:
        """How one token reads in a log-probability table; special tokens by their name."""
        if token_id in self.special_ids:
            return str(self._backend.id_to_token(token_id))
        return self.token_bytes(token_id).decode("utf-8", "replace")

    def has_token(self, text: str) -> bool:
        """Whether this text is one token of its own."""
        return self._backend.token_to_id(text) is not None

    def added_tokens(self) -> dict[str, int]:
        """Tokens beside the vocabulary proper that are shown like text, by that text."""
        added = self._backend.get_added_tokens_decoder()
        return {token.content: i for i, token in added.items() if not token.special}

    def to_json(self) -> str:
        """The whole tokenizer in the library's own format, for whoever reads that."""
        return str(self._backend.to_str())

    def detokenizer(self) -> IncrementalDetokenizer:
        """A fresh incremental decoder for one sequence."""
        if self._byte_of is not None:
            return ByteDetokenizer(self.token_bytes, self.whole_text)
        return WindowDetokenizer(self.decode)

    def _compute_bytes(self, token_id: int) -> bytes:
        token = self._backend.id_to_token(token_id)
        if token is None:
            return f" {token_id:x}".encode()
        if self._byte_of is None:
            text: str = self._backend.decode([token_id], skip_special_tokens=True)
            return text.encode()
        # A token with any character outside the byte alphabet (an added token) stands for itself.
        if all(char in self._byte_of for char in token):
            return bytes(self._byte_of[char] for char in token)
        return str(token).encode()


def _byte_of_char() -> dict[str, int]:
    """GPT-2's printable stand-ins: bytes that print stand for themselves, the rest follow 255."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in printable}
    others = [b for b in range(256) if b not in set(printable)]
    table.update({chr(256 + n): b for n, b in enumerate(others)})
    return table


def _shrinks(parts: Mapping[str, Any]) -> bool:
    """Whether the normaliser may make text shorter."""
    normaliser = parts.get("normalizer") or {}
    steps = normaliser.get("normalizers", [normaliser]) if normaliser else []
    return any(step.get("type") not in ("Prepend", "Replace", "ByteLevel") for step in steps)


def _is_byte_level(parts: Mapping[str, Any]) -> bool:
    decoder = parts.get("decoder") or {}
    steps = decoder.get("decoders", [decoder]) if decoder.get("type") == "Sequence" else [decoder]
    return all(step.get("type") == "ByteLevel" for step in steps)


def _template(path: Path, source: str | None, special: Mapping[str, str]) -> ChatTemplate | None:
    try:
        return ChatTemplate(source, special) if source else None
    except TemplateSyntaxError as error:
        raise ValueError(f"{path}: the chat template, line {error.lineno}: {error}") from error


def _template_source(path: Path, config: Mapping[str, Any]) -> str | None:
    file = path / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    found = config.get("chat_template")
    if isinstance(found, list):  # several named templates: the one called default speaks
        found = next((t["template"] for t in found if t.get("name") == "default"), None)
    return found


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _token_text(value: object) -> str:
    """A special token as a string, or as the object with `content` older files hold."""
    if isinstance(value, dict):
        value = value.get("content", "")
    return value if isinstance(value, str) else ""


def _with_objects(message: Message) -> Message:
    """The message with the arguments of its calls as objects, where they are the text of one."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    return {**message, "tool_calls": [_with_object(call) for call in calls]}


def _with_object(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except (ValueError, RecursionError):
        return call
    known = isinstance(arguments, dict)
    return {**call, "function": {**function, "arguments": arguments}} if known else call


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers' templates know it: no escapes for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
