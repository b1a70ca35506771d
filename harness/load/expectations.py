"""Whether a finished answer is what its class asked for: a valid tool call, a valid document, a
vector for each text.

Judged after the stream, from the text that was kept for it. Reasons name keywords and places, never
values: what a model says belongs in no record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from harness.load.answer import Answer
from harness.scenario import document as doc

FIT_FINISHES = ("tool_calls", "stop", "function_call", "eos")


class Fitness(NamedTuple):
    """is_fit: None where nothing was expected.  reason: why it is not fit.

    first_argument, call_done: index of the chunk that brought the first byte of arguments, and of
    the one that completed the first valid call; -1 for none.
    """

    is_fit: bool | None = None
    reason: str = ""
    first_argument: int = -1
    call_done: int = -1


class Expectation(Protocol):
    """is_required: an answer that is not fit is a failed request."""

    is_required: bool

    def judge(self, answer: Answer) -> Fitness: ...


def expectation_of(workload: doc.Workload, tasks: Mapping[str, Any]) -> Expectation | None:
    """What the answers of a class are held to. tasks: Materials.tasks."""
    if isinstance(workload, doc.ToolsWorkload):
        return ToolCalls(tasks[workload.tools_file], workload.expect.valid_call)
    if isinstance(workload, doc.JsonSchemaWorkload):
        return Document(tasks[workload.schema_file])
    if isinstance(workload, doc.EmbeddingsWorkload):
        return Vectors(workload.dimensions, workload.encoding_format or "float")
    if isinstance(workload, doc.AudioWorkload) and workload.files:
        return Words()
    return None


class Document:
    """The whole visible text is one JSON value of the schema."""

    is_required = True

    def __init__(self, schema: Any) -> None:
        self._validator = _validator(schema)

    def judge(self, answer: Answer) -> Fitness:
        if answer.finish not in FIT_FINISHES:
            return Fitness(False, f"the answer was cut: finish_reason {answer.finish}")
        try:
            value = _loads("".join(answer.visible))
        except (ValueError, RecursionError):
            return Fitness(False, "the answer is not JSON")
        fault = _fault(self._validator, value)
        return Fitness(not fault, fault and f"the answer breaks the schema: {fault}")


class Vectors:
    """A vector for each text, as they were asked for. num_dims: None for any length."""

    is_required = True

    def __init__(self, num_dims: int | None, encoding: str = "float") -> None:
        self._num_dims, self._encoding = num_dims, encoding

    def judge(self, answer: Answer) -> Fitness:
        found, asked = answer.whole, answer.num_inputs
        if found.num_vectors != asked:
            return Fitness(False, f"{found.num_vectors} vectors for {asked} texts")
        if self._num_dims not in (None, found.num_dims):
            reason = f"vectors of {found.num_dims} numbers where {self._num_dims} were asked for"
            return Fitness(False, reason)
        if found.encoding not in ("", self._encoding):
            reason = f"vectors as {found.encoding} where {self._encoding} was asked for"
            return Fitness(False, reason)
        return Fitness(True)


class Words:
    """Of a recording that somebody chose: some. A clip made here says none, so nothing fits it."""

    is_required = True

    def judge(self, answer: Answer) -> Fitness:
        has_words = bool(answer.whole.text.strip())
        return Fitness(has_words, "" if has_words else "the transcript is empty")


class ToolCalls:
    """At least one call, and each of a function that was offered, with valid arguments."""

    def __init__(self, tools: Sequence[Mapping[str, Any]], is_required: bool) -> None:
        self.is_required = is_required
        functions = [tool["function"] for tool in tools]
        self._validators = {f["name"]: _validator(f.get("parameters", {})) for f in functions}

    def judge(self, answer: Answer) -> Fitness:
        calls = _calls(answer.call_events)
        faults = [self._fault(call) for call in calls]
        done = [c.done for c, fault in zip(calls, faults, strict=True) if not fault]
        if answer.finish not in FIT_FINISHES:
            reason = f"the answer was cut: finish_reason {answer.finish}"
        elif not calls:
            reason = "the answer holds no tool call"
        else:
            reason = next((f"call {n}: {fault}" for n, fault in enumerate(faults) if fault), "")
        begun = [c.first_argument for c in calls if c.first_argument >= 0]
        return Fitness(not reason, reason, min(begun, default=-1), min(done, default=-1))

    def _fault(self, call: _Call) -> str:
        validator = self._validators.get(call.name)
        if validator is None:
            return "a function that was not offered"
        try:
            arguments = _loads(call.arguments)
        except (ValueError, RecursionError):
            return "the arguments are not JSON"
        if not isinstance(arguments, dict):
            return "the arguments are no object"
        fault = _fault(validator, arguments)
        return fault and f"the arguments break the schema: {fault}"


class _Call:
    """One call put together. done: index of the chunk from which its arguments are whole."""

    def __init__(self) -> None:
        self.name = self.arguments = ""
        self.first_argument = self.done = -1

    def add(self, function: Mapping[str, Any], chunk: int) -> None:
        self.name += function.get("name") or ""
        piece = function.get("arguments") or ""
        if not piece:
            return
        if self.first_argument < 0:
            self.first_argument = chunk
        self.arguments += piece
        if self.done < 0 and "}" in piece and _is_whole(self.arguments):
            self.done = chunk


def _calls(events: Sequence[tuple[int, dict[str, Any]]]) -> list[_Call]:
    """Calls in order of index. events: chunk and the event that brought it."""
    calls: dict[int, _Call] = {}
    for chunk, event in events:
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or choice.get("message") or {}
            for place, part in enumerate(delta.get("tool_calls") or ()):
                index = part.get("index")
                call = calls.setdefault(index if type(index) is int else place, _Call())
                call.add(part.get("function") or {}, chunk)
            if delta.get("function_call"):  # what came before tool_calls
                calls.setdefault(0, _Call()).add(delta["function_call"], chunk)
    return [calls[index] for index in sorted(calls)]


def _is_whole(text: str) -> bool:
    try:
        return isinstance(_loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_no_number)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _validator(schema: Any) -> Any:
    return validator_for(schema, default=Draft202012Validator)(schema)


def _fault(validator: Any, value: Any) -> str:
    """The first keyword that is broken and where; empty for a valid value."""
    error = next(validator.iter_errors(value), None)
    return "" if error is None else f"'{error.validator}' at {error.json_path[:100]}"
