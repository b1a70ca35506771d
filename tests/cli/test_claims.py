"""`harness claims`: no network, exit codes, pages; then short real runs, judged as stored."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.cli import _app
from harness.cli._evidence import crossings_of
from harness.decisions import find_capacity
from harness.decisions.cost_answer import answer
from harness.decisions.cost_question import measured_mix, question_of
from harness.decisions.question import Capacity
from harness.scenario.claims import load_claims
from harness.scenario.cost import Cost
from harness.scenario.prices import load_prices
from harness.scenario.resolved import write_yaml
from tests.analysis import rows as made_rows
from tests.decisions.rates import point

SHORT = ("load.warmup=500ms", "load.cooldown=2s", "load.drain=30s")
LENIENT = ("validity.max_send_lag.p99=60s", "validity.max_receive_lag.p99=60s",
           "validity.max_client_cpu=100%")  # fmt: skip


def own_claims(folder: Path, **changes: dict[str, Any]) -> str:
    """The guide's file with other scopes, floors or values: what a short run can show."""
    document = load_claims("guide").document.model_dump(
        by_alias=True, exclude_unset=True, mode="json"
    )
    for claim in document["claims"]:
        for key, value in changes.get(claim["id"], {}).items():
            claim[key] = {**claim.get(key, {}), **value} if isinstance(value, dict) else value
    path = folder / "own.yaml"
    path.write_text(write_yaml(document), encoding="utf-8")
    return path.name


def sets(*values: str) -> list[str]:
    return [part for value in (*SHORT, *LENIENT, *values) for part in ("--set", value)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """The verb within this process, in a folder of its own: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> tuple[int, str, str]:
        code = int(_app._run(["claims", *args]))
        done = capsys.readouterr()
        return code, done.out, done.err

    return run


def test_the_guide_needs_no_network(here: Any, tmp_path: Path) -> None:
    code, out, err = here("guide")
    assert (code, err) == (0, "")
    assert "C7   INCONSISTENT as expected" in out
    assert "2 inconsistent, 1 supported, 13 not testable of 16 claims." in out
    minute = own_claims(tmp_path, C7={"value": "100ktok/min"})
    code, out, _ = here(minute, "--only", "C7", "--json")
    assert code == 3  # not testable, and it was asked for alone
    assert json.loads(out)["findings"][0]["standing"] == "not testable"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nonsense",), "no file 'nonsense'"),
        (("guide", "--only", "C77"), "there is no claim 'C77' in guide"),
        (("guide", "no-run"), "there is no run 'no-run'"),
        (("guide", "--format", "html"), "--format and -o belong together"),
        (("guide", "--prices", "nowhere"), "no file 'nowhere'"),
        (("guide", "--set", "C77.value=3"), "C14, C15\n"),  # of those there are
        (("guide", "--set", "C7.vlue=3"), "C7.vlue    unknown key; did you mean 'value'?"),
        (("guide", "--set", "C1.min_n=0"), "C1.min_n    must be 1 or more"),
        (("guide", "--set", "C1.alpha=1e-20"), "C1.alpha    must be 1e-09 or more"),
        (("guide", "--set", "C1.alpha=.nan"), "C1.alpha    must be"),
        (("guide", "--evidence", "nowhere.yaml"), "cannot be read"),
    ],
)
def test_bad_usage_is_2(here: Any, args: tuple[str, ...], said: str) -> None:
    code, out, err = here(*args)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_what_the_file_does_not_expect_is_1(here: Any, tmp_path: Path) -> None:
    text = load_claims("guide").path.read_text("utf-8")
    (tmp_path / "own.yaml").write_text(text.replace("    expect: inconsistent\n", ""), "utf-8")
    assert here("own.yaml", "--only", "C7")[0] == 1
    assert here("own.yaml")[0] == 1
    assert "then: harness claims own.yaml\n" in here("own.yaml", "--set", "C1.min_n=0")[2]


def test_the_page_has_the_three_lines(here: Any, tmp_path: Path) -> None:
    assert here("guide", "--format", "html", "-o", "page.html") == (0, "", "")
    html = (tmp_path / "page.html").read_text("utf-8")
    assert 'id="why-C7"' in html
    assert '<span class="badge fail">' not in html  # as expected: nothing failed
    assert "a slip of the unit is likely" in html
    assert not re.findall(r'(?:src|href)="https?:', html)
    markdown = here("guide", "--format", "markdown", "-o", "-")[1]
    for part in ("inconsistent, as expected", "267K tokens/h", "not testable", "$50 (h100)"):
        assert part in markdown
    document = json.loads(here("guide", "--json")[1])
    assert [f["id"] for f in document["findings"]][:2] == ["C1", "C2"]
    assert document["exit_code"] == 0


def test_what_a_plan_says_of_the_crossing() -> None:
    # as cost_answer writes them
    ends = {"autoscaled": {"low": 2e6, "high": 3e6}, "fixed": {"low": "inf", "high": "inf"}}
    part = {"crossing": ends, "feasibility": "uncertain", "outcome": "pass"}
    (found,) = crossings_of("run", {"crossover": part})
    assert (found.low_tok_per_h, found.high_tok_per_h, found.is_feasible) == (2e6, 3e6, True)
    (doubtful,) = crossings_of("run", {"crossover": part | {"outcome": "inconclusive"}})
    assert doubtful.high_tok_per_h is None
    only = {"crossing": {"fixed": ends["fixed"]}, "feasibility": "infeasible"}
    (never,) = crossings_of("run", {"crossover": part | only})
    assert (never.low_tok_per_h, never.is_feasible) == (None, False)
    assert crossings_of("run", {"crossover": None}) == []
    # minutes of audio are no tokens
    assert crossings_of("run", {"crossover": part | {"traffic_unit": "audio_min"}}) == []


TRAFFIC = [
    {
        "name": "chat",
        "workload": {
            "kind": "chat",
            "input_tokens": {"kind": "fixed", "value": 100},
            "output_tokens": {"kind": "fixed", "value": 6},
        },
    }
]


@pytest.mark.e2e
@pytest.mark.slow
def test_speed_and_uptime_from_a_short_run(cli: Any) -> None:
    """20 ms an answer, and one in twenty is a 500: C1 and C14 hold at a lenient value, C2 falls."""
    script = {
        "timing": {"ttft": "20ms", "gap": "2ms"},
        "tokens": {"prompt_slope": 1.3},
        "faults": [{"first": 40, "share": "5%", "then": {"http": {"status": 500}}}],
    }
    name = cli.scenario(
        "steady", targets={"serverless": {"kind": "scripted", "script": script}}, traffic=TRAFFIC,
        load={"kind": "open", "arrival": {"kind": "constant"}, "rate": "40/s", "duration": "8s",
              "warmup": "500ms", "cooldown": "2s", "drain": "30s"},
    )  # fmt: skip
    ran = cli.here("run", name, "--no-report", "--progress", "none")
    assert ran.code in (0, 4), ran.err
    if ran.code == 4:
        pytest.skip("this machine was too busy to be a client")
    block = {"block": "250ms"}
    mine = own_claims(
        cli.folder, C1={"value": "5s", "scope": block},
        C14={"value": "1tok/s", "placeholder": False, "min_n": 30, "scope": block},
    )  # fmt: skip
    found = judged(cli, mine, "latest", "latest")  # named twice it is no more evidence
    assert found["C1"]["standing"] == "supported"
    assert found["C1"]["n"] == 32
    assert found["C14"]["standing"] == "supported"
    assert found["C2"]["standing"] == "refuted"
    assert found["C7"]["standing"] == "inconsistent"
    assert found["C9"]["standing"] == "not testable"


@pytest.mark.e2e
@pytest.mark.slow
def test_silences_of_a_target_that_never_sleeps(cli: Any) -> None:
    script = {"timing": {"ttft": "300ms", "gap": "2ms"}, "tokens": {"prompt_slope": 1.3}}
    name = cli.scenario(
        "quiet", targets={"main": {"kind": "scripted", "script": script}}, traffic=TRAFFIC,
        load={"kind": "idle_burst", "idle": ["900ms"], "requests": 2, "gap": "400ms", "cycles": 7,
              "warmup": "500ms", "cooldown": "2s", "drain": "30s"},
    )  # fmt: skip
    ran = cli.here("run", name, "--no-report", "--progress", "none")
    assert ran.code in (0, 3, 4), ran.err
    if ran.code == 4:
        pytest.skip("this machine was too busy to be a client")
    # lenient: what is tested is the pairing of a real run, not this machine's quiet
    mine = own_claims(
        cli.folder, C9={"value": "95%"}, C9b={"value": "95%", "scope": {"only": False}}
    )
    found = judged(cli, mine, "latest")
    if "no window of the runs tells" in str(found["C9"]):
        pytest.skip("this machine was too busy a client for its latencies to count")
    assert found["C9"]["n"] == 7
    assert (found["C9"]["standing"], found["C9b"]["standing"]) == ("supported", "refuted")


@pytest.mark.e2e
@pytest.mark.slow
def test_cached_prompts_of_the_reference_engine(cli: Any) -> None:
    """Hits and misses of equal length, cached tokens as the engine tells them; the bill decides,
    so that no clock does: nine tenths cached at half price is not quite a half."""
    ran = cli.here(
        "run", "caching", *sets("load.rate=8/s", "load.duration=14s", "load.warmup=3s"),
        "--no-report", "--progress", "none",
    )  # fmt: skip
    assert ran.code in (0, 1, 3, 4), ran.err
    if ran.code == 4:
        pytest.skip("this machine was too busy to be a client")
    mine = own_claims(cli.folder, C13={"value": "45%", "scope": {"block": "2s"}})
    row = judged(cli, mine, "latest")["C13"]
    figures = {f["name"]: f["value"] for f in row["figures"]}
    assert row["n"] >= 6, row
    assert 0.8 < figures["prompt tokens told as cached"] < 0.99
    assert 0.5 < figures["input bill, cached over not"] < 0.6
    assert row["standing"] == "refuted"


def judged(cli: Any, claims: str, *runs: str) -> dict[str, Any]:
    done = cli.here("claims", claims, *runs, "--json")
    assert done.has_no_traceback(), done.err
    return {f["id"]: f for f in json.loads(done.out)["findings"]}


def test_a_crossing_is_read_as_it_is_written() -> None:
    """From the planner's own answer, so that the two cannot drift apart."""
    waits = {2: 0.05, 4: 0.08, 8: 0.09, 16: 0.4}
    points = [
        point(made_rows, rate, wait, index=k, n_in=1000)
        for k, (rate, wait) in enumerate(waits.items())
    ]
    sheet = load_prices("fireworks-guide").model_dump(by_alias=True, exclude_none=True)
    own = Cost.model_validate(
        {"prices": sheet, "serverless": {"model": "llama-v3p3-70b-instruct"},
         "on_demand": {"gpu": "h100"}}
    )  # fmt: skip
    capacity = Capacity(find_capacity(points).estimate, 0.3)
    question = question_of(own, "auto", measured_mix(own, points, points), capacity, None)
    found = answer(question, traffic_source="")
    (crossing,) = crossings_of("run", {"crossover": json.loads(json.dumps(found.to_json()))})
    lows = [e.low for e in found.crossover.crossing.values() if e.low is not None]
    assert crossing.low_tok_per_h == pytest.approx(min(lows))
    assert crossing.is_feasible
