"""What recordings and texts cost: told before a run, held by a budget, compared after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from harness.cli import main
from harness.cli._budget import Budget
from harness.decisions.plan_document import plan_schema
from harness.scenario import expand, load_scenario, read_materials

SHEET = {
    "schema": "harness/prices/v1", "name": "mine", "as_of": "2026-11-01", "source": "a contract",
    "serverless": {
        "ears": {"audio": "0.006USD/audio_min"}, "talk": {"input": "1USD/Mtok"},
        "call": {"request": "0.002USD/request"}, "pictures": {"image": "0.01USD/image"},
    },
    "on_demand": {"h100": {"price": "5USD/gpu_h"}},
}  # fmt: skip
OPEN = {
    "kind": "open", "arrival": {"kind": "constant"}, "rate": "10/s", "duration": "60s",
    "warmup": "0s", "cooldown": "1s", "drain": "5s",
}  # fmt: skip
CLOSED = {"kind": "closed", "concurrency": 4, "duration": "60s", "warmup": "0s", "drain": "5s"}


def speech(length: str = "30s") -> dict[str, Any]:
    clip = {"duration": {"kind": "fixed", "value": length}}
    return {"name": "speech", "workload": {"kind": "audio", "clip": clip}}


def texts(batch: float = 4) -> dict[str, Any]:
    work = {
        "kind": "embeddings", "batch": {"kind": "fixed", "value": batch},
        "input_tokens": {"kind": "fixed", "value": 50},
    }  # fmt: skip
    return {"name": "texts", "workload": work}


def document(cli: Any, *classes: dict[str, Any], row: str = "ears", **blocks: Any) -> str:
    (cli.folder / "mine.yaml").write_text(json.dumps(SHEET), encoding="utf-8")
    cost = {"prices": "mine.yaml", "serverless": {"target": "t", "model": row}}
    return cli.scenario(**({"traffic": list(classes or [speech()]), "load": OPEN, "cost": cost}
                           | blocks))  # fmt: skip


Told = Callable[..., SimpleNamespace]


@pytest.fixture
def told(cli: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """A verb in this process: what sends nothing needs none of its own."""
    monkeypatch.chdir(cli.folder)

    def run(*args: str) -> SimpleNamespace:
        with pytest.raises(SystemExit) as ended:
            main(list(args))
        found = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=found.out, err=found.err)

    return run


def test_minutes_are_told_and_paid(cli: Any, told: Told) -> None:
    """600 recordings of half a minute at $0.006 a minute are $1.80."""
    name = document(cli)
    done = told("expand", name)
    assert done.code == 0, done.err
    head, row, last = done.out.splitlines()
    assert head.split()[-3:] == ["audio", "min", "USD"]
    assert row.split()[-4:] == ["0", "0", "300.0", "1.80"]
    assert last == "1 point, at least 60.0 s of load, 1.80 USD"
    (point,) = json.loads(told("expand", name, "--json").out)["points"]
    assert point["expected_audio_min"] == pytest.approx(300)
    assert point["expected_usd"] == pytest.approx(1.8)
    assert point["expected_usd_per_request"] == pytest.approx(0.003)
    assert point["usd_unknown"] == ""


@pytest.mark.parametrize(
    ("classes", "row", "load", "said"),
    [
        ([speech()], "ears", CLOSED,
         "USD not known before: how many requests there will be only the target decides; one costs"
         " 0.00300 USD"),
        ([texts()], "talk", CLOSED, "one costs 0.000200 USD"),
        ([texts()], "call", CLOSED, "one costs 0.00200 USD"),
        ([speech()], "talk", OPEN,
         "row talk has no price of minutes of audio, and a request has 0.5"),
        ([speech(), texts()], "talk", OPEN, "row talk has no price of minutes of audio"),
    ],
)  # fmt: skip
def test_a_bill_that_is_not_known_says_why(
    cli: Any, told: Told, classes: list[dict[str, Any]], row: str, load: dict[str, Any], said: str
) -> None:
    done = told("expand", document(cli, *classes, row=row, load=load))
    assert done.code == 0, done.err
    assert said in done.out
    assert done.out.splitlines()[1].endswith(" -")
    assert done.out.splitlines()[-1].endswith("of load, the bill not known before")


@pytest.mark.parametrize(
    ("classes", "row", "said"),
    [
        ([texts()], "ears", "asks by the audio_min, and this traffic has tokens"),
        ([speech(), texts()], "ears", "asks by the audio_min, and this traffic has tokens"),
        ([texts()], "pictures", "asks by the image, and this traffic has tokens"),
    ],
)
def test_a_row_that_bills_nothing_of_it_is_refused(
    cli: Any, told: Told, classes: list[dict[str, Any]], row: str, said: str
) -> None:
    done = told("validate", document(cli, *classes, row=row))
    assert done.code == 2
    assert said in done.err


def meter(cli: Any, name: str) -> Budget:
    loaded = load_scenario(cli.folder / name, env={})
    (point,) = expand(loaded.document)
    budget = Budget(1.0)
    assert budget.begin(point, read_materials(loaded.document, loaded.search_paths)) == ""
    return budget


def test_the_meter_counts_minutes_texts_and_requests(cli: Any) -> None:
    """Closed loads too, whose number of requests nobody knows: $0.003 a recording, 4 x 50 tokens
    at $1 a million, $0.002 a request."""
    for classes, row, each in (
        ([speech()], "ears", 0.003), ([texts()], "talk", 0.0002), ([texts()], "call", 0.002),
    ):  # fmt: skip
        budget = meter(cli, document(cli, *classes, row=row, load=CLOSED,
                                     stop={"max_spend": "1USD"}))  # fmt: skip
        assert not budget.see(SimpleNamespace(sent=100), 1.0)  # type: ignore[arg-type]
        assert budget.spent_usd == pytest.approx(100 * each)
        assert budget.see(SimpleNamespace(sent=round(1 / each) + 1), 2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("classes", "changes", "said"),
    [
        ([speech()], {"row": "talk"}, "row talk has no price of minutes of audio"),
        ([{"name": "chat", "workload": {"kind": "chat",
           "input_tokens": {"kind": "fixed", "value": 9}}}], {"row": "talk"},
         "how many output tokens a request has is not known before"),
        ([texts()], {"cost": {"prices": "mine.yaml", "serverless": {"model": "talk"}}},
         "cost names no tariff for any target of this run"),
    ],
)  # fmt: skip
def test_a_budget_that_cannot_be_kept_is_refused_before_anything_is_sent(
    cli: Any, told: Told, classes: list[dict[str, Any]], changes: dict[str, Any], said: str
) -> None:
    name = document(cli, *classes, stop={"max_spend": "1USD"}, **changes)
    done = told("run", name, "--progress", "none", "--no-check-client")
    assert done.code == 2, done.err
    assert "stop.max_spend cannot be kept" in done.err
    assert said in done.err
    assert not cli.runs.exists()


def test_a_run_of_recordings_ends_when_its_budget_is_spent(cli: Any) -> None:
    """$0.003 a recording, 4 users at some 20 ms each: $0.05 are spent within the first second."""
    name = document(cli, load=CLOSED | {"cooldown": "0s"}, stop={"max_spend": "0.05USD"},
                    sweep={"kind": "repeat", "repeat": 2})  # fmt: skip
    done = cli("run", name, "--progress", "none", "--no-check-client", "--no-report")
    assert done.code == 4, done.err
    assert "of 0.0500 USD are spent" in done.err
    assert "stopped before point" in done.err
    assert cli.manifest()["status"] == "partial"


def test_recordings_cross_at_minutes_of_audio(cli: Any) -> None:
    """One recording of 0.6 s at a time takes 30 ms: 5/s hold, 100/s miss. $5/h against $0.006 a
    minute: 833 min/h are as dear as a GPU, more than one replica's 5/s x 0.01 min = 180 min/h."""
    (cli.folder / "mine.yaml").write_text(json.dumps(SHEET), encoding="utf-8")
    script = {"timing": {"ttft": "30ms"}, "servers": 1}
    name = cli.scenario(
        targets={"gpu": {"kind": "scripted", "script": script}},
        traffic=[speech("600ms")],
        load=OPEN | {"rate": "5/s", "duration": "4s", "warmup": "500ms"},
        sweep={"kind": "list", "over": {"load.rate": ["5/s", "100/s"]}},
        slo={"good_request": {"e2e_latency": "200ms"}, "attainment": "80%"},
        cost={"prices": "mine.yaml", "serverless": {"model": "ears"},
              "on_demand": {"gpu": "h100"}},
    )  # fmt: skip
    ran = cli("run", name, "--progress", "none", "--no-check-client", "--no-report")
    assert ran.code in (0, 1, 3), ran.err
    done = cli("plan", "crossover", "latest", "--forecast", "servegen-day", "--set",
               "cost.forecast.volume=10kaudio_min/month")  # fmt: skip
    assert done.code in (0, 3), done.err
    assert "minutes of audio/day" in done.out
    assert "serverless saves" in done.out
    plan = json.loads((cli.latest / "plan.json").read_text("utf-8"))
    jsonschema.validate(plan, plan_schema())
    found = plan["crossover"]
    assert found["traffic_unit"] == "audio_min"
    assert found["one_replica"]["value"] == pytest.approx(5 / 0.006)
    assert found["at_traffic"]["audio_min_per_h"] == pytest.approx(10_000 / 720)
    csv = (cli.latest / "crossover.csv").read_text("utf-8")
    assert csv.startswith("audio_min_per_h,audio_min_per_day,serverless_low_usd_per_h")
    page = (cli.latest / "report.html").read_text("utf-8")
    assert "minutes of audio a day" in page
