"""Which behaviour a request gets: the script's, a fault's, or what its own header asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from harness.errors import Fault as FaultMessage
from harness.errors import ScenarioError
from harness.testing._ask import BadRequest
from harness.testing._due import fraction
from harness.testing.script import Behaviour, Script


@dataclass(frozen=True, slots=True)
class Choice:
    """A behaviour, the fault it came from, and its templates by dialect and way to count."""

    behaviour: Behaviour
    fault: int | None = None
    templates: dict[tuple[bool, bool], list[bytes]] = field(default_factory=dict)


class Chooser:
    """Behaviours are compiled once: at the start, and a header's text when first seen."""

    def __init__(self, script: Script) -> None:
        self._script = script
        own = script.model_dump(exclude_unset=True, include=set(Behaviour.model_fields))
        self._own = own
        self._plain = Choice(Behaviour.model_validate(own))
        self._faults = [
            Choice(Behaviour.model_validate(merge(own, fault.then)), index)
            for index, fault in enumerate(script.faults)
        ]
        self._asked: dict[str, Choice] = {}

    def choose(self, ordinal: int, header: str | None, model: object = None) -> Choice:
        """For that arrival (from 0). model: the one it asks for. Raises BadRequest when the header
        is not a behaviour."""
        if header is not None:
            return self._by_header(header)
        for index, fault in enumerate(self._script.faults):
            is_in = fault.first <= ordinal and (fault.last is None or ordinal <= fault.last)
            is_in = is_in and fault.model in (None, model)
            seed = self._script.seed
            if is_in and fraction(seed, f"fault/{index}", ordinal) < fault.share:
                return self._faults[index]
        return self._plain

    def _by_header(self, header: str) -> Choice:
        if header not in self._asked:
            try:
                overlay = json.loads(header)
                if not isinstance(overlay, dict):
                    raise ValueError("it is not a JSON object")
                choice = Choice(Behaviour.model_validate(merge(self._own, overlay)))
            except ValueError as error:
                raise BadRequest(400, f"x-script is not a behaviour: {error}") from None
            if len(self._asked) >= 1000:
                self._asked.clear()
            self._asked[header] = choice
        return self._asked[header]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """base with over's values; objects are merged key by key, all else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        is_nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(old, value) if is_nested else value  # type: ignore[arg-type]
    return merged


def read_script(given: Script | Mapping[str, Any], source: str = "script") -> Script:
    """Validate a script with the behaviours of its faults. Raises ScenarioError, all faults."""
    try:
        script = given if isinstance(given, Script) else Script.model_validate(given)
    except ValidationError as error:
        raise ScenarioError(source, _messages(error), kind="script") from None
    own = script.model_dump(exclude_unset=True, include=set(Behaviour.model_fields))
    messages: list[FaultMessage] = []
    for index, fault in enumerate(script.faults):
        try:
            Behaviour.model_validate(merge(own, fault.then))
        except ValidationError as error:
            messages += _messages(error, f"faults.{index}.then.")
    if messages:
        raise ScenarioError(source, messages, kind="script")
    return script


def _messages(error: ValidationError, prefix: str = "") -> list[FaultMessage]:
    return [
        FaultMessage(prefix + ".".join(map(str, item["loc"])), item["msg"])
        for item in error.errors()
    ]
