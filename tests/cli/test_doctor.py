"""`harness doctor` and the check before a run: real processes, small loads, exact structure."""

from __future__ import annotations

import json
import re
import resource
from typing import Any

import pytest

from harness.analysis.client_check import CheckedLoad, ClientCheck
from harness.analysis.client_error import StampError
from harness.cli._doctor import Diagnosis
from harness.load.machine import read_machine
from harness.testing import ScriptedServer

SMALL = ("--streams", "4", "--tokens-per-s", "20", "--seconds", "1")
KINDS = ("chunk", "ttft", "gap")


@pytest.mark.e2e
def test_a_small_load_is_checked_and_told_in_tables_and_json(cli: Any) -> None:
    with ScriptedServer({"timing": {"ttft": "5ms"}, "model": "it"}) as server:
        done = cli("doctor", server.base_url, *SMALL, "--json", "out.json")
        log = [r for r in server.requests if r.output_tok > 16]
    assert done.has_no_traceback()
    found = json.loads((cli.folder / "out.json").read_text("utf-8"))
    # a starved machine may not measure even this cleanly, and then has to say so
    assert done.code == (0 if found["check"]["loads"][0]["is_clean"] else 4), done.err
    assert found["exit_code"] == done.code
    assert log == [], "nothing but tiny requests goes to the URL"
    assert (found["machine"]["num_cpus"], found["machine"]["kernel_stamps"]) > (0, False)
    assert found["target"]["facts"]["model"] == "it"
    assert found["target"]["handshake"]["tls_s"] is None
    own, above = found["check"]["loads"]
    assert (found["check"]["intended"], found["check"]["workers"]) == (0, 1)
    assert (own["streams"], above["streams"]) == (4, 7)
    for load in (own, above):
        assert load["num_unknown"] == 0, "the endpoint knows every answer that was recorded"
        assert load["num_requests"] > 0
        for stamps in ("kernel", "user"):
            parts = load[stamps]
            assert parts["ttft"]["n"] == load["num_requests"]
            # 30 chunks an answer; one that a starved machine cut has fewer
            assert parts["chunk"]["n"] == parts["gap"]["n"] + parts["ttft"]["n"]
            assert load["num_requests"] < parts["chunk"]["n"] <= 30 * load["num_requests"]
            assert parts["gap"]["p50_s"] >= 0
            assert 0 < parts["certain"]["n"] <= parts["chunk"]["n"]
        # the process reads after the kernel has stamped
        assert load["user"]["chunk"]["p50_s"] >= load["kernel"]["chunk"]["p50_s"]
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    for words in ("This machine", "measured minus true", "TTFT", "gaps", "stamps", "own error"):
        assert words in done.out, words


@pytest.mark.e2e
def test_json_on_stdout_is_the_only_thing_there(cli: Any) -> None:
    done = cli("doctor", *SMALL, "--json")
    found = json.loads(done.out)
    assert found["schema"] == "harness/doctor/v1"
    assert found["target"] is None
    assert done.code == found["exit_code"]


def test_a_client_without_room_for_the_smallest_load_is_invalid(cli: Any) -> None:
    def tie() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (270, 270))  # room for 14

    done = cli("doctor", "--streams", "20", preexec_fn=tie)
    assert (done.code, done.out) == (4, "")
    assert "too few descriptors for 20 streams" in done.err


def test_a_client_that_is_not_clean_at_the_smallest_load_is_invalid() -> None:
    def diagnosis(*failed: dict[str, str]) -> Diagnosis:
        nothing = StampError(None, None, None)
        loads = tuple(
            CheckedLoad(64, 50.0, None, 3e3, 3e3, 9, 0, "kernel", nothing, nothing, failed=f)
            for f in failed
        )
        return Diagnosis(read_machine(), None, ClientCheck(loads))

    late = {"send_lag": "late"}
    assert diagnosis(late, {}).exit_code == 4
    assert diagnosis({}, late).exit_code == 0


def test_an_endpoint_that_is_not_there_is_told_before_any_load(cli: Any) -> None:
    done = cli.here("doctor", "http://127.0.0.1:9/v1")
    assert done.code == 5
    assert "refused the connection" in done.err
    assert (done.out, "checking the client" in done.err) == ("", False)


def test_a_url_is_no_file(cli: Any) -> None:
    done = cli.here("doctor", "--json", "http://127.0.0.1:9/v1")
    assert done.code == 2
    assert "--json takes a FILE" in done.err


@pytest.mark.e2e
def test_a_run_that_is_asked_to_checks_its_client_first(cli: Any) -> None:
    done = cli.here("run", cli.scenario(), "--check-client", "--json")
    assert done.has_no_traceback()
    assert done.code in (0, 3, 4), done.err
    assert "checking this client at" in done.err
    result = json.loads(done.out)
    stored = json.loads((cli.latest / "client_check.json").read_text("utf-8"))
    assert "client_check.json" in cli.manifest()["files"]
    assert result["client_check"] == stored
    assert [load["streams"] for load in stored["loads"]] == [2, 4]  # the scenario's two users
    own = stored["loads"][0]
    assert own["num_requests"] * own["kernel"]["chunk"]["n"] > 0
    for name in ("report.html", "summary.md"):
        text = (cli.latest / name).read_text("utf-8").replace("&#39;", "'")
        assert re.search(r"This client's own error at your load: p50 [\d.]+ .s", text), name
    # rendered again from the records alone, it says the same
    again = cli.here("report", "latest", "--json", "--format", "json")
    assert json.loads(again.out)["client_check"] == stored


@pytest.mark.e2e
def test_a_small_run_is_not_held_up_by_a_check(cli: Any) -> None:
    done = cli.here("run", cli.scenario(), "-q", "--json", "--no-report")
    assert done.code in (0, 3, 4), done.err
    assert not (cli.latest / "client_check.json").exists()
    assert "client_check" not in json.loads(done.out)


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://h", "http://[", "http://u:verysecret@127.0.0.1:9/v1",
     "http://127.0.0.1:9/v1?key=verysecret", "http://127.0.0.1:9/\nX: verysecret"],
)  # fmt: skip
def test_a_url_that_no_scenario_would_take_is_refused_alike(cli: Any, url: str) -> None:
    done = cli.here("doctor", url)
    assert (done.code, done.out) == (2, "")
    assert "error: the URL " in done.err
    assert "verysecret" not in done.err
    assert done.has_no_traceback()
