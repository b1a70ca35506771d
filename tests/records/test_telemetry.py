"""What a target says of itself: pages parsed, read each second, kept through a kill, never a fault.

The servers' pages are written after their real ones. No GPU here: NVML is a stand-in with the
functions and units of nvidia-ml-py; what a real driver answers is not tested.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.records import (
    SERVER_SCHEMA,
    EventLog,
    GpuReader,
    MetricsPage,
    NotExposition,
    PageFault,
    RunDirectory,
    ServerSpool,
    Telemetry,
    is_same_origin,
    metrics_url,
    names_of,
    open_gpus,
    parse_exposition,
    read_log,
    read_spool,
    recognise,
    to_batch,
)

PAGES = Path(__file__).with_name("pages")
PAGE = "# TYPE up_total counter\nup_total 3\n"


def page(name: str) -> str:
    return (PAGES / f"{name}.txt").read_text("utf-8")


# -- pages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "server", "told"),
    [
        ("vllm", "vllm", {"running": 13, "kv_usage": 1.04, "output_tok": 30000,
                          "prompt_tok": 50000, "prefix_hit_tok": 12000, "preemptions": 3,
                          "spec_accepted_tok": 300, "spec_draft_tok": 400}),
        ("sglang", "sglang", {"running": 162, "waiting": 2826, "kv_usage": 0.28,
                              "requests_success": 11008, "output_tok": 7557572,
                              "prefix_hit_tok": 61000, "preemptions": 7}),
        ("llama_cpp", "llama.cpp", {"running": 2, "waiting": 1, "kv_usage": 0.125,
                                    "output_tok": 3469}),
        ("tgi", "tgi", {"running": 6, "waiting": 3, "requests_success": 40, "output_tok": 5120,
                        "prompt_tok": 20480, "spec_accepted_tok": 512}),
        ("reference_engine", "reference engine", {"running": 4, "waiting": 1,
                                                  "prefix_query_tok": 200, "output_tok": 320}),
    ],
)  # fmt: skip
def test_each_server_is_known_by_its_own_names(name: str, server: str, told: dict) -> None:
    samples = parse_exposition(page(name))
    assert recognise(s.name for s in samples) == server
    totals = {}
    for metric, spellings in names_of(server).items():
        found = [s.value for s in samples if s.name == spellings[0]]
        if found:
            totals[metric] = sum(found)
    assert {metric: totals[metric] for metric in told} == pytest.approx(told)


def test_buckets_and_creation_times_are_not_kept() -> None:
    names = {s.name for s in parse_exposition(page("vllm"))}
    assert "vllm:time_to_first_token_seconds_sum" in names
    assert not [n for n in names if n.endswith(("_bucket", "_created"))]


def test_numbers_that_are_none_are_left_out() -> None:
    names = {s.name for s in parse_exposition(page("llama_cpp"))}
    assert "llamacpp:predicted_tokens_seconds" not in names
    assert "llamacpp:n_decode_total" in names


def test_labels_are_sorted_and_kinds_are_kept() -> None:
    sample = parse_exposition('# TYPE a_total counter\na_total{z="1",b="2"} 4\n')[0]
    assert sample == ("a_total", 'b="2",z="1"', 4.0, "counter")


def test_open_metrics_is_read_too() -> None:
    text = '# TYPE x counter\nx_total{a="b"} 5.0\nx_created{a="b"} 1.0\n# EOF\n'
    found = parse_exposition(text, "application/openmetrics-text; version=1.0.0")
    assert [(s.name, s.value) for s in found] == [("x_total", 5.0)]


@pytest.mark.parametrize("text", ["<html><body>no</body></html>", "hello world", '{"a": 1}', "\0"])
def test_garbage_is_no_page(text: str) -> None:
    with pytest.raises(NotExposition):
        parse_exposition(text)


def test_a_page_of_too_many_series_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("harness.records.exposition.MAX_SAMPLES", 2)
    with pytest.raises(NotExposition, match="3 series"):
        parse_exposition("a 1\nb 2\nc 3\n")


# -- over HTTP ---------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))  # type: ignore[attr-defined]
        self.server.answer(self)  # type: ignore[attr-defined]

    def log_message(self, *args: Any) -> None: ...


Answer = Callable[[BaseHTTPRequestHandler], None]


def says(
    body: bytes, status: int = 200, kind: str = "text/plain; version=0.0.4", **headers: str
) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("content-type", kind)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], tuple[str, list[dict[str, str]]]]]:
    """serve(answer): the URL of a page, and the headers of the requests it gets."""
    servers = []

    def start(answer: Answer) -> tuple[str, list[dict[str, str]]]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.answer, server.asked = answer, []  # type: ignore[attr-defined]
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/metrics", server.asked  # type: ignore

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_page_is_read_with_the_headers_given(serve) -> None:
    url, asked = serve(says(PAGE.encode()))
    assert MetricsPage(url, {"Authorization": "Bearer k"}).read() == parse_exposition(PAGE)
    assert asked[0]["Authorization"] == "Bearer k"
    assert asked[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("answer", "why", "is_final"),
    [
        (says(b"", 404), "there is none", True),
        (says(b"", 401), "refuses our key", True),
        (says(b"", 302, location="http://elsewhere/"), "302", True),
        (says(b"", 503), "503", False),
        (says(b"{}", kind="application/json"), "application/json", True),
        (says(b"<html>"), "no metrics page", True),
        (says(b""), "empty", False),
        (says(PAGE.encode(), content_encoding="gzip"), "compressed", True),
    ],
)
def test_what_is_no_page_is_a_fault_in_words(serve, answer, why: str, is_final: bool) -> None:
    url, _ = serve(answer)
    with pytest.raises(PageFault, match=why) as caught:
        MetricsPage(url).read()
    assert caught.value.is_final == is_final


def test_a_huge_page_is_not_read_to_its_end(serve, monkeypatch) -> None:
    monkeypatch.setattr("harness.records.metrics_page.MAX_BYTES", 1000)
    url, _ = serve(says(b"a 1\n" * 100_000))
    with pytest.raises(PageFault, match="larger"):
        MetricsPage(url).read()


def test_a_page_that_trickles_is_given_up(serve) -> None:
    is_over = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        says(b"")(handler)
        while not is_over.wait(0.02):
            try:
                handler.wfile.write(b"a 1\n")
            except OSError:
                return

    url, _ = serve(trickle)
    with pytest.raises(PageFault, match="longer than"):
        MetricsPage(url, timeout_s=0.1).read()
    is_over.set()


def test_nobody_there_is_a_fault() -> None:
    with pytest.raises(PageFault) as caught:
        MetricsPage("http://127.0.0.1:9/metrics").read()
    assert not caught.value.is_final


def test_the_page_lies_beside_v1() -> None:
    assert metrics_url("http://h:8000/v1") == "http://h:8000/metrics"
    assert metrics_url("https://h/inference/v1/") == "https://h/inference/metrics"
    assert is_same_origin("http://h:1/a", "http://h:1/v1")
    assert not is_same_origin("http://h:2/a", "http://h:1/v1")


# -- each second -------------------------------------------------------------------------------


class Script:
    """A source that does what a list says, then repeats its last entry."""

    url = "http://user:pw@host/metrics"

    def __init__(self, *acts: Any) -> None:
        self.acts, self.num_asked, self.is_closed = acts, 0, False
        self.was_asked = threading.Semaphore(0)

    def read(self) -> list:
        act = self.acts[min(self.num_asked, len(self.acts) - 1)]
        self.num_asked += 1
        self.was_asked.release()
        if isinstance(act, Exception):
            raise act
        return parse_exposition(act)

    def close(self) -> None:
        self.is_closed = True


def run_telemetry(folder: Path, *sources: Any, num_waited: int = 3) -> Telemetry:
    telemetry = Telemetry(ServerSpool(folder), sources, interval_s=0.01)
    telemetry.start()
    for _ in range(num_waited):
        sources[0].was_asked.acquire(timeout=60)
    telemetry.stop()
    return telemetry


def test_readings_reach_the_spool_and_the_parquet_file(tmp_path) -> None:
    run = RunDirectory.create(tmp_path, "s", given_text="", resolved_yaml="", provenance={})
    point = run.add_point(0, "main")
    source = Script("a_total 1\nb 2\n", "a_total 5\nb 2\n")
    before_ns = time.monotonic_ns()
    telemetry = run_telemetry(point.path, source)
    (readings,) = telemetry.readings
    assert readings.num_read >= 4  # three waited for, one at the end
    assert readings.num_read == source.num_asked
    assert readings.url == "http://***@host/metrics"
    assert source.is_closed
    spooled = read_spool(point.path).server
    point.merge()
    run.finish("complete")
    from harness.records import Run

    table = Run.open(run.path).points[0].server()
    assert table.equals(spooled)
    assert table.schema.equals(SERVER_SCHEMA)
    assert table.num_rows == 2 * readings.num_read
    times = table["t_ns"].to_pylist()
    assert times == sorted(times)
    assert before_ns < times[0] < times[-1] < time.monotonic_ns()
    assert "points/000-main/server.parquet" in run.manifest.files


def test_a_point_without_readings_has_no_file(tmp_path) -> None:
    run = RunDirectory.create(tmp_path, "s", given_text="", resolved_yaml="", provenance={})
    point = run.add_point(0, "main")
    telemetry = run_telemetry(point.path, Script(PageFault("there is none", is_final=True)),
                              num_waited=1)  # fmt: skip
    point.merge()
    assert telemetry.readings[0].is_given_up
    assert not (point.path / "server.parquet").exists()


def test_a_final_fault_is_asked_once(tmp_path) -> None:
    source = Script(PageFault("there is none", is_final=True))
    telemetry = run_telemetry(tmp_path, source, num_waited=1)
    assert source.num_asked == 1
    assert telemetry.readings[0].why == "there is none"


def test_three_faults_before_any_page_are_enough(tmp_path) -> None:
    source = Script(PageFault("busy", is_final=False))
    telemetry = run_telemetry(tmp_path, source)
    assert source.num_asked == 3
    assert telemetry.readings[0].is_given_up


def test_faults_between_pages_are_counted_and_survived(tmp_path) -> None:
    source = Script("a 1", *[PageFault("slow", is_final=False)] * 5, "a 2")
    telemetry = run_telemetry(tmp_path, source, num_waited=8)
    (readings,) = telemetry.readings
    assert readings.num_failed == 5
    assert not readings.is_given_up
    assert read_spool(tmp_path).server["value"].to_pylist()[:2] == [1.0, 2.0]


def test_a_source_that_breaks_takes_nobody_with_it(tmp_path) -> None:
    good, bad = Script("a 1"), Script(RuntimeError("driver gone"))
    telemetry = run_telemetry(tmp_path, good, bad)
    assert bad.num_asked == 1
    assert telemetry.readings[1].why == "RuntimeError: driver gone"
    assert telemetry.readings[0].num_read >= 3


def test_a_source_that_hangs_does_not_hold_the_run_up(tmp_path) -> None:
    is_over = threading.Event()

    class Hanging(Script):
        def read(self) -> list:
            is_over.wait(30)
            return []

    telemetry = Telemetry(ServerSpool(tmp_path), [Hanging("a 1")], interval_s=0.01)
    telemetry.start(first_s=0.01)
    telemetry.stop(wait_s=0.01)
    is_over.set()


def test_a_killed_process_keeps_what_was_read(tmp_path) -> None:
    code = f"""
        from harness.records import ServerSpool, parse_exposition, to_batch
        import time
        spool = ServerSpool({str(tmp_path)!r})
        for k in range(10_000):
            spool.append(to_batch(k, parse_exposition(f"a {{k}}")))
            if k == 5:
                print("go", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    values = read_spool(tmp_path).server["value"].to_pylist()
    assert values == list(map(float, range(len(values))))
    assert len(values) >= 6


def test_a_full_disk_ends_the_readings_not_the_run(tmp_path) -> None:
    spool = ServerSpool(tmp_path)
    spool.close()  # writing to it is an OSError, as on a full disk
    source = Script("a 1")
    telemetry = Telemetry(spool, [source], interval_s=0.01)
    telemetry.start()
    telemetry.stop()
    assert telemetry.readings[0].is_given_up
    assert source.num_asked == 1


def test_an_empty_reading_is_a_batch_without_rows() -> None:
    assert to_batch(1, []).num_rows == 0


# -- GPUs --------------------------------------------------------------------------------------


class FakeNvmlError(Exception): ...


def fake_nvml(num_gpus: int = 2) -> Any:
    """The part of pynvml that is used, in its units: percent, bytes, mW, mJ, MHz, degrees."""

    def refuse(handle: int) -> int:
        raise FakeNvmlError("not supported")

    return SimpleNamespace(
        NVMLError=FakeNvmlError, NVML_CLOCK_SM=1, NVML_CLOCK_MEM=2, NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None, nvmlShutdown=lambda: None, nvmlDeviceGetCount=lambda: num_gpus,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=40 + handle, memory=7),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=5 << 30, total=80 << 30),
        nvmlDeviceGetPowerUsage=lambda handle: 312_500,
        nvmlDeviceGetTotalEnergyConsumption=refuse,
        nvmlDeviceGetClockInfo=lambda handle, kind: {1: 1980, 2: 2619}[kind],
        nvmlDeviceGetTemperature=lambda handle, kind: 61,
    )  # fmt: skip


def test_gpus_are_read_in_base_units_and_what_a_card_hides_is_left_out() -> None:
    rows = GpuReader(fake_nvml()).read()
    first = {s.name: s.value for s in rows if s.labels == 'gpu="0"'}
    assert first == {
        "gpu_utilization_ratio": 0.4, "gpu_memory_used_bytes": 5 << 30,
        "gpu_memory_total_bytes": 80 << 30, "gpu_power_w": 312.5, "gpu_sm_clock_mhz": 1980,
        "gpu_memory_clock_mhz": 2619, "gpu_temperature_c": 61,
    }  # fmt: skip
    assert {s.labels for s in rows} == {'gpu="0"', 'gpu="1"'}


def test_without_package_driver_or_gpu_there_is_no_source() -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    def no_driver() -> None:
        raise FakeNvmlError("driver not loaded")

    broken = fake_nvml()
    broken.nvmlInit = no_driver
    assert open_gpus(missing) is None
    assert open_gpus(lambda name: broken) is None
    assert open_gpus(lambda name: fake_nvml(0)) is None
    found = open_gpus(lambda name: fake_nvml(1))
    assert found is not None
    assert found.num_gpus == 1


# -- the log -----------------------------------------------------------------------------------


def test_events_are_lines_in_order_without_secrets(tmp_path) -> None:
    log = EventLog(tmp_path / "log.jsonl")
    log.append("run_begun", scenario="s", missing=None)
    log.append("notice", text="https://u:pw@h/?api_key=abc", more={"Authorization": "x"}, n=[1])
    rows = read_log(tmp_path / "log.jsonl")
    assert [row["event"] for row in rows] == ["run_begun", "notice"]
    assert "missing" not in rows[0]
    assert rows[0]["utc"].endswith("Z")
    assert rows[0]["utc"] <= rows[1]["utc"]
    assert "pw" not in rows[1]["text"]
    assert "abc" not in rows[1]["text"]


def test_a_line_cut_by_a_kill_costs_only_itself(tmp_path) -> None:
    path = tmp_path / "log.jsonl"
    log = EventLog(path)
    log.append("a")
    with path.open("ab") as file:
        file.write(b'{"event": "cut')
    log.append("b")
    assert [row["event"] for row in read_log(path)] == ["a", "b"]
    assert json.loads(path.read_bytes().splitlines()[-1])["event"] == "b"


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path) -> None:
    EventLog(tmp_path / "no" / "log.jsonl").append("a")
    assert read_log(tmp_path / "no" / "log.jsonl") == []


def test_the_log_is_in_the_manifest(tmp_path) -> None:
    run = RunDirectory.create(tmp_path, "s", given_text="", resolved_yaml="", provenance={})
    run.log.append("run_begun")
    run.finish("complete")
    assert "log.jsonl" in run.manifest.files
