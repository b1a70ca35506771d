"""`python -m engine_under_test serve` as a process: the ready line, the exits, the messages."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine_under_test.__main__ import main

SERVE = [sys.executable, "-m", "engine_under_test", "serve"]
READY = re.compile(r"ready http://127\.0\.0\.1:(\d+)/v1\n")


@contextmanager
def _process(*args: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server that is ready, and its port. Killed at the end if it still lives."""
    process = subprocess.Popen(
        [*SERVE, "--model", "debug", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        match = READY.fullmatch(process.stdout.readline())
        assert match, process.stderr.read() if process.stderr else ""
        yield process, int(match[1])
    finally:
        process.kill()
        process.communicate()


def _end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, the rest of stdout, and stderr."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_ready_is_the_only_line_and_means_ready() -> None:
    with _process("--exit-with-parent", "--pooling", "mean") as (process, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=120) as reply:
            assert reply.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=120) as reply:
            (model,) = json.load(reply)["data"]
        assert model["engine"]["embeddings"]["pooling"] == "mean"
        assert process.stdin is not None
        process.stdin.close()  # what a dying parent does
        process.stdin = None
        code, out, err = _end(process)
    assert (code, out) == (0, "")
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_in_order(number: signal.Signals) -> None:
    with _process() as (process, _):
        process.send_signal(number)
        code, out, err = _end(process)
    assert (code, out) == (0, "")
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_stream_that_outlives_the_grace_period_is_told_why_it_ends(tmp_path: Path) -> None:
    body = {"prompt": "x", "max_tokens": 2000, "stream": True}
    plan = tmp_path / "plan.json"
    plan.write_text('{"step_time_add_ms": 20}')
    with _process("--fault-plan", str(plan)) as (process, port):
        url = f"http://127.0.0.1:{port}/v1/completions"
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=120) as stream:
            stream.readline()
            process.send_signal(signal.SIGTERM)
            text = stream.read().decode()  # raises IncompleteRead where the framing breaks
        code, _, err = _end(process)
    error, done = text.rstrip().split("\n\n")[-2:]
    assert "the server is shutting down" in error
    assert done == "data: [DONE]"
    assert code == 0
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--model", "debug", "--host", "0.0.0.0"], ["--api-key-env"]),
        (["--model", "debug", "--api-key-env", "NO_SUCH_KEY"], ["NO_SUCH_KEY"]),
        (["--model", "debug", "--max-model-len", "999999"], ["max_model_len", "2048"]),
        (["--model", "debug", "--max-num-seqs", "0"], ["max_num_seqs"]),
        (["--model", "debug", "--fault-plan", "/no/plan.json"], ["/no/plan.json"]),
        (["--model", "debug", "--dtype", "int3"], ["--dtype", "float32"]),
        (["--model", "debug", "--num-blocks", "9", "--kv-cache-bytes", "9"], ["not allowed"]),
        ([], ["--model"]),
        (["--model", "debug", "--spec", "lookahead"], ["--spec", "ngram", "draft"]),
        (["--model", "debug", "--spec-k", "3"], ["--spec-k", "without --spec"]),
        (["--model", "debug", "--spec", "ngram", "--spec-k", "x"], ["--spec-k", "adaptive"]),
        (["--model", "debug", "--spec", "ngram", "--spec-ngram", "5:2"], ["min <= max"]),
        (["--model", "debug", "--spec", "ngram", "--spec-mode", "ratio"], ["no ratio mode"]),
        (["--model", "debug", "--spec", "ngram", "--spec-synthetic", "a"], ["0.8,0.6"]),
        (["--model", "debug", "--spec", "draft"], ["--spec-draft-model", "tokenizer"]),
        (["--model", "tiny", "--spec", "draft", "--spec-draft-model", "small"], ["4096", "2048"]),
        (
            ["--model", "tiny", "--spec", "draft", "--spec-draft-model", "debug"],
            ["512 tokens", "2048"],
        ),
    ],
)
def test_bad_input_is_named(
    args: list[str], says: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(["serve", *args])
    except SystemExit as usage:  # argparse's own way out
        code = usage.code
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    for word in says:
        assert word in shown.err


def test_an_unknown_model_ends_with_two_and_one_screen() -> None:
    args = [*SERVE, "--model", "gpt-9"]
    done = subprocess.run(args, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 24
    for word in ("gpt-9", "debug", "llama-8b"):
        assert word in done.stderr


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "--model", "debug", "--port", port]) == 2
    assert f"port {port}" in capsys.readouterr().err


def test_a_damaged_directory_is_refused_by_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--model", str(tmp_path)]) == 2
    assert "tokenizer.json" in capsys.readouterr().err


def test_another_host_is_allowed_with_a_key() -> None:
    env = {**os.environ, "TEST_ENGINE_KEY": "secret"}
    args = [*SERVE, "--model", "debug", "--host", "127.0.0.2", "--api-key-env", "TEST_ENGINE_KEY"]
    process = subprocess.Popen(
        args, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready http://127.0.0.2:")
    finally:
        process.kill()
        process.communicate()
