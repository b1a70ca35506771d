"""How words become tokens on this endpoint: two small requests tell slope and template cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.load._probe_http import Target, refuse
from harness.load._probe_whole import answers_whole, small_body
from harness.load.dialects import DIALECTS
from harness.load.facts import TargetFacts
from harness.load.probe import FIRST_ANSWER_S, HANG_S
from harness.load.usage import read_usage
from harness.scenario import Materials
from harness.scenario.document import EstimatedTokens, Timeouts, TokenizerTokens, Tokens
from harness.traffic import TokenPlan, probe_words

NUM_WORDS = (24, 640)  # few, to tell the template from words; many, to price a word within 1 %


def calibrate(
    base_url: str,
    api_key: str | None,
    headers: Mapping[str, str] | None,
    timeouts: Timeouts | None,
    facts: TargetFacts,
    tokens: Tokens,
    materials: Materials,
) -> TokenPlan:
    """The TokenPlan that `tokens` asks for. Calibrated falls back to estimated when the endpoint
    reports no prompt tokens, or such as no tokenizer counts; the plan then says so. Raises
    TargetError as the probe."""
    if facts.api == "transcriptions":  # clips have a length in seconds, and no words
        return TokenPlan("estimated")
    if isinstance(tokens, EstimatedTokens):
        return TokenPlan("estimated", chars_per_token=tokens.chars_per_token)
    target, wait_s = _target(base_url, api_key, headers, timeouts)
    if isinstance(tokens, TokenizerTokens):
        return _exact(target, facts, materials, wait_s)
    few, many = (
        _prompt_tokens(target, facts, probe_words(n, materials.words), wait_s) for n in NUM_WORDS
    )
    if few is None or many is None:
        return TokenPlan("estimated")
    return TokenPlan.from_probes(n_words=NUM_WORDS, n_tokens=(few, many))


def check_hearing(
    base_url: str,
    model: str,
    api_key: str | None,
    headers: Mapping[str, str] | None,
    timeouts: Timeouts | None,
) -> None:
    """Raises TargetError where the endpoint of a run that also generates text hears nothing."""
    target, wait_s = _target(base_url, api_key, headers, timeouts)
    answers_whole(target, model, "transcriptions", wait_s)


def with_embeddings(
    plan: TokenPlan,
    base_url: str,
    model: str,
    api_key: str | None,
    headers: Mapping[str, str] | None,
    timeouts: Timeouts | None,
    facts: TargetFacts,
    tokens: Tokens,
    materials: Materials,
) -> TokenPlan:
    """The plan of a run whose classes generate text, with that of those which embed, for whom the
    endpoint is asked apart. model: that embeds. Raises TargetError where it does not."""
    target, wait_s = _target(base_url, api_key, headers, timeouts)
    answers_whole(target, model, "embeddings", wait_s)
    own = replace(facts, api="embeddings", model=model)
    found = calibrate(base_url, api_key, headers, timeouts, own, tokens, materials)
    return replace(plan, embeddings=found)


def _target(
    base_url: str,
    api_key: str | None,
    headers: Mapping[str, str] | None,
    timeouts: Timeouts | None,
) -> tuple[Target, float]:
    """Whom to ask, and how many seconds to wait for a first answer."""
    limits = timeouts or Timeouts()
    target = Target(base_url, api_key, dict(headers or {}), min(limits.connect, HANG_S))
    return target, min(limits.first_byte, FIRST_ANSWER_S)


def _exact(target: Target, facts: TargetFacts, materials: Materials, wait_s: float) -> TokenPlan:
    """The tokenizer counts the text; what the server counts on top of it is its template."""
    from tokenizers import Tokenizer  # heavy: only where a tokenizer was given

    data = materials.tokenizer_json
    assert data is not None  # read with the scenario
    text = probe_words(NUM_WORDS[0], materials.words)
    told = _prompt_tokens(target, facts, text, wait_s)
    own = len(Tokenizer.from_buffer(data).encode(text, add_special_tokens=False).ids)
    # Fewer than the text alone: another tokenizer, or no usage; the discrepancy is then reported.
    fixed_tok = max(0, told - own) if told is not None else 0
    return TokenPlan("tokenizer", fixed_tok=float(fixed_tok), tokenizer_json=data)


def _body(facts: TargetFacts, text: str) -> dict[str, Any]:
    """A request of one token, or of a vector."""
    if facts.api == "embeddings":
        return small_body(facts.api, facts.model, text)
    limit = "max_completion_tokens" if facts.uses_max_completion_tokens else "max_tokens"
    body: dict[str, Any] = {"model": facts.model, limit: 1}
    if facts.api == "chat":
        return body | {"messages": [{"role": "user", "content": text}]}
    return body | {"prompt": text}


def _prompt_tokens(target: Target, facts: TargetFacts, text: str, wait_s: float) -> int | None:
    """How many tokens the endpoint counts in a prompt; None where it does not say, or says what is
    no count."""
    path, body = DIALECTS[facts.api].path, _body(facts, text)
    reply = target.post(path, body, wait_s)
    if reply.status != 200:
        refuse(target, reply, "the length calibration")
    try:
        told = json.loads(reply.body)["usage"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (read_usage(told).n_in or None) if isinstance(told, dict) else None
