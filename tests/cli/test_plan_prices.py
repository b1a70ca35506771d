"""`harness plan prices` as a process: what it prints, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli._plan_prices import _told

OLD = """\
schema: harness/prices/v1
name: old
as_of: 2001-01-01
source: a page that is gone
on_demand: {h100: {price: 2.00-4.30USD/gpu_h, doubt: from memory}}
"""


def test_the_shipped_sheet_is_printed_with_source_and_doubts(cli) -> None:  # type: ignore[no-untyped-def]
    done = cli("plan", "prices")
    assert done.code == 0
    assert "source: Fireworks guide as transcribed on this date" in done.out
    assert "doubt: whisper-v3: far above other published prices" in done.out
    assert "a100-80            3.50    80GB" in done.out


def test_an_old_sheet_draws_a_notice(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    done = cli.here("plan", "prices", str(path), "--json")
    assert done.code == 0
    (row,) = json.loads(done.out)["sheets"]
    assert row["notices"][0]["code"] == "stale_prices"
    assert row["sheet"]["on_demand"]["h100"]["price"] == "2-4.3USD/gpu_h"
    assert "the prices of old are of 2001-01-01" in done.err


def test_a_wrong_sheet_is_a_usage_error(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "bad.yaml"
    path.write_text(OLD.replace("as_of: 2001-01-01\n", ""))
    done = cli.here("plan", "prices", str(path))
    assert (done.code, done.out) == (2, "")
    assert "as_of" in done.err
    assert f"fix this, then: harness plan prices {path}" in done.err


def test_a_month_of_what_no_scenario_sends(cli) -> None:  # type: ignore[no-untyped-def]
    volumes = ["--volume", "whisper-v3=100kaudio_min/month", "--volume",
               "nomic-embed-text-v1.5=5Gtok/month"]  # fmt: skip
    done = cli.here("plan", "prices", "fireworks-guide", *volumes)
    assert done.code == 0, done.err
    assert "whisper-v3: 100,000 minutes of audio a month cost $20,000 by use" in done.out
    assert "as much as 2,880 minutes of audio, 34.7 times less than yours" in done.out
    assert "5,000,000,000 tokens in a month cost $40.0 by use" in done.out
    assert "as batches $20.0 to $40.0" in done.out
    data = json.loads(cli.here("plan", "prices", "fireworks-guide", *volumes, "--json").out)
    assert [bill["row"] for bill in data["bills"]] == ["whisper-v3", "nomic-embed-text-v1.5"]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["whisper=1min/month"], "did you mean 'whisper-v3'?"),
        (["whisper-v3=100"], "100 has no unit; write 31Maudio_min/d"),
        (["whisper-v3.input=1Mtok/d"], "no price of input; it has audio"),
        (["deepseek-v3=1Mtok/d"], "--volume deepseek-v3.input=... --volume deepseek-v3.output="),
        (["whisper-v3=1min/d", "whisper-v3.audio=1min/d"], "is given twice"),
        (["whisper-v3=0min/d"], "must be above 0"),
    ],
)
def test_a_volume_that_makes_no_sense(cli, args: list[str], told: str) -> None:  # type: ignore[no-untyped-def]
    flags = [word for text in args for word in ("--volume", text)]
    done = cli.here("plan", "prices", "fireworks-guide", *flags)
    assert (done.code, done.out) == (2, ""), done.out
    assert told in done.err


def test_the_age_of_a_sheet_in_words() -> None:
    assert [_told(age) for age in (0, 1, 90, -1, -34)] == [
        "0 days old", "1 day old", "90 days old", "1 day still to come", "34 days still to come",
    ]  # fmt: skip
