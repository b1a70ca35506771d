"""`${VAR}` in text values becomes the variable's value; nothing else is ever substituted.

Runs after `--set`, so a variable in an overridden value is never looked up. Secrets are named,
never substituted: keys, headers that carry them and URLs with a user are refused before lookup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.scenario._address_rules import is_secret_header
from harness.scenario._faults import Wrong
from harness.scenario._tree import Where

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_USERINFO = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*@")


def substitute(data: Any, env: Mapping[str, str]) -> tuple[Any, list[Wrong]]:
    """A copy with every variable replaced, and a Wrong for each that cannot be."""
    wrong: list[Wrong] = []
    return _value(data, (), env, wrong), wrong


def _value(value: Any, where: Where, env: Mapping[str, str], wrong: list[Wrong]) -> Any:
    if isinstance(value, dict):
        return {key: _value(item, (*where, key), env, wrong) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item, (*where, i), env, wrong) for i, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    refusal = _refusal(where, value)
    if refusal:
        wrong.append(Wrong(where, refusal))
        return value

    def lookup(match: re.Match[str]) -> str:
        name = match[1]
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            wrong.append(Wrong(where, f"'${{{name[:40]}}}' is not a variable; write ${{NAME}}"))
        elif name not in env:
            wrong.append(Wrong(where, f"the variable {name} is not set; export it or use --set"))
        else:
            return env[name]
        return match[0]

    return _VARIABLE.sub(lookup, value)


def _refusal(where: Where, value: str) -> str:
    last = where[-1] if where else ""
    if last in ("api_key_env", "env"):
        return "names a variable; write NAME, not ${NAME}"
    if len(where) > 1 and where[-2] == "headers" and is_secret_header(str(last)):
        return "a secret is named, never substituted: {env: NAME_OF_VARIABLE}"
    if _USERINFO.match(value):
        return "holds a user or password; name the key's variable in api_key_env instead"
    return ""
