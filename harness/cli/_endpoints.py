"""A scenario's targets as running endpoints: started if they are ours, probed and calibrated.

Everything that can refuse us does so here, before a run directory exists.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from harness.cli._children import Child, start_reference, start_scripted, tokenizer_of
from harness.cli._options import Voice
from harness.errors import TargetError, UsageError
from harness.load import TargetFacts, calibrate, check_hearing, probe_target, with_embeddings
from harness.notices import Notice
from harness.scenario import Materials, Point
from harness.scenario.document import (
    CalibratedTokens,
    EnvValue,
    OpenAITarget,
    ReferenceTarget,
    Scenario,
    Target,
    TokenizerTokens,
    Tokens,
    TrafficClass,
    WholeWorkload,
)
from harness.scenario.providers import told_model
from harness.traffic import TokenPlan

_HOW = {
    "tokenizer": "counted by its tokenizer",
    "calibrated": "calibrated by its usage",
    "estimated": "estimated from characters",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One target, ready for load. child: the process, where it is ours."""

    name: str
    base_url: str
    api_key_env: str | None
    facts: TargetFacts
    token_plan: TokenPlan
    child: Child | None = None


class Endpoints:
    """The targets of a run's points. Where a sweep changes a target itself, it is opened anew.

    Other people's endpoints are all opened at once, so that one that refuses us does so before
    any load; of those we start only one a target runs at a time, for they would share this machine.
    """

    def __init__(
        self, points: Sequence[Point], materials: Materials, stack: ExitStack, voice: Voice
    ) -> None:
        self._materials, self._voice = materials, voice
        self._stack = stack
        self._open: dict[str, Endpoint] = {}
        self._plan: TokenPlan | None = None
        self._own: dict[str, tuple[str, ExitStack]] = {}  # target -> its key, and what ends it
        for point in points:
            if isinstance(point.target, OpenAITarget) or point.target_name not in self._own:
                self.of(point)

    def fresh(self, point: Point) -> Endpoint:
        """As of, in a new process that shares the machine with no other of ours."""
        for key, running in self._own.values():
            running.close()
            del self._open[key]
        self._own.clear()
        return self.of(point)

    def of(self, point: Point) -> Endpoint:
        """The endpoint a point is to be measured on. Raises as open_endpoint."""
        name, key = point.target_name, _identity(point)
        if key not in self._open:
            if name in self._own:
                former, running = self._own.pop(name)
                running.close()
                del self._open[former]
            stack = self._stack.enter_context(ExitStack())
            found = open_endpoint(
                name, point.document, self._materials, stack, self._voice, self._plan
            )
            self._open[key] = found
            if point.document.gate is not None:  # one calibration, of the first arm, for both
                self._plan = self._plan or found.token_plan
            if found.child:
                self._own[name] = (key, stack)
        return self._open[key]


def _identity(point: Point) -> str:
    """Equal for points that can share an endpoint: all that opening it depends on."""
    embedding = [(c.endpoint, c.model) for c in point.traffic if _is_whole(c)]
    first = first_asked(point.traffic).endpoint
    return f"{point.target_name} {point.target.model_dump_json()} {first} {embedding}"


def first_asked(traffic: Sequence[TrafficClass]) -> TrafficClass:
    """The class whose endpoint is probed: one that generates text, where there is one."""
    return next((c for c in traffic if not _is_whole(c)), traffic[0])


def _is_whole(one: TrafficClass) -> bool:
    return isinstance(one.workload, WholeWorkload)


def _require_ears(name: str, target: Target, traffic: Sequence[TrafficClass]) -> None:
    """Raises UsageError where our own engine is to hear: it reads text only."""
    speaking = next((c for c in traffic if c.endpoint == "transcriptions"), None)
    if speaking is not None and isinstance(target, ReferenceTarget):
        raise UsageError(
            "the reference engine has no audio",
            where=f"targets.{name}, traffic.{speaking.name}",
            why="it serves text and embeddings; /audio/transcriptions needs a model that hears",
            do="aim at an endpoint that has one: --url URL --model NAME",
        )


def open_endpoint(
    name: str,
    document: Scenario,
    materials: Materials,
    stack: ExitStack,
    voice: Voice,
    plan: TokenPlan | None = None,
) -> Endpoint:
    """Start (if ours), probe and calibrate one target. Children end with the stack.

    plan: lengths as calibrated before, where both arms are to be sent the same.

    Raises TargetError (unreachable, refused) and UsageError (key missing, engine not installed).
    """
    target = document.targets[name]
    _require_ears(name, target, document.traffic)
    child = _start(target, stack, voice)
    base_url = child.base_url if child else _url(target)
    key_env = target.api_key_env if isinstance(target, OpenAITarget) else None
    key = key_of(key_env, f"targets.{name}.api_key_env")
    headers = headers_of(name, target)
    # our own endpoints serve one model, whatever it is called
    model = target.sent_model if isinstance(target, OpenAITarget) else "auto"
    first = first_asked(document.traffic)
    embedding = next((c for c in document.traffic if c.endpoint == "embeddings"), None)
    speaking = next((c for c in document.traffic if c.endpoint == "transcriptions"), None)
    if _is_whole(first):
        model = first.model or model
    try:
        facts = probe_target(base_url, model, key, headers, target.timeout, first.endpoint)
        counted = _counted(target, document.tokens, materials)
        plan = plan or calibrate(base_url, key, headers, target.timeout, facts, *counted)
        if embedding is not None and first is not embedding and plan.embeddings is None:
            own = key_of(embedding.api_key_env, f"traffic.{embedding.name}.api_key_env") or key
            plan = with_embeddings(
                plan, base_url, embedding.model or facts.model, own, headers, target.timeout,
                facts, *counted,
            )  # fmt: skip
        if speaking is not None and first is not speaking:
            own = key_of(speaking.api_key_env, f"traffic.{speaking.name}.api_key_env") or key
            check_hearing(
                base_url, speaking.model or facts.model, own, headers, target.timeout
            )  # fmt: skip
    except TargetError as error:
        if child and not child.is_alive:
            raise TargetError(
                error.what, where=error.where, why=f"it ended: {child.log_tail()}", do=error.do
            ) from error
        raise
    voice.say(
        f"target {name}: {told_model(target, facts.model)} at {base_url}, round trip"
        f" {facts.rtt_ns / 1e6:.2f} ms, lengths {_how(facts, plan)}"
    )
    if notice := odd_counts(name, plan.to_json()):
        voice.notices([notice])
    return Endpoint(name, base_url, key_env, facts, plan, child)


def odd_counts(target: str, plan: Mapping[str, Any]) -> Notice | None:
    """What is told of an endpoint whose prompt counts are not believed; None of any other. plan:
    its TokenPlan as JSON."""
    if not plan.get("doubt"):
        return None
    facts = {"target": target, "why": plan["doubt"], "chars": f"{plan['chars_per_token']:g}"}
    return Notice("odd_token_counts", "warning", facts)


def _how(facts: TargetFacts, plan: TokenPlan) -> str:
    return "of clips to the millisecond" if facts.api == "transcriptions" else _HOW[plan.kind]


def _start(target: Target, stack: ExitStack, voice: Voice) -> Child | None:
    if isinstance(target, OpenAITarget):
        return None
    if isinstance(target, ReferenceTarget):
        voice.say(f"starting the reference engine with model {target.model}")
        return stack.enter_context(start_reference(target.model, target.flags))
    script = target.script if isinstance(target.script, Mapping) else {}
    return stack.enter_context(start_scripted(script))


def _counted(target: Target, tokens: Tokens, materials: Materials) -> tuple[Tokens, Materials]:
    """Nothing needs calibration where the tokenizer of our own engine can count."""
    if not (isinstance(target, ReferenceTarget) and isinstance(tokens, CalibratedTokens)):
        return tokens, materials
    file = tokenizer_of(target.model)
    if file is None:
        return tokens, materials
    own = TokenizerTokens(kind="tokenizer", file=str(file))
    return own, replace(materials, tokenizer_json=file.read_bytes())


def _url(target: Target) -> str:
    assert isinstance(target, OpenAITarget)
    return target.url.rstrip("/")


def key_of(name: str | None, where: str) -> str | None:
    """The value of a key's variable; never printed, stored or passed on by message."""
    if name is None:
        return None
    if not os.environ.get(name):
        raise UsageError(
            f"the environment variable {name} is not set",
            where=where,
            why="the key is taken from there",
            do=f"export {name}=...",
        )
    value = os.environ[name]
    if not all(" " <= character <= "~" for character in value):
        raise UsageError(
            f"the value of the environment variable {name} cannot be sent in a header",
            where=where,
            why="it holds a line break, or a character outside ASCII",
            do=f"export {name} again, without what surrounds the key",
        )
    return value


def hidden(value: Any, point: Point) -> Any:
    """JSON as told by the point's target, less the secrets that went to it: some servers echo
    them, in headers that are recorded."""
    named = [c.api_key_env for c in point.traffic]
    if isinstance(point.target, OpenAITarget):
        named.append(point.target.api_key_env)
        named += [v.env for v in point.target.headers.values() if isinstance(v, EnvValue)]
    values = {os.environ.get(name, "") for name in named if name}
    secrets = [value for value in values if len(value) > 3]  # less would hide ordinary words
    return _without(value, sorted(secrets, key=len, reverse=True))  # one may hold another


def _without(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, Mapping):
        return {_without(key, secrets): _without(item, secrets) for key, item in value.items()}
    return [_without(item, secrets) for item in value] if isinstance(value, list | tuple) else value


def headers_of(name: str, target: Target) -> dict[str, str]:
    if not isinstance(target, OpenAITarget):
        return {}
    return {
        header: (key_of(value.env, f"targets.{name}.headers.{header}") or "")
        if isinstance(value, EnvValue)
        else value
        for header, value in target.headers.items()
    }
