"""`harness plan prices` as a process: what it prints, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

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
    done = cli("plan", "prices", str(path), "--json")
    assert done.code == 0
    (row,) = json.loads(done.out)["sheets"]
    assert row["notices"][0]["code"] == "stale_prices"
    assert row["sheet"]["on_demand"]["h100"]["price"] == "2-4.3USD/gpu_h"
    assert "the prices of old are of 2001-01-01" in done.err


def test_a_wrong_sheet_is_a_usage_error(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "bad.yaml"
    path.write_text(OLD.replace("as_of: 2001-01-01\n", ""))
    done = cli("plan", "prices", str(path))
    assert (done.code, done.out) == (2, "")
    assert "as_of" in done.err
    assert f"fix this, then: harness plan prices {path}" in done.err
