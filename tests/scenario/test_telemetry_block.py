"""The telemetry block: on by default, refused where it would hold a secret, outside the hash."""

from __future__ import annotations

import pytest

from harness.scenario.comparable import comparability_hash

BLOCK = "telemetry: {prometheus: {url: %s}}\nslo:"


def test_targets_are_read_by_default(load) -> None:
    block = load().document.telemetry
    assert block.prometheus is not None
    assert (block.prometheus.url, block.prometheus.interval, block.gpu) == ("auto", 1.0, True)


def test_another_page_and_pace(load) -> None:
    text = "telemetry: {prometheus: {url: 'http://h:9/m', interval: 5s}, gpu: false}\nslo:"
    block = load("slo:", text).document.telemetry
    assert (block.prometheus.url, block.prometheus.interval) == ("http://h:9/m", 5.0)
    assert not block.gpu


def test_it_can_be_switched_off(load) -> None:
    off = load(overrides=["telemetry.prometheus=null"]).document.telemetry
    assert off.prometheus is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BLOCK % "'localhost:9/metrics'", "is not a URL"),
        (BLOCK % "'http://me:pw@h/metrics'", "holds a secret"),
        (BLOCK % "'http://h/metrics?api_key=abc'", "holds a secret"),
        ("telemetry: {prometheus: {interval: 1}}\nslo:", "has no unit"),
        ("telemetry: {prometheus: {interval: 1ms}}\nslo:", "0.1"),
        ("telemetry: {promethues: null}\nslo:", "did you mean 'prometheus'?"),
    ],
)
def test_faults_are_named(faults, text: str, said: str) -> None:
    (fault,) = faults("slo:", text)
    assert said in fault.message
    assert "pw@" not in fault.message


def test_reading_changes_nothing_that_is_compared(load) -> None:
    off = load("slo:", "telemetry: {prometheus: null, gpu: false}\nslo:")
    assert comparability_hash(off.document) == comparability_hash(load().document)
