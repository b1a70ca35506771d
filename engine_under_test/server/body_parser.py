"""JSON into a body of protocol.py, or into a 400 that names the field.

A field is served, harmless (it cannot change the answer), unsupported (accepted only while it
holds its neutral value, else a 400 naming it), or unknown (a warning once, or a 400 under
--strict-api). null means absent.
"""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import bad_request

log = logging.getLogger(__name__)
MAX_NAMED_FAULTS = 5
MAX_UNKNOWN = 32  # unknown fields of one body; and a thousand names are told apart in the log
MAX_WARNED = 1000

HARMLESS = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    }
)
# Field -> values that ask for nothing beyond plain text.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": ([],),
    "guided_grammar": (),
    "structured_outputs": (),
    "documents": ([],),
    "prompt_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
    "best_of": (1,),
    "use_beam_search": (False,),
    "length_penalty": (1.0,),
    "include_stop_str_in_output": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "chat_template": (),
    "continue_final_message": (False,),
    "truncate_prompt_tokens": (),
    "context_length_exceeded_behavior": ("error",),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "logits_processors": ([],),
    "return_tokens_as_token_ids": (False,),
    "return_token_ids": (False,),
    "prompt_embeds": (),
    "min_new_tokens": (0,),
    "typical_p": (1.0,),
    "mirostat": (0,),
    "grammar": (),
    "regex": (),
    "ebnf": (),
    "json_schema": (),
    "thinking": ({"type": "disabled"},),
}


Body = TypeVar("Body", bound=BaseModel)


class BodyParser:
    """Turns JSON into a body, or into a 400 that names the field."""

    def __init__(self, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._warned: set[str] = set()

    def parse(self, model: type[Body], raw: object) -> Body:
        """Raises ApiError; its message holds the first faults of the body, its param the first."""
        if not isinstance(raw, dict):
            raise bad_request("the body must be a JSON object")
        given = {k: v for k, v in raw.items() if v is not None and k not in HARMLESS}
        for name in [k for k in given if k in NEUTRAL and k not in model.model_fields]:
            if given.pop(name) not in NEUTRAL[name]:
                raise bad_request(
                    f"'{name}' is not supported by this server at the value given",
                    name,
                    "unsupported_parameter",
                )
        unknown = [k for k in given if k not in model.model_fields]
        if len(unknown) > MAX_UNKNOWN:
            raise bad_request(f"{len(unknown)} fields of the body are unknown", unknown[0][:80])
        for name in unknown:
            self._unknown(name)
            del given[name]
        if "stream_options" in given and not given.get("stream"):
            raise bad_request("'stream_options' needs 'stream': true", "stream_options")
        if given.get("top_logprobs") and not given.get("logprobs"):
            raise bad_request("'top_logprobs' needs 'logprobs': true", "top_logprobs")
        try:
            return model.model_validate(given)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_context=False, include_input=False)
            faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in errors]
            if len(faults) > MAX_NAMED_FAULTS:
                faults[MAX_NAMED_FAULTS:] = [f"and {len(faults) - MAX_NAMED_FAULTS} more"]
            raise bad_request("; ".join(faults), str(errors[0]["loc"][0])) from error

    def _unknown(self, name: str) -> None:
        if self._is_strict:
            raise bad_request(f"unknown field '{name}'", name, "unknown_parameter")
        if (shown := name[:80]) not in self._warned and len(self._warned) < MAX_WARNED:
            self._warned.add(shown)
            log.warning("unknown request field %r ignored (said once)", shown)
