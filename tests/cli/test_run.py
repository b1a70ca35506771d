"""`harness run` in the hands of a user for whom everything goes wrong.

Exit code, stdout and stderr are checked apart; no case may show a traceback, and whatever was
measured stays on disk.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

HEALTHY = {"error_rate": {"max": "1%"}}


def is_four_parts(text: str) -> bool:
    """what - where - why - do, on one screen."""
    parts = ("error: ", "  where: ", "  why:   ", "  do:    ")
    return all(part in text for part in parts) and len(text.splitlines()) <= 24


# -- before anything is sent ---------------------------------------------------------------------


def test_every_typo_is_told_with_its_place_and_what_was_meant(cli: Any) -> None:
    path = cli.scenario()
    text = (cli.folder / path).read_text("utf-8")
    (cli.folder / path).write_text(
        text.replace('"concurrency"', '"concurency"').replace('"weight"', '"wieght"')
    )
    done = cli.here("run", path)
    assert done.code == 2
    assert done.out == ""
    assert "did you mean 'concurrency'?" in done.err
    assert "line " in done.err
    assert "col " in done.err
    assert done.has_no_traceback()
    assert not cli.runs.exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("quickstar",), "did you mean 'quickstart'?"),
        (("short.yaml", "--set", "load.duraton=3s"), "did you mean 'duration'?"),
        (("short.yaml", "--api-key-env", "NOT_SET_HERE", "--url", "http://127.0.0.1:9/v1"),
         "NOT_SET_HERE is not set"),
        (("--resume", "nonsense"), "there is no run 'nonsense'"),
        ((), "name a SCENARIO"),
        (("short.yaml", "--resume", "latest"), "give it alone"),
    ],
)  # fmt: skip
def test_bad_usage_is_2_with_the_remedy(cli: Any, args: tuple[str, ...], said: str) -> None:
    cli.scenario()
    done = cli.here("run", *args)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.has_no_traceback()
    assert not cli.runs.exists()


def test_an_unknown_verb_is_2_with_the_one_that_was_meant(cli: Any) -> None:
    done = cli("rnu")
    assert (done.code, done.out) == (2, "")
    assert "did you mean 'run'?" in done.err


def test_an_unknown_variable_is_a_notice_and_no_error(cli: Any) -> None:
    args = ("run", cli.scenario(), "--url", "http://127.0.0.1:9/v1")
    done = cli.here(*args, env={"HARNESS_OUTT": "elsewhere"})
    assert done.code == 5
    assert "HARNESS_OUTT is not one the harness knows; did you mean HARNESS_OUT?" in done.err


# -- endpoints that are not there ----------------------------------------------------------------


class _Mute:
    """Accepts and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepted: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def _accept(self) -> None:
        while True:
            try:
                self._accepted.append(self._listener.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        with suppress(OSError):  # wakes the thread
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(10)
        self._listener.close()
        for connection in self._accepted:
            connection.close()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def no_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """A URL that is no endpoint, of the kind asked for."""
    kind = request.param
    if kind == "mute":
        mute = _Mute()
        yield mute.url
        mute.close()
    elif kind == "web":
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        server.server_close()
    elif kind == "closed":
        with socket.socket() as taken:  # nobody listens there, and nobody else can
            taken.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    else:
        yield "http://nohost.invalid/v1"


@pytest.mark.parametrize(
    ("no_endpoint", "said"),
    [
        ("closed", "refused the connection"),
        ("nohost", "'nohost.invalid' has no address"),
        pytest.param("mute", "does not answer", marks=pytest.mark.slow),
        ("web", "status 404"),
    ],
    indirect=["no_endpoint"],
)
def test_what_is_no_endpoint_is_5_in_four_parts(cli: Any, no_endpoint: str, said: str) -> None:
    done = cli.here("run", cli.scenario(), "--url", no_endpoint)
    assert (done.code, done.out) == (5, "")
    assert said in done.err
    assert is_four_parts(done.err)
    assert done.has_no_traceback()
    assert not cli.runs.exists()


def test_a_wrong_key_is_5_and_is_never_shown(cli: Any, scripted: Any) -> None:
    url, _ = scripted({"api_key": "right"})
    args = ("run", cli.scenario(), "--url", url, "--api-key-env", "MY_KEY")
    done = cli(*args, env={"MY_KEY": "sk-wrong-1234"})
    assert (done.code, done.out) == (5, "")
    assert "status 401" in done.err
    assert "api_key_env" in done.err
    assert "sk-wrong-1234" not in done.err
    assert is_four_parts(done.err)


# -- runs that end badly -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_good_run_is_0_with_one_document_on_stdout_and_nothing_else(
    cli: Any, scripted: Any
) -> None:
    key = "sk-right-4711"
    url, _ = scripted({"api_key": key})
    args = ("run", cli.scenario(slo=HEALTHY), "--url", url, "--api-key-env", "MY_KEY")
    done = cli(*args, "--json", "-q", "-o", "runs", env={"MY_KEY": key})
    data = json.loads(done.out)  # exactly one document
    assert done.err == ""
    assert done.code == data["exit_code"]
    # 3: few requests may leave the rule open; 4: this machine was too busy to be a client
    assert done.code in (0, 3, 4), data["sentences"]
    manifest = cli.manifest()
    assert manifest["status"] == "complete"
    assert {"summary.json", "report.html", "junit.xml"} <= manifest["files"].keys()

    stored = [path for path in cli.latest.rglob("*") if path.is_file()]
    assert not [path for path in stored if key.encode() in path.read_bytes()]

    again = cli.here("report", "latest", "--format", "markdown", "-o", "-")
    assert again.code == done.code
    assert again.out.startswith("# ") or again.out.startswith("## ")
    assert again.err == ""


@pytest.mark.slow
def test_an_endpoint_that_dies_in_mid_run_fails_the_run_and_not_the_harness(
    cli: Any, scripted: Any
) -> None:
    url, process = scripted({"timing": {"ttft": "20ms"}})
    path = cli.scenario(
        slo=HEALTHY,
        load={
            "kind": "open", "arrival": {"kind": "constant"}, "rate": "20/s", "duration": "6s",
            "warmup": "1s", "cooldown": "2s", "drain": "2s",
        },
    )  # fmt: skip
    run = cli.start("run", path, "--url", url, "--no-report")
    cli.wait_for_window()
    process.kill()
    done = run.finish()
    assert done.has_no_traceback()
    rows = pq.read_table(next(cli.latest.glob("points/*/requests.parquet")))
    assert {"", "connect"} <= set(rows["error_class"].to_pylist())
    assert cli.manifest()["status"] == "complete"
    rules = json.loads((cli.latest / "summary.json").read_text("utf-8"))["verdicts"]
    assert [rule["outcome"] for rule in rules] == ["fail"]
    if done.code == 4:  # this machine was too busy to be a client: then nothing is claimed
        assert "the client" in done.out
        return
    assert done.code == 1, done.err
    assert "FAIL" in done.out


@pytest.mark.slow
@pytest.mark.parametrize("warmup", ["2s", "0s"])
def test_a_target_that_refuses_everything_is_5_with_the_records_kept(cli: Any, warmup: str) -> None:
    # the probe and the two requests of the calibration are answered, the load is not
    script = {"faults": [{"first": 3, "then": {"http": {"status": 500}}}]}
    path = cli.scenario(
        slo=HEALTHY,
        targets={"t": {"kind": "scripted", "script": script}},
        load={
            "kind": "open", "arrival": {"kind": "constant"}, "rate": "20/s", "duration": "2s",
            "warmup": warmup, "cooldown": "2s", "drain": "2s",
        },
    )  # fmt: skip
    done = cli.here("run", path, "--no-report")
    assert done.code == 5, done.err + done.out
    assert "refused every request" in done.err
    assert "PASS" not in done.out
    rows = pq.read_table(next(cli.latest.glob("points/*/requests.parquet")))
    assert set(rows["error_class"].to_pylist()) - {"cut"} == {"http_5xx"}
    again = cli.here("report", "latest")
    assert again.code == 5
    assert (cli.latest / "report.html").exists()


@pytest.mark.slow
def test_a_load_process_that_dies_is_our_fault_and_the_records_are_kept(
    cli: Any, descendants: Callable[[int], set[int]]
) -> None:
    run = cli.start("run", cli.scenario(slo=HEALTHY, load={"duration": "300s"}))
    cli.wait_for_window()
    loads = [pid for pid in descendants(run.process.pid) if _command(pid).count("harness.load")]
    assert loads
    for pid in loads:
        os.kill(pid, signal.SIGKILL)
    done = run.finish()
    assert (done.code, done.out) == (70, "")
    assert "the load process ended by itself" in done.err
    assert "harness report" in done.err
    assert done.has_no_traceback()
    assert cli.manifest()["status"] == "partial"
    assert pq.read_table(next(cli.latest.glob("points/*/requests.parquet"))).num_rows
    again = cli.here("report", "latest", "--format", "junit")
    assert again.code == 4
    assert "PARTIAL: no verdict." in again.out


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text("utf-8").replace("\0", " ")


@pytest.mark.slow
def test_a_server_that_counts_every_prompt_alike_is_measured_and_its_counts_are_not_used(
    cli: Any,
) -> None:
    script = {"tokens": {"prompt_slope": 0.001, "prompt_fixed": 10}, "timing": {"ttft": "20ms"}}
    path = cli.scenario(
        targets={"t": {"kind": "scripted", "script": script}},
        load={"duration": "500ms", "warmup": "200ms"},
    )
    done = cli("run", path)
    assert done.code in (0, 4), done.err  # 4: this machine was too busy to be a client
    told = "target t counts 24 and 640 words as 10 and 11 prompt tokens: its prompt counts are not"
    assert told in done.err
    assert told in (cli.latest / "summary.md").read_text("utf-8")
    rows = pq.read_table(next(cli.latest.glob("points/*/requests.parquet")))
    assert set(rows["n_in"].to_pylist()) == {None}
    assert set(rows["n_out"].to_pylist()) == {4}
