"""A key that cannot be sent is refused by the name of its variable; its value is shown nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli._endpoints import hidden
from harness.scenario import expand, load_scenario

TARGET = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}


@pytest.mark.parametrize("value", ["sk-very\nsecret: 1", "sk-verysecret\r", "sk-verys\u00e9cret"])
@pytest.mark.parametrize(
    "named", [{"api_key_env": "MY_KEY"}, {"headers": {"X-Team": {"env": "MY_KEY"}}}]
)
def test_a_value_that_no_header_can_carry(cli: Any, named: dict[str, Any], value: str) -> None:
    done = cli.here("run", cli.scenario(targets={"t": TARGET | named}), env={"MY_KEY": value})
    assert (done.code, done.out) == (2, "")
    assert "the value of the environment variable MY_KEY cannot be sent" in done.err
    assert "sk-very" not in done.err
    assert done.has_no_traceback()


def test_what_a_server_echoes_of_its_keys_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "verysecret")
    monkeypatch.setenv("TEAM", "verysecret-team")
    target = TARGET | {"api_key_env": "MY_KEY", "headers": {"X-Team": {"env": "TEAM"}}}
    chat = {"kind": "chat", "input_tokens": {"kind": "fixed", "value": 9}}
    document = {
        "schema": "harness/v1", "name": "x", "targets": {"t": target},
        "traffic": [{"name": "c", "workload": chat}],
        "load": {"kind": "closed", "concurrency": 1, "duration": "1s"},
    }  # fmt: skip
    (tmp_path / "x.yaml").write_text(json.dumps(document))
    (point,) = expand(load_scenario(tmp_path / "x.yaml").document)
    told = {"headers": {"x-a": "Bearer verysecret", "verysecret-team": ["is verysecret-team"]}}
    assert hidden(told, point) == {"headers": {"x-a": "Bearer ***", "***": ["is ***"]}}
    assert hidden({"rtt_ns": 5, "none": None}, point) == {"rtt_ns": 5, "none": None}
