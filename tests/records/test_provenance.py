"""Provenance says where a run came from and never holds a secret."""

from __future__ import annotations

import json
import subprocess

import pytest

from harness.records import provenance, redact
from harness.records.provenance import redact_argv


def test_provenance_is_json_and_complete() -> None:
    found = json.loads(json.dumps(provenance(["harness", "run"])))
    assert found["argv"] == ["harness", "run"]
    assert found["packages"]["numpy"]
    assert found["machine"]["num_cpus"] >= 1
    assert found["machine"]["kernel"]
    assert len(found["machine"]["host_sha256"]) == 16


def test_git_state_is_read_where_there_is_one(tmp_path) -> None:
    assert provenance([], code_dir=tmp_path)["git"] is None

    def git(*command: str) -> str:
        name = ["-c", "user.name=t", "-c", "user.email=t@t"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *name, *command],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "a")
    assert provenance([], code_dir=tmp_path)["git"] == {
        "sha": git("rev-parse", "HEAD"),
        "is_dirty": False,
    }
    (tmp_path / "a").write_text("2")
    assert provenance([], code_dir=tmp_path)["git"]["is_dirty"]


@pytest.mark.parametrize(
    "given",
    [
        "https://me:hunter2@host/v1",
        "https://host/v1?api_key=hunter2",
        "https://host/v1?x=1&sig=hunter2",
        "targets.main.headers.Authorization=Bearer hunter2",
        "targets.main.headers.x-api-key=hunter2",
        "headers.token: hunter2",
        "--password=hunter2",
    ],
)
def test_secrets_never_show(given) -> None:
    assert "hunter2" not in redact(given)
    assert redact(given) != "***"  # and what is no secret still does


def test_a_flag_hides_the_word_after_it() -> None:
    assert redact_argv(["run", "--api-key", "hunter2", "x"]) == ["run", "--api-key", "***", "x"]


@pytest.mark.parametrize(
    "given",
    ["--api-key-env", "FIREWORKS_KEY", "--set", "tokens.kind=estimated", "load.rate=8/s",
     "targets.main.api_key_env=KEY", "https://host:8000/v1?x=1", "tokenizer=./tokenizer.json"],
)  # fmt: skip
def test_what_is_no_secret_stays(given) -> None:
    assert redact_argv(["--x", given, "after"]) == ["--x", given, "after"]
