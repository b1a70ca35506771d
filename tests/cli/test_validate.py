"""`harness validate`: one line a scenario on stdout, faults and notices on stderr, exit 0 or 2."""

from __future__ import annotations

import json
from typing import Any

from harness.scenario import load_resolved


def test_several_scenarios_one_line_each(cli: Any) -> None:
    done = cli("validate", "quickstart", "sweep")
    assert (done.code, done.err) == (0, "")
    assert done.out == "quickstart: valid, 1 point\nsweep: valid, 5 points\n"


def test_one_bad_scenario_fails_all_and_hides_none(cli: Any) -> None:
    (cli.folder / "bad.yaml").write_text("schema: harness/v1\nname: x\nload: {kind: opne}\n")
    done = cli.here("validate", "bad.yaml", "quickstart")
    assert done.code == 2
    assert done.out == "bad.yaml: not valid, 3 faults\nquickstart: valid, 1 point\n"
    assert "load.kind  line 3, col 14  'opne' is not a choice; did you mean 'open'?" in done.err
    assert done.err.rstrip().endswith("then: harness validate bad.yaml")
    assert done.has_no_traceback()


def test_json_is_one_document(cli: Any) -> None:
    done = cli.here("validate", "quickstart", "nothing", "--json", "--set", "load.warmup=1s")
    data = json.loads(done.out)
    good, bad = data["scenarios"]
    assert done.code == 2
    assert (good["valid"], good["num_points"]) == (True, 1)
    assert [n["code"] for n in good["notices"]] == ["short_warmup"]
    assert (bad["valid"], bad["faults"][0]["path"]) == (False, "(file)")


def test_resolved_says_where_values_come_from_and_loads_again(cli: Any) -> None:
    done = cli.here("validate", "quickstart", "--resolved", "--set", "load.concurrency=2",
               "--url", "http://h:1/v1")  # fmt: skip
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines()]
    for line in (
        "concurrency: 2 # --set", "url: http://h:1/v1 # --url", "drain: 30s # default",
        "duration: 50s",
    ):  # fmt: skip
        assert line.split() in lines
    path = cli.folder / "again.yaml"
    path.write_text(done.out, encoding="utf-8")
    assert load_resolved(path).document.name == "quickstart"


def test_wrong_usage(cli: Any) -> None:
    assert cli.here("validate").code == 2
    done = cli.here("validate", "quickstart", "--set", "load.concurency=3")
    assert done.code == 2
    assert "did you mean 'concurrency'? (from --set)" in done.err


def test_unset_variable_and_missing_file_in_one_go(cli: Any) -> None:
    text = (
        "schema: harness/v1\nname: x\ntargets: {a: {kind: openai, url: '${NO_SUCH_URL}'}}\n"
        "traffic: [{name: c, workload: {kind: dataset, file: gone.jsonl}}]\n"
        "load: {kind: closed, concurrency: 1, duration: 5s}\n"
    )
    (cli.folder / "x.yaml").write_text(text)
    done = cli.here("validate", "x.yaml")
    assert done.code == 2
    assert "the variable NO_SUCH_URL is not set" in done.err
    done = cli.here("validate", "x.yaml", env={"NO_SUCH_URL": "http://h/v1"})
    assert "traffic.c.workload.file  line 4, col 53  no file 'gone.jsonl'" in done.err
