"""A key that cannot be sent is refused by the name of its variable; its value is shown nowhere."""

from __future__ import annotations

from typing import Any

import pytest

TARGET = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}


@pytest.mark.parametrize("value", ["sk-very\nsecret: 1", "sk-verysecret\r", "sk-verys\u00e9cret"])
@pytest.mark.parametrize(
    "named", [{"api_key_env": "MY_KEY"}, {"headers": {"X-Team": {"env": "MY_KEY"}}}]
)
def test_a_value_that_no_header_can_carry(cli: Any, named: dict[str, Any], value: str) -> None:
    done = cli("run", cli.scenario(targets={"t": TARGET | named}), env={"MY_KEY": value})
    assert (done.code, done.out) == (2, "")
    assert "the value of the environment variable MY_KEY cannot be sent" in done.err
    assert "sk-very" not in done.err
    assert done.has_no_traceback()
