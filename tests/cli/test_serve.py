"""`harness serve`: one ready line, an endpoint that answers, and no orphan after Ctrl-C."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_ready_line_then_an_endpoint_until_the_signal(
    cli: Any, number: signal.Signals, until: Any, descendants: Callable[[int], set[int]],
    is_running: Callable[[int], bool],
) -> None:  # fmt: skip
    (cli.folder / "script.yaml").write_text("model: mine\ntiming: {ttft: 20ms}\n", "utf-8")
    server = cli.start("serve", "--scripted", "script.yaml")
    ready, url = server.process.stdout.readline().split()
    assert ready == "ready"
    with urllib.request.urlopen(f"{url}/models", timeout=60) as reply:
        assert json.loads(reply.read())["data"][0]["id"] == "mine"
    below = descendants(server.process.pid)
    assert below
    server.signal(number)
    done = server.finish()
    assert done.code == 0
    assert done.out == ""  # nothing after the ready line
    assert done.has_no_traceback()
    until(lambda: not any(map(is_running, below)))


def test_an_endpoint_dies_with_a_killed_serve(
    cli: Any, until: Any, descendants: Callable[[int], set[int]], is_running: Callable[[int], bool]
) -> None:
    (cli.folder / "script.yaml").write_text("timing: {ttft: 20ms}\n", "utf-8")
    server = cli.start("serve", "--scripted", "script.yaml")
    assert server.process.stdout.readline().startswith("ready ")
    below = descendants(server.process.pid)
    server.process.kill()
    until(lambda: not any(map(is_running, below)))


def test_what_cannot_be_served_is_2_in_the_endpoint_s_own_words(cli: Any) -> None:
    (cli.folder / "wrong.yaml").write_text("timing: {ttf: 20ms}\n", "utf-8")
    for script, said in (("absent.yaml", "cannot read the script"), ("wrong.yaml", "timing.ttf")):
        done = cli.here("serve", "--scripted", script)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert done.has_no_traceback()


@pytest.mark.slow
def test_an_unknown_model_is_2_in_the_engine_s_own_words(cli: Any) -> None:
    pytest.importorskip("torch")
    done = cli.here("serve", "--model", "nonsense")
    assert (done.code, done.out) == (2, "")
    assert "there is no model 'nonsense'" in done.err
    assert done.has_no_traceback()


def test_json_is_one_document(cli: Any) -> None:
    server = cli.start("serve", "--scripted", "{}", "--json")
    lines = [server.process.stdout.readline() for _ in range(3)]
    assert json.loads("".join(lines))["base_url"].startswith("http://127.0.0.1:")
    server.signal(signal.SIGINT)
    assert server.finish().code == 0
