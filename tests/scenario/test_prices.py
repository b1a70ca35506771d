"""Price sheets: every fault with its place, ranges, dates, doubts, and the sheet of the docs."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.scenario.prices import SHEETS, load_prices, sheet_notices
from harness.units import (
    Price,
    parse_volume,
    price_parser,
    price_writer,
    write_size,
    write_volume,
)

OWN = """\
schema: harness/prices/v1
name: own
as_of: 2026-11-20
source: our contract
serverless:
  m: {input: 0.60USD/Mtok, cached_input: 0.15USD/Mtok, output: 1.20USD/Mtok}
on_demand:
  h100: {price: 2.00-4.30USD/gpu_h, memory: 80GB}
batch: {discount: 50%}
stacking: none
"""

FAULTS = [  # text replaced, by what, path, line, column, message
    ("as_of: 2026-11-20\n", "", "as_of", 1, 1, "missing; the day the prices were read"),
    ("source: our contract\n", "", "source", 1, 1, "missing; where they were read"),
    ("2026-11-20", "yesterday", "as_of", 3, 8, "'yesterday' is not a date; write 2026-11-23"),
    ("0.60USD/Mtok", "0.60", "serverless.m.input", 6, 14, "0.6 has no unit; write 0.90USD/Mtok"),
    ("0.60USD/Mtok", "0.60USD/ktok", "serverless.m.input", 6, 14, "unknown unit 'USD/ktok'"),
    ("0.60USD/Mtok", "-1USD/Mtok", "serverless.m.input", 6, 14, "'-1USD/Mtok' is not a price"),
    ("0.60USD/Mtok", "2-USD/Mtok", "serverless.m.input", 6, 14, "is not a price"),
    ("2.00-4.30", "4.30-2.00", "on_demand.h100.price", 8, 17, "write the lower price first"),
    ("output:", "outputs:", "serverless.m.outputs", 6, 56, "did you mean 'output'?"),
    ("on_demand:", "ondemand:", "ondemand", 7, 1, "did you mean 'on_demand'?"),
    ("stacking: none", "stacking: best", "stacking", 10, 11, "did you mean 'best_of'?"),
    ("stacking: none\n", "", "stacking", 1, 1, "missing; say which discounts"),
    ("discount: 50%", "discount: 50", "batch.discount", 9, 19, "50 has no unit; write 50%"),
    ("discount: 50%", "discount: 50%, discount_up_to: 60%", "batch.discount_up_to", 9, 40,
     "give either"),
    ("{discount: 50%}", "{}", "batch", 9, 8, "says no discount"),
    ("input: 0.60USD/Mtok, cached_input: 0.15USD/Mtok, output: 1.20USD/Mtok", "doubt: what",
     "serverless.m", 6, 6, "holds no price"),
    ("input: 0.60USD/Mtok, ", "", "serverless.m.cached_input", 6, 21, "no input price"),
    ("harness/prices/v1", "harness/prices/v2", "schema", 1, 9, "is newer than this harness"),
    ("harness/prices/v1", "harness/v1", "schema", 1, 9, "'harness/v1' is no price sheet"),
    ("name: own", "name: own\nname: again", "name", 3, 1, "already given in line 2"),
]  # fmt: skip


def sheet_at(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("old", "new", "path", "line", "column", "message"), FAULTS)
def test_each_fault_has_its_place(tmp_path, old, new, path, line, column, message) -> None:  # type: ignore[no-untyped-def]
    assert old in OWN
    with pytest.raises(ScenarioError) as error:
        load_prices(sheet_at(tmp_path, OWN.replace(old, new, 1)))
    (fault,) = error.value.faults
    assert (fault.path, fault.line, fault.column) == (path, line, column)
    assert message in fault.message


def test_all_faults_at_once_and_the_command_to_try_again(tmp_path: Path) -> None:
    text = OWN.replace("0.60USD/Mtok", "cheap").replace("50%", "half").replace("80GB", "80")
    with pytest.raises(ScenarioError) as error:
        load_prices(sheet_at(tmp_path, text))
    lines = error.value.render().splitlines()
    assert lines[0] == f"error: price sheet '{tmp_path / 'own.yaml'}' is not valid"
    assert lines[-1] == f"fix these, then: harness plan prices {tmp_path / 'own.yaml'}"
    assert [f.line for f in error.value.faults] == [6, 8, 9]


def test_a_sheet_that_is_nowhere_names_those_that_ship() -> None:
    with pytest.raises(ScenarioError) as error:
        load_prices("fireworks-guid")
    assert "did you mean 'fireworks-guide'?" in error.value.faults[0].message


@pytest.mark.parametrize("name", SHEETS.names())
def test_shipped_sheets_say_their_date_and_source(name: str) -> None:
    sheet = load_prices(name)
    assert sheet.name == name
    assert sheet.as_of <= date(2026, 11, 27)
    assert sheet.source


def test_the_guide_as_it_was_published() -> None:
    sheet = load_prices("fireworks-guide")
    tokens = {name: row.input.point for name, row in sheet.serverless.items() if row.input}
    assert tokens["llama-v3p3-70b-instruct"] == 0.90
    assert tokens["llama-v3p1-405b-instruct"] == 3.00
    assert tokens["nomic-embed-text-v1.5"] == 0.008
    assert sheet.serverless["whisper-v3"].audio == Price(0.20, 0.20)
    assert {name: gpu.price.point for name, gpu in sheet.on_demand.items()} == {
        "a10g": 0.80, "a100-40": 2.50, "a100-80": 3.50, "h100": 5.00,
    }  # fmt: skip
    assert sheet.batch is not None
    assert (sheet.batch.discount_up_to, sheet.batch.audio_discount) == (0.5, 0.4)
    assert sheet.cached_input is not None
    assert sheet.cached_input.discount == 0.5
    assert "whisper-v3" in sheet.doubts


def test_the_sheet_of_the_documentation_is_valid(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "scenarios" / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(schema: harness/prices/v1\n.*?)```", readme, re.DOTALL)
    sheet = load_prices(sheet_at(tmp_path, block))
    assert len(block.splitlines()) <= 11
    assert sheet.on_demand["h100"].price == Price(2.0, 4.3)
    assert sheet.row("accounts/me/models/my-model") == "my-model"
    assert sheet.row("other") is None


@pytest.mark.parametrize(
    ("today", "code"),
    [
        (date(2026, 11, 20), None),
        (date(2027, 2, 18), None),  # 90 days: the last day it is fresh
        (date(2027, 2, 19), "stale_prices"),
        (date(2026, 11, 19), "prices_from_tomorrow"),
    ],
)
def test_age(tmp_path: Path, today: date, code: str | None) -> None:
    notices = sheet_notices(load_prices(sheet_at(tmp_path, OWN)), today)
    assert [n.code for n in notices] == ([code] if code else [])
    assert all(n.sentence for n in notices)


@given(
    st.floats(0, 1e9, allow_nan=False), st.floats(0, 1e9, allow_nan=False),
    st.floats(1e-6, 1e15, allow_nan=False),
)  # fmt: skip
def test_prices_and_volumes_are_read_back_to_the_bit(a: float, b: float, volume: float) -> None:
    price = Price(min(a, b), max(a, b))
    assert price_parser("Mtok")(price_writer("Mtok")(price)) == price
    assert parse_volume(write_volume(volume)) == volume


def test_volumes_and_sizes() -> None:
    assert parse_volume("24Mtok/d") == 1e6
    assert parse_volume("7.2Gtok/month") == 1e7
    assert parse_volume("100ktok/h") == 100_000
    assert parse_volume("100ktok/min") == 6_000_000
    assert (write_size(80e9), write_size(1.5)) == ("80GB", "1.5B")
    with pytest.raises(ValueError, match="has no unit; write 31Mtok/d"):
        parse_volume("31")


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("2.00-4.30USD/gpu_h", (2.0, 4.3)),
        ("2.00USD/gpu_h-4.30USD/gpu_h", (2.0, 4.3)),
        ("2 - 4.3USD/gpu_h", (2.0, 4.3)),
        ("1e-3USD/gpu_h", (0.001, 0.001)),  # an exponent's minus divides no range
        ("1e-3-2e-3USD/gpu_h", (0.001, 0.002)),
    ],
)
def test_a_range_is_divided_where_it_is_meant(text: str, ends: tuple[float, float]) -> None:
    found = price_parser("gpu_h")(text)
    assert (found.low, found.high) == ends
