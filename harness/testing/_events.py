"""The JSON of every chunk of an answer, as templates that take the stamps when they are sent.

A template is bytes with four holes in a fixed order (id, recv_ns, due_ns, send_ns) of fixed width,
so that its length is known before its stamps are. Templates of token chunks depend on their place
only and are kept: a server at 50,000 chunks/s formats stamps and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from harness.testing._ask import Ask
from harness.testing._fit import Fitting, fitting
from harness.testing._words import token_text
from harness.testing.script import Behaviour

STAMPS = '"recv_ns":%19d,"due_ns":%19d,"send_ns":%19d'
Templates = dict[tuple[bool, bool], list[bytes]]  # by (is chat, counts in every chunk)
CREATED = 1_700_000_000  # a fixed time: same script, same bytes


class Event(NamedTuple):
    """One SSE event.

    at: the token chunk whose due time it shares; -1: due with the headers, and between -1 and 0
    that share of the way to the first token. is_stamped: whether data has the four holes.
    is_tail: comes after the last token.
    """

    data: bytes
    at: float
    is_stamped: bool = True
    is_tail: bool = False


class Answer:
    """One answer's content: how many tokens, in which chunks, with which usage.

    framed: ready templates of its token chunks, shared by all answers of one behaviour, dialect and
    way to count; an exchange fills it.
    """

    def __init__(self, behaviour: Behaviour, ask: Ask, model: str, templates: Templates) -> None:
        self.behaviour, self.ask, self.model = behaviour, ask, model
        self.framed = templates.setdefault((ask.is_chat, self._counts_every), [])
        tokens, chunks = behaviour.tokens, behaviour.chunks
        self._fitting: Fitting | None = None
        if ask.is_chat and chunks.kind == "text" and chunks.text is None:
            self._fitting = fitting(ask.body, is_wrong=not chunks.fit)
        asked = tokens.output
        if asked is None:
            asked = ask.max_tok if ask.max_tok is not None else tokens.output_default
        if self._fitting is not None:  # as long as it is, but for the request's own limit
            whole = len(self._fitting.pieces)
            asked = min(whole, whole if ask.max_tok is None else ask.max_tok)
        self.output_tok = max(0, asked + tokens.output_delta)
        self.prompt_tok = round(tokens.prompt_slope * ask.prompt_words) + tokens.prompt_fixed
        self.token_chunks = _in_chunks(behaviour, self.output_tok)

    @property
    def kind(self) -> str:
        """Content type of an answer without a stream."""
        return "application/json"

    @property
    def finish_reason(self) -> str:
        chunks = self.behaviour.chunks
        if chunks.finish_reason is not None:
            return chunks.finish_reason
        if self._fitting is not None and self.output_tok < len(self._fitting.pieces):
            return "length"
        if chunks.kind == "tools" or (self._fitting is not None and self._fitting.name):
            return "tool_calls"
        if self._fitting is not None:
            return "stop"
        return "length" if self.output_tok == self.ask.max_tok else "stop"

    @property
    def _sends_usage(self) -> bool:
        usage = self.behaviour.usage
        return usage.where != "absent" and (usage.always or self.ask.wants_usage)

    def events(self) -> Iterator[Event]:
        """Every event in order, without the errors and breaks of a script."""
        yield from self.opening()
        last = len(self.token_chunks) - 1
        is_last_finish = self.behaviour.chunks.finish == "last_token"
        for i, tokens in enumerate(self.token_chunks):
            is_finish = i == last and is_last_finish
            yield Event(self._token_chunk(self.num_opening + i, tokens, is_finish), i)
        yield from self.tail()

    @property
    def num_opening(self) -> int:
        """Events before the first token."""
        chunks = self.behaviour.chunks
        return int(self.ask.is_chat and chunks.role_first) + chunks.empty_deltas

    def opening(self) -> Iterator[Event]:
        """The role, then empty deltas."""
        num_empty = self.behaviour.chunks.empty_deltas
        first_empty = self.num_opening - num_empty
        if first_empty:
            yield Event(self._chunk(0, {"role": "assistant", "content": ""}), -1)
        for i in range(num_empty):
            empty = self._chunk(first_empty + i, {"content": ""})
            yield Event(empty, (i + 1) / (num_empty + 1) - 1)

    def token_template(self, i: int) -> bytes:
        """Of token chunk i, where one chunk is one token."""
        data = self._token_chunk(self.num_opening + i, range(i, i + 1), is_finish=False)
        if not self.has_count_holes:
            return data
        counts = self.usage(i + 1)
        assert counts is not None
        for name in ("prompt_tokens", "total_tokens"):
            told = b'"%b":%d' % (name.encode(), counts[name])
            data = data.replace(told, b'"%b":%%9d' % name.encode(), 1)
        return data

    def total_tok(self, i: int) -> int:
        """What token chunk i says in its hole for the total."""
        counts = self.usage(i + 1)
        return 0 if counts is None else int(counts["total_tokens"])

    def tail(self) -> Iterator[Event]:
        """What follows the last token: finish, usage, the end marker and what comes after it."""
        sse, where = self.behaviour.sse, self.behaviour.usage.where
        k, at = self.num_opening + len(self.token_chunks), max(len(self.token_chunks) - 1, 0)
        finish = self.behaviour.chunks.finish
        if finish == "own" or (finish == "last_token" and not self.token_chunks):
            chunk = self._chunk(k, {}, self.finish_reason, self.output_tok)
            yield Event(chunk, at, is_tail=True)
            k += 1
        if self._sends_usage and where == "final":
            yield Event(self._usage_chunk(k), at, is_tail=True)
            k += 1
        if sse.done:
            yield Event(b"[DONE]", at, is_stamped=False, is_tail=True)
        if self._sends_usage and where == "after_done":
            yield Event(self._usage_chunk(k), at, is_tail=True)
        if sse.after_done is not None:
            yield Event(sse.after_done.encode(), at, is_stamped=False, is_tail=True)

    @property
    def varies(self) -> bool:
        """Whether token chunks of answers of one behaviour differ in more than their holes."""
        if self.behaviour.chunks.kind == "tools" or self._fitting is not None:
            return True
        return self._counts_every and not self.has_count_holes

    @property
    def has_count_holes(self) -> bool:
        """Whether token templates have holes for prompt and total tokens, after that of the id:
        all else that a chunk's usage says depends on its place only."""
        usage = self.behaviour.usage
        is_usual = usage.values in ("true", "wrong") and usage.reasoning == "untold"
        return self._counts_every and is_usual and usage.cached_tok is None

    def _token_chunk(self, k: int, tokens: range, is_finish: bool) -> bytes:
        reason = self.finish_reason if is_finish else None
        delta = self._delta(tokens)
        if self.behaviour.chunks.pad_bytes:
            delta["ballast"] = "x" * self.behaviour.chunks.pad_bytes
        return self._chunk(k, delta, reason, tokens.stop)

    def _delta(self, tokens: range) -> dict[str, Any]:
        """What a chunk adds: a part of the reasoning, a tool call, the refusal or the text."""
        chunks = self.behaviour.chunks
        if self._fitting is not None and self._fitting.name is None:
            return {"content": "".join(self._fitting.pieces[tokens.start : tokens.stop])}
        if chunks.kind == "tools" or self._fitting is not None:
            return {"tool_calls": [self._call_delta(tokens)]}
        delta: dict[str, Any] = {}
        thought = range(tokens.start, min(tokens.stop, chunks.reasoning_tok))
        if thought:
            delta[chunks.reasoning_field] = self._text(thought)
        spoken = range(max(tokens.start, chunks.reasoning_tok), tokens.stop)
        if spoken:
            delta["refusal" if chunks.kind == "refusal" else "content"] = self._text(spoken)
        return delta

    def _text(self, tokens: range) -> str:
        return "".join(token_text(i, self.behaviour.chunks.text) for i in tokens)

    def _call_delta(self, tokens: range) -> dict[str, Any]:
        """Token 0 is the name; the arguments are `{"q":"..."}` over the others."""
        pieces = [self._argument(i) for i in tokens]
        if tokens.start:
            return {"index": 0, "function": {"arguments": "".join(pieces)}}
        name = "look_up" if self._fitting is None else self._fitting.name
        function = {"name": name, "arguments": "".join(pieces)}
        return {"index": 0, "id": "call_0", "type": "function", "function": function}

    def _argument(self, i: int) -> str:
        if self._fitting is not None:
            return self._fitting.pieces[i] if i < len(self._fitting.pieces) else ""
        if i == 0:
            return ""
        opening = '{"q":"' if i == 1 else ""
        closing = '"}' if i == self.output_tok - 1 else ""
        return opening + token_text(i, self.behaviour.chunks.text) + closing

    def _chunk(
        self, k: int, delta: dict[str, Any], reason: str | None = None, num_tok: int = 0
    ) -> bytes:
        choice: dict[str, Any] = {"index": 0}
        if self.ask.is_chat:
            choice["delta"] = delta
        else:
            choice["text"] = delta.get("content", "")
        choice |= {"logprobs": None, "finish_reason": reason}
        return self._render(k, [choice], self._usage_of_chunk(num_tok, reason is not None))

    @property
    def _counts_every(self) -> bool:
        """Whether every chunk has usage: by script, or because the request asked for it."""
        where = self.behaviour.usage.where
        is_asked = self.ask.wants_usage_always and where == "final"
        return self._sends_usage and (where == "every" or is_asked)

    def _usage_of_chunk(self, num_tok: int, is_finish: bool) -> dict[str, Any]:
        usage = self.behaviour.usage
        is_here = self._sends_usage and usage.where == "finish" and is_finish
        if is_here or self._counts_every:
            return {"usage": self.usage(num_tok)}
        return {"usage": None} if usage.null_before else {}

    def _usage_chunk(self, k: int) -> bytes:
        return self._render(k, [], {"usage": self.usage(self.output_tok)})

    def usage(self, num_tok: int) -> dict[str, Any] | None:
        """The usage object as the script spells it, after num_tok tokens."""
        usage = self.behaviour.usage
        if usage.values == "null":
            return None
        prompt, output = self.prompt_tok, num_tok
        if usage.values == "zero":
            prompt = output = 0
        elif usage.values == "echo_max":
            output = self.ask.max_tok or 0
        elif usage.values == "wrong":
            output += usage.wrong_by
        counts: dict[str, Any] = {
            "prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output
        }  # fmt: skip
        if usage.reasoning != "untold":
            thought = min(output, self.behaviour.chunks.reasoning_tok)
            counts["completion_tokens_details"] = {"reasoning_tokens": thought}
            if usage.reasoning == "outside":
                counts["completion_tokens"] -= thought
        if usage.cached_tok is not None and usage.cached_field == "details":
            counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tok}
        elif usage.cached_tok is not None:
            counts["prompt_cache_hit_tokens"] = usage.cached_tok
        return counts

    def _render(self, k: int, choices: list[dict[str, Any]], extra: dict[str, Any]) -> bytes:
        prefix, name = ("chatcmpl", "chat.completion.chunk") if self.ask.is_chat else (
            "cmpl", "text_completion")  # fmt: skip
        body = {"object": name, "created": CREATED, "model": self.model, "choices": choices} | extra
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).replace("%", "%%")
        holes = f',"x_script":{{"k":{k},{STAMPS}}}}}'
        return (f'{{"id":"{prefix}-%b",' + text[1:-1] + holes).encode()

    def whole(self) -> bytes:
        """The answer without a stream, as one JSON template with the same holes."""
        chunks = self.behaviour.chunks
        every = range(self.output_tok)
        choice: dict[str, Any] = {"index": 0}
        delta = self._delta(every) if every else {}
        if self.ask.is_chat:
            choice["message"] = {"role": "assistant", "content": None} | delta
            for call in choice["message"].get("tool_calls", ()):
                call.pop("index")
        else:
            choice["text"] = delta.get("content", "")
        choice |= {
            "logprobs": None,
            "finish_reason": None if chunks.finish == "none" else self.finish_reason,
        }
        usage = {} if self.behaviour.usage.where == "absent" else {
            "usage": self.usage(self.output_tok)}  # fmt: skip
        body = self._render(0, [choice], usage)
        return body.replace(b'"chat.completion.chunk"', b'"chat.completion"', 1)


def _in_chunks(behaviour: Behaviour, output_tok: int) -> list[range]:
    """The tokens of each chunk, by position."""
    chunks = behaviour.chunks
    size = chunks.tok_per_chunk
    first = min(chunks.first_chunk_tok or size, output_tok)
    heads = [range(first)] if first else []
    rest = range(first, output_tok, size)
    return heads + [range(i, min(i + size, output_tok)) for i in rest]
