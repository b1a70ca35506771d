"""Broken connections, victims, and the process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import openai
import pytest
from raw import Reply, ask, connect, read_reply, request_bytes, settled

from harness.errors import ScenarioError
from harness.testing import ScriptedServer


def transport(server: ScriptedServer, **options: Any) -> Reply:
    return ask(server.port, max_tokens=5, script={"transport": options})


@pytest.mark.parametrize(("fail", "ended"), [("close", "eof"), ("reset", "reset")])
def test_before_the_headers(server: ScriptedServer, fail: str, ended: str) -> None:
    reply = transport(server, fail=fail)
    assert (reply.raw, reply.ended) == (b"", ended)
    assert settled(server.requests[-1]).outcome == {"close": "closed", "reset": "reset"}[fail]


@pytest.mark.parametrize("inside", ["event", "chunk", "none"])
@pytest.mark.parametrize(("fail", "ended"), [("close", "eof"), ("reset", "reset")])
def test_mid_stream(server: ScriptedServer, fail: str, ended: str, inside: str) -> None:
    reply = transport(server, fail=fail, at=2, inside=inside)
    assert reply.ended == ended
    whole, _, half = reply.body.rpartition(b"\n\n")
    assert whole.count(b"data: ") == 3  # role and two tokens
    assert bool(half) == (inside != "none")
    assert reply.raw.endswith(b"\r\n") == (inside != "chunk")


def test_it_hangs_until_the_client_leaves(server: ScriptedServer) -> None:
    with connect(server.port) as sock:
        sock.sendall(request_bytes(script={"transport": {"fail": "hang"}}))
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    assert ask(server.port, max_tokens=1).status == 200
    assert "hang" in [log.outcome for log in server.requests]


def test_a_client_that_leaves_is_noted(server: ScriptedServer) -> None:
    with connect(server.port) as sock:
        sock.sendall(request_bytes(max_tokens=1000))
        sock.recv(10)
    ask(server.port, max_tokens=1)
    ask(server.port, max_tokens=1)
    assert "client_closed" in [log.outcome for log in server.requests]


def test_idle_connections_are_closed() -> None:
    script = {"timing": {"ttft": "1ms"}, "transport": {"idle_close": "20ms"}}
    with ScriptedServer(script) as server, connect(server.port) as sock:
        for _ in range(2):
            sock.sendall(request_bytes(max_tokens=1))
            assert read_reply(sock).status == 200
        assert sock.recv(1) == b""


def statuses(script: dict[str, Any], num: int) -> list[int]:
    with ScriptedServer({"timing": {"ttft": "0ms"}} | script) as server, connect(server.port) as s:
        for _ in range(num):
            s.sendall(request_bytes(max_tokens=1))
            read_reply(s)
        return [log.status for log in server.requests]


def test_exactly_sixty_of_a_hundred_fail() -> None:
    fault = {"first": 10, "last": 69, "then": {"http": {"status": 500}}}
    found = statuses({"faults": [fault]}, 100)
    assert found == [200] * 10 + [500] * 60 + [200] * 30


def test_a_share_fails_by_seed() -> None:
    fault = {"share": "30%", "then": {"http": {"status": 503}}}
    found = statuses({"seed": 3, "faults": [fault]}, 200)
    assert found == statuses({"seed": 3, "faults": [fault]}, 200)
    assert found != statuses({"seed": 4, "faults": [fault]}, 200)
    assert 30 <= found.count(503) <= 90  # fixed by the seed; binomial mean 60


def test_a_wrong_script_names_every_fault() -> None:
    script = {"timing": {"ttft": 5, "gapp": "1ms"}, "faults": [{"then": {"http": {"status": 9}}}]}
    with pytest.raises(ScenarioError) as caught:
        ScriptedServer(script)
    paths = [fault.path for fault in caught.value.faults]
    assert any("ttft" in path for path in paths)
    assert any("gapp" in path for path in paths)
    with pytest.raises(ScenarioError) as caught:
        ScriptedServer({"faults": [{"then": {"http": {"status": 9}}}]})
    assert caught.value.faults[0].path == "faults.0.then.http.status"


def test_the_official_client(server: ScriptedServer) -> None:
    client = openai.OpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=60)
    assert [model.id for model in client.models.list()] == ["scripted"]
    stream = client.chat.completions.create(
        model="scripted", messages=[{"role": "user", "content": "one two"}], max_tokens=4,
        stream=True, stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    content = [c.choices[0].delta.content for c in chunks if c.choices]
    assert "".join(part or "" for part in content) == "the river runs past"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4
    whole = client.completions.create(model="scripted", prompt="a b", max_tokens=2)
    assert (whole.choices[0].text, whole.usage.prompt_tokens) == ("the river", 2)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": "x"}],
            extra_headers={"x-script": '{"http": {"status": 429}}'},
        )  # fmt: skip
    client.close()


def test_the_process_prints_one_line_and_ends_with_its_parent() -> None:
    script = json.dumps({"timing": {"ttft": "1ms"}})
    command = [sys.executable, "-m", "harness.testing", "--script", script, "--exit-with-parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        assert p.stdin is not None
        assert p.stdout is not None
        word, url = p.stdout.readline().split()
        assert word == "ready"
        port = int(url.removeprefix("http://127.0.0.1:").removesuffix("/v1"))
        assert ask(port, max_tokens=2).status == 200
        p.stdin.close()
        assert p.wait(60) == 0
        assert p.stdout.read() == ""


def test_the_process_ends_cleanly_on_a_signal() -> None:
    command = [sys.executable, "-m", "harness.testing", "--exit-with-parent"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as p:
        assert p.stdout is not None
        assert p.stderr is not None
        p.stdout.readline()
        p.terminate()
        assert p.wait(60) == 0
        assert p.stderr.read() == ""


def test_the_process_refuses_a_wrong_script() -> None:
    command = [sys.executable, "-m", "harness.testing", "--script", '{"model": 5}']
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (found.returncode, found.stdout) == (2, "")
    assert "model" in found.stderr
