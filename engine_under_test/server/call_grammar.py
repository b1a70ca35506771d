"""A request's constraint as llguidance's Lark: a JSON answer, tool calls, or text with calls in it.

The grammar makes the model write what the parser of tools.py reads. Text is free: any token may
stand in it but the one that opens a call, and its spelling in other tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..errors import RequestRefused
from ..schemas import check_schema
from ..tokenizer import Tokenizer
from .tools import CLOSE, OPEN

MAX_CALLS = 16  # of an answer that must be calls: a small model might never end it
ANY_OBJECT: dict[str, Any] = {"type": "object"}
# The model keeps its own style of JSON, but cannot write white space for ever.
_OPTIONS = {"x-guidance": {"whitespace_pattern": r"\n?[ \t]{0,32}"}}
_MARKED_TEXT = rf"TEXT: /(.|\n)+/ & ~/(.|\n)*{OPEN}(.|\n)*/"


class Callable(NamedTuple):
    """A function that may be called: its name and the schema of its arguments, as JSON text.

    is_demanded: a schema that cannot be kept is refused; else any JSON object will do then.
    """

    name: str
    parameters: str
    field: str
    is_demanded: bool = True


@dataclass(frozen=True, slots=True)
class Marks:
    """What a tokenizer has beside plain text. has_brackets: OPEN and CLOSE are tokens.

    text_ids: added tokens that are shown like text.  special_ids: those that are never shown.
    """

    has_brackets: bool = False
    text_ids: tuple[int, ...] = ()
    special_ids: frozenset[int] = frozenset()

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Marks:
        shown = tokenizer.added_tokens()
        return cls(
            OPEN in shown and CLOSE in shown,
            tuple(i for text, i in shown.items() if text != OPEN),
            frozenset(tokenizer.special_ids),
        )


@dataclass(frozen=True, slots=True)
class Constraint:
    """One request's grammar before it is one. Equal constraints compile once.

    answer: the schema of a JSON answer, as text; None: no such answer is allowed.
    functions: those that may be called, at most max_calls times; None: as often as it likes.
    has_text: text may stand around the calls, and instead of them; else the answer is calls.
    stop_ids: special tokens that may end the text.
    """

    answer: str | None = None
    functions: tuple[Callable, ...] = ()
    max_calls: int | None = MAX_CALLS
    has_text: bool = False
    stop_ids: tuple[int, ...] = ()
    marks: Marks = Marks()

    @property
    def field(self) -> str:
        """The request's field that asked for it."""
        return "response_format" if self.answer is not None else "tools"

    @property
    def is_demanded(self) -> bool:
        """Whether the client asked for a form, rather than offering tools to a free model."""
        return (
            not self.has_text or self.max_calls == 1 or any(f.is_demanded for f in self.functions)
        )

    def lark(self) -> str:
        """The grammar. Raises RequestRefused that names the keyword it cannot keep."""
        rules, starts = [], []
        if self.answer is not None:
            starts.append("answer")
            rules.append(f"answer: {_json_rule(self.answer, 'response_format')}")
        if self.functions:
            starts.append("spoken" if self.has_text else "calls")
            rules += [*self._functions(), *(self._spoken() if self.has_text else self._calls())]
        return "\n".join([f"start: {' | '.join(starts)}", *rules, ""])

    def looser(self) -> Constraint | None:
        """The same with any object for the arguments that nobody demanded; None: nothing to loose.

        For schemas that the grammar engine turns down although no keyword of theirs is refused.
        """
        any_object = json.dumps(ANY_OBJECT)
        loose = tuple(
            f if f.is_demanded else f._replace(parameters=any_object) for f in self.functions
        )
        return None if loose == self.functions else replace(self, functions=loose)

    def _functions(self) -> list[str]:
        names = [f"f{n}" for n in range(len(self.functions))]
        rules = [f"function: {' | '.join(names)}"]
        for name, function in zip(names, self.functions, strict=True):
            head = f'{{"name": {json.dumps(function.name)}, "arguments": '
            rules.append(f'{name}: {_literal(head)} a_{name} "}}"')
            rules.append(f"a_{name}: {_arguments(function)}")
        closed = CLOSE if self.marks.has_brackets else _literal(CLOSE)
        return [*rules, f'body: "\\n"? function "\\n"? {closed}']

    def _calls(self) -> list[str]:
        assert self.max_calls is not None, "an answer of calls alone has to end"
        more = f' ("\\n"? call){{0,{self.max_calls - 1}}}' if self.max_calls > 1 else ""
        opened = OPEN if self.marks.has_brackets else _literal(OPEN)
        return [f"calls: call{more}", f"call: {opened} body"]

    def _spoken(self) -> list[str]:
        assert self.max_calls in (1, None), "text may hold one call or any number"
        if self.marks.has_brackets:
            rules = [f"call: {OPEN} body", _MARKED_TEXT]
        else:
            # A lazy rule ends where its last characters first appear, so no text holds a bracket.
            rules = [f"call: opening body\nopening[lazy]: ANY {_literal(OPEN)}"]
            rules += [r"ANY: /(.|\n)*/", r"TEXT: /(.|\n)+/"]
        # Two texts never touch: a bracket could be spelled across their border.
        between = ["call"] if self.max_calls is None else []
        if self.marks.text_ids:
            between.append(_tokens(self.marks.text_ids))
        spoken = f"TEXT? (({' | '.join(between)}) TEXT?)*" if between else "TEXT?"
        spoken += " call?" if self.max_calls == 1 else ""
        spoken += f" ({_tokens(self.stop_ids)})?" if self.stop_ids else ""
        return [f"spoken: {spoken}", *rules]


def _arguments(function: Callable) -> str:
    """The rule of a function's arguments. Raises RequestRefused where they are demanded."""
    try:
        return _json_rule(function.parameters, function.field)
    except RequestRefused:
        if function.is_demanded:
            raise
        return _json_rule(json.dumps(ANY_OBJECT), function.field)


def _json_rule(text: str, field: str) -> str:
    """The right side of a rule that is a JSON value of this schema. Raises RequestRefused."""
    schema = json.loads(text)
    check_schema(schema, field)
    if schema is False:
        raise RequestRefused("the schema allows nothing", where=field)
    return f"%json {json.dumps({**(schema if isinstance(schema, dict) else {}), **_OPTIONS})}"


def _tokens(ids: Seq[int]) -> str:
    return f"<[{','.join(map(str, sorted(set(ids))))}]>"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
