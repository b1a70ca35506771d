"""Forecasts: rate CSVs, hourly rates, traces counted in windows, tokens of a month in a shape."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scenario._files import FileFault
from harness.scenario.forecast import Forecast, forecast_names, load_forecast

ROOT = Path(__file__).parents[2]
TRACES = os.environ.get("HARNESS_TRACES")


def made(folder: Path, text: str, name: str = "day.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_hourly_rates(tmp_path: Path) -> None:
    path = made(tmp_path, "# ours\nhour,req_per_s\n0,2\n1,6\n2,1\n")
    found = load_forecast(path)
    assert (found.name, found.source, found.window_s, found.span_s) == ("day", "ours", 3600, 10800)
    assert found.rates.tolist() == [2, 6, 1]
    assert (found.mean_req_per_s, found.peak_to_mean) == (3, 2)


def test_one_of_several_rates_that_end_at_different_times(tmp_path: Path) -> None:
    path = made(tmp_path, "t_s,a_rps,b_rps,a_clients\n0,1,5,9\n600,2,6,9\n1200,3,,9\n")
    assert load_forecast(path, column="a").rates.tolist() == [1, 2, 3]
    assert load_forecast(path, column="b_rps").rates.tolist() == [5, 6]
    assert load_forecast(path, column="b").name == "day b_rps"
    with pytest.raises(FileFault, match="several rates; say which: a_rps, b_rps"):
        load_forecast(path)
    with pytest.raises(FileFault, match="did you mean 'a_rps'"):
        load_forecast(path, column="a_rp")


def test_a_trace_is_counted_in_whole_windows(tmp_path: Path) -> None:
    rows = [0.0, 1.0, 9.99, 10.0, 25.0, 29.0, 30.5]  # seconds; the last lies in no whole window
    text = "Timestamp,Request tokens,Response tokens\n" + "".join(f"{t},5,5\n" for t in rows)
    found = load_forecast(made(tmp_path, text), window_s=10)
    assert found.rates.tolist() == [0.3, 0.1, 0.2]
    assert found.lengths == (5, 5)
    with pytest.raises(FileFault, match=r"spans 30 s, less than a window of 600 s"):
        load_forecast(made(tmp_path, text))
    with pytest.raises(FileFault, match="is a trace"):
        load_forecast(made(tmp_path, text), column="x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no two windows"),
        ("t_s,req_per_s\n0,1\n", "holds no two windows"),
        ("time,req_per_s\n0,1\n1,2\n", "no time column"),
        ("t_s,tokens\n0,1\n1,2\n", "no rate column"),
        ("t_s,req_per_s\n0,1\n600,-2\n", r"line 3 of day.csv: 'req_per_s' is not a number"),
        ("t_s,req_per_s\n0,1\n600,nan\n", r"line 3 of day.csv: 'req_per_s' is not a number"),
        ("t_s,req_per_s\n0,1\n600,\n1200,2\n", r"line 3 of day.csv: 'req_per_s' is not a number"),
        ("t_s,req_per_s\n0,1\n600,2\n1300,2\n", r"line 4 of day.csv: 't_s' must rise by equal"),
        ("t_s,req_per_s\n0,1\n0,2\n0,2\n", r"line 3 of day.csv: 't_s' must rise by equal"),
        ("t_s,req_per_s\n0,0\n600,0\n", "no two windows with traffic"),
    ],
)
def test_what_is_no_forecast(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileFault, match=message):
        load_forecast(made(tmp_path, text))


def test_a_name_that_does_not_ship() -> None:
    with pytest.raises(FileFault, match="did you mean 'servegen-day'"):
        load_forecast("servegen-dya")


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20), st.floats(0.01, 1e4))
def test_scaling_keeps_the_shape(rates: list[float], mean: float) -> None:
    given_ = Forecast("f", "s", 600.0, np.array(rates))
    scaled = given_.at_mean(mean)
    assert scaled.mean_req_per_s == pytest.approx(mean)
    assert scaled.peak_to_mean == pytest.approx(given_.peak_to_mean)
    np.testing.assert_allclose(scaled.shape, given_.shape)


def test_a_month_of_tokens_in_a_shape() -> None:
    """720 Mtok a month is 1 Mtok/h; at 1,000 tokens a request 1,000 requests/h."""
    day = Forecast("f", "s", 600.0, np.array([1.0, 3.0])).at_volume(1e6, 1000.0)
    assert day.mean_req_per_s == pytest.approx(1000 / 3600)
    assert day.rates.tolist() == pytest.approx([500 / 3600, 1500 / 3600])
    assert day.source == "s; scaled to 24 Mtok/day"


@pytest.mark.parametrize("name", forecast_names())
def test_shipped_days_say_where_they_are_from(name: str) -> None:
    found = load_forecast(name)
    assert found.span_s == 86400
    assert found.mean_req_per_s == pytest.approx(1, abs=1e-4)
    text = (ROOT / "scenarios" / "forecasts" / f"{name}.csv").read_text(encoding="utf-8")
    assert "https://" in text.partition("t_s")[0]
    assert found.source.startswith("One day of")


@pytest.mark.skipif(not TRACES, reason="HARNESS_TRACES is unset: no public traces")
def test_the_shipped_day_is_what_its_script_makes(monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = ROOT / "scenarios" / "forecasts" / "derive_servegen.py"
    spec = importlib.util.spec_from_file_location("derive_servegen", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "derive_servegen.py"))
    module.main(Path(str(TRACES)) / "servegen" / "rates_10min.csv")
    made_again = (tmp_path / "servegen-day.csv").read_text(encoding="utf-8")
    assert made_again == (path.parent / "servegen-day.csv").read_text(encoding="utf-8")


@pytest.mark.skipif(not TRACES, reason="HARNESS_TRACES is unset: no public traces")
@pytest.mark.parametrize(
    ("column", "mean", "peak", "num"),
    [("m-large", 196, 2.98, 2016), ("m-mid", 1790, 1.92, 2016), ("deepseek-r1", 16.0, 2.66, 144)],
)
def test_public_rates_are_read_as_published(
    column: str, mean: float, peak: float, num: int
) -> None:
    found = load_forecast(Path(str(TRACES)) / "servegen" / "rates_10min.csv", column=column)
    assert found.mean_req_per_s == pytest.approx(mean, rel=0.005)
    assert round(found.peak_to_mean, 2) == peak
    assert (len(found.rates), found.window_s) == (num, 600)


HEAD = "Timestamp,Request tokens,Response tokens\n"


def test_what_no_window_holds_and_what_looks_rounded_is_said(tmp_path: Path) -> None:
    """Rows out of order, three at once, one without an answer, one after the last whole window."""
    rows = ["10,7,7", "0,5,5", "3,6,0", "0,5,6", "0,5,7", "25,8,8", "10,9,9"]
    found = load_forecast(made(tmp_path, HEAD + "\n".join(rows)), window_s=10)
    assert found.rates.tolist() == [0.3, 0.2]
    assert found.trace is not None
    assert found.trace.arrival_s.tolist() == [0, 0, 0, 10, 10, 25]
    assert found.trace.output_tok.tolist() == [5, 6, 7, 7, 9, 8]
    assert found.remarks == (
        "rows without tokens, left out as failed: 1",
        "requests after the last whole window, left out: 1",
    )
    many = load_forecast(made(tmp_path, HEAD + "0,5,5\n" * 5 + "20,5,5\n" * 5), window_s=10)
    assert many.remarks[-1].startswith("10 requests at 2 different times: where those were rounded")


def test_rounded_times_are_spread_and_rows_stay_joined(tmp_path: Path) -> None:
    text = HEAD + "".join(f"{3 * (k // 10)},{k + 1},{k + 1}\n" for k in range(100))
    plain = load_forecast(made(tmp_path, text), window_s=9)
    found = plain.spread(3.0, seed=1)
    assert plain.trace is not None
    assert found.trace is not None
    assert len(np.unique(found.trace.arrival_s)) == 100
    assert (np.diff(found.trace.arrival_s) >= 0).all()
    begin = 3.0 * ((found.trace.input_tok - 1) // 10)
    offset = found.trace.arrival_s - begin  # the same shift for all: the first begins at 0
    assert np.ptp(offset) < 3.0
    assert found.trace.output_tok.tolist() == found.trace.input_tok.tolist()
    assert found.remarks[-1] == "times spread over 3 s, as rounded down"
    assert not any("different times" in text for text in found.remarks)
    with pytest.raises(ValueError, match="only the times of a trace spread"):
        load_forecast("servegen-day").spread(1.0, seed=0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["5,5,5"], "all its requests at one instant"),
        (["5,5,5", "5,6,6"], "all its requests at one instant"),
        (["5,5,0"], "holds no usable row"),
        (["5,5,5", "x,6,6"], "line 3 of day.csv: 'x' is not a time"),
    ],
)
def test_a_trace_that_is_none(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(FileFault, match=message):
        load_forecast(made(tmp_path, HEAD + "\n".join(rows)), window_s=10)


def test_a_row_that_ends_before_its_time(tmp_path: Path) -> None:
    with pytest.raises(FileFault, match=r"line 3 of day.csv: 't_s' is not a number"):
        load_forecast(made(tmp_path, "req_per_s,t_s\n1,0\n2\n3,1200\n"))
