"""`--set`, named flags, `${VAR}`: their order, their reach and what they refuse."""

from __future__ import annotations

import pytest

from harness.scenario.document import ChatWorkload, Fixed, OpenAITarget, OpenLoad


def rate(loaded) -> float:  # type: ignore[no-untyped-def]
    load = loaded.document.load
    assert isinstance(load, OpenLoad)
    assert isinstance(load.rate, float)
    return load.rate


@pytest.mark.parametrize("path", ["traffic.chat.weight", "traffic.0.weight"])
def test_list_items_by_name_or_index(load, path: str) -> None:  # type: ignore[no-untyped-def]
    assert load(overrides=[f"{path}=3"]).document.traffic[0].weight == 3


def test_value_is_one_yaml_value(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load(
        overrides=[
            "load.rate=120/min",
            "traffic.chat.workload.input_tokens={kind: fixed, value: 7}",
            "load.arrival={kind: gamma, cv: 2}",
            "slo.tpot.p50=40ms",
            "labels.team=a=b",
        ]
    )
    assert rate(loaded) == 2.0
    workload = loaded.document.traffic[0].workload
    assert isinstance(workload, ChatWorkload)
    assert workload.input_tokens == Fixed(kind="fixed", value=7)
    assert loaded.document.slo.tpot is not None
    assert loaded.document.labels == {"team": "a=b"}


def test_swept_paths_keep_their_dots(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load(overrides=["sweep.kind=list", "sweep.over.load.rate=[1/s, 2/s]"])
    assert loaded.document.sweep is not None
    assert loaded.document.sweep.over == {"load.rate": ("1/s", "2/s")}


def test_sweep_over_that_is_no_mapping(faults) -> None:  # type: ignore[no-untyped-def]
    found = faults(overrides=["sweep.kind=list", "sweep.over=text", "sweep.over.load.rate=[1/s]"])
    assert any("holds a value; nothing lies below it" in f.message for f in found)


def test_null_drops_a_value(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load(overrides=["load.duration=null", "load.requests=50"])
    assert isinstance(loaded.document.load, OpenLoad)
    assert loaded.document.load.duration is None


@pytest.mark.parametrize(
    ("override", "path", "message"),
    [
        ("load.rte=1/s", "load.rte", "unknown key; did you mean 'rate'? (from --set)"),
        ("load.rate=8", "load.rate", "8 has no unit; write 8/s or 480/min (from --set)"),
        ("traffic.chta.weight=1", "traffic.chta.weight", "no item 'chta', did you mean 'chat'?"),
        ("traffic.7.weight=1", "traffic.7.weight", "no item '7'"),
        ("name.x=1", "name.x", "'name' holds a value"),
        ("load.rate", "--set load.rate", "write PATH=VALUE"),
        ("load.rate=", "load.rate", "has no value"),
        ("load.rate={", "load.rate", "is not YAML"),
        ("load..rate=1/s", "load..rate", "is not a path"),
    ],
)
def test_wrong_overrides_have_no_line(faults, override: str, path: str, message: str) -> None:  # type: ignore[no-untyped-def]
    (fault,) = faults(overrides=[override])
    assert (fault.path, fault.line) == (path, 0)
    assert message in fault.message


def test_origins_say_who_set_a_value(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load(overrides=["load.rate=2/s", "seed=3"], seed=5, model="m")
    assert loaded.document.seed == 5
    assert loaded.origin(("seed",)) == "--seed"
    assert loaded.origin(("load", "rate")) == "--set"
    assert loaded.origin(("load", "duration")) == "scenario"
    assert loaded.origin(("load", "warmup")) == "default"
    assert loaded.origin(("targets", "main", "model")) == "--model"
    lines = [line.split() for line in loaded.annotated_yaml().splitlines()]
    assert ["rate:", "2/s", "#", "--set"] in lines
    assert ["duration:", "1min"] in lines


def test_url_makes_the_only_target_openai(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load(
        "{kind: openai, url: \"http://localhost:8000/v1\"}", "{kind: reference}",
        url="http://host:9/", api_key_env="KEY",
    )  # fmt: skip
    target = loaded.document.targets["main"]
    assert isinstance(target, OpenAITarget)
    assert (target.url, target.model, target.api_key_env) == ("http://host:9/v1", "auto", "KEY")
    assert [n.code for n in loaded.notices] == ["url_completed"]


def test_a_path_in_the_url_is_kept(load) -> None:  # type: ignore[no-untyped-def]
    target = load(url="https://host/api/openai/").document.targets["main"]
    assert isinstance(target, OpenAITarget)
    assert target.url == "https://host/api/openai"


def test_url_with_several_targets_names_them(faults) -> None:  # type: ignore[no-untyped-def]
    (fault,) = faults("traffic:", "  other: {kind: reference}\ntraffic:", url="http://x/v1")
    assert "there are main, other" in fault.message


def test_variables_are_replaced_in_text(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load("localhost:8000", "${HOST}:${PORT}", env={"HOST": "h", "PORT": "1"})
    assert loaded.document.targets["main"].url == "http://h:1/v1"
    assert "${HOST}" in loaded.given_text


def test_overridden_variable_is_never_looked_up(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load("http://localhost:8000/v1", "${UNSET}",
                  overrides=["targets.main.url=http://x/v1"])  # fmt: skip
    assert loaded.document.targets["main"].url == "http://x/v1"
    assert load("http://localhost:8000/v1", "${UNSET}", url="http://y/v1").notices == ()


def test_every_unset_variable_is_a_fault(faults) -> None:  # type: ignore[no-untyped-def]
    found = faults('localhost:8000/v1"}', '${A}/v1", model: "${B}"}')
    assert [f.message.split(" is not set")[0] for f in found[:2]] == [
        "the variable A", "the variable B",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "block",
    [
        'headers: {Authorization: "Bearer sk-verysecret"}',
        'headers: {Authorization: "${SECRET}"}',
        "headers: {X-Api-Key: sk-verysecret}",
        "headers: {x-goog-api-key: sk-verysecret}",
        "headers: {Cookie: a=sk-verysecret}",
        "headers: {Ocp-Apim-Subscription-Key: verysecret}",
        'headers: {X-Team: "Bearer verysecret"}',
        "headers: {X-Upstream: sk-verysecret-of-mine}",
        'api_key_env: "${SECRET}"',
        "api_key_env: sk-verysecret",
        'headers: {X-Team: {env: "${SECRET}"}}',
    ],
)
def test_secrets_are_named_never_written(faults, block: str) -> None:  # type: ignore[no-untyped-def]
    found = faults("url:", f"{block}, url:", env={"SECRET": "sk-verysecret"})
    assert len(found) == 1
    assert "named" in found[0].message or "name" in found[0].message
    assert "verysecret" not in found[0].message + found[0].path


@pytest.mark.parametrize(
    ("url", "env"),
    [
        ("http://user:verysecret@host/v1", {}),
        ("http://${SECRET}@host/v1", {"SECRET": "user:verysecret"}),
        ("${URL}", {"URL": "http://user:verysecret@host/v1"}),
        ("http://host/v1?api_key=verysecret", {}),
    ],
)
def test_secrets_in_urls_are_refused(faults, url: str, env: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    (fault,) = faults("http://localhost:8000/v1", url, env=env)
    assert "api_key_env" in fault.message
    assert "verysecret" not in fault.message


def test_named_secret_is_not_in_the_resolved_text(load) -> None:  # type: ignore[no-untyped-def]
    loaded = load("url:", "headers: {X-Api-Key: {env: SECRET}}, url:", env={"SECRET": "verysecret"})
    assert "env: SECRET" in loaded.resolved_yaml()
    assert "verysecret" not in loaded.resolved_yaml()


def test_what_is_missing_in_a_block_that_a_flag_made_is_laid_to_the_flag(faults) -> None:  # type: ignore[no-untyped-def]
    found = faults(overrides=["sweep.kind=list", "labels.a.b=c"])
    assert [(f.path, f.line) for f in found] == [("labels.a", 0), ("sweep.over", 0)]
    assert all(f.message.endswith("(from --set)") for f in found)
