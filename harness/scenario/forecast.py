"""Traffic to plan for: mean rates of equal windows, from a rate CSV, hourly rates or a trace.

A forecast is a shape with a scale; either may come from elsewhere: a real trace's shape at "12
requests/s on average", or a month's tokens in the shape of a public day. Windows follow each other
without a gap; the last one is followed by nothing, not by the first.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.scenario._files import FileFault, find, library_folder, open_text
from harness.scenario._traces import Trace, read_trace

FloatArray = npt.NDArray[np.float64]

WINDOW_S = 600.0  # of a trace; short against an autoscaler's delays, long against single requests
_TIMES_S = {"t_s": 1.0, "t_min": 60.0, "hour": 3600.0}
_RATE_ENDS = ("rps", "req_per_s")
_TRACES = {"TIMESTAMP": "azure_csv", "Timestamp": "burstgpt_csv", "{": "mooncake_jsonl"}
_MOST_RATE = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """rates: [n] mean requests/s of windows of window_s seconds, one after the other, n >= 1.

    name: of the file, with its column where it has several.  source: the file's first remark, and
    how it was scaled.  lengths: mean input and output tokens of a request, where a trace tells.
    trace: what was counted; None of a table of rates.  remarks: on it, a phrase each.
    """

    name: str
    source: str
    window_s: float
    rates: FloatArray
    lengths: tuple[float, float] | None = None
    trace: Trace | None = None
    remarks: tuple[str, ...] = ()

    @property
    def mean_req_per_s(self) -> float:
        return float(self.rates.mean())

    @property
    def peak_to_mean(self) -> float:
        return float(self.rates.max()) / self.mean_req_per_s

    @property
    def span_s(self) -> float:
        return self.window_s * len(self.rates)

    @property
    def shape(self) -> FloatArray:
        """[n] rates over their mean."""
        return self.rates / self.mean_req_per_s

    def at_mean(self, mean_req_per_s: float) -> Forecast:
        """The same shape at another mean; > 0."""
        if not (mean_req_per_s > 0 and math.isfinite(mean_req_per_s)):
            raise ValueError("a mean rate is above 0")
        told = f"{self.source.rstrip('.')}; scaled to {mean_req_per_s:.4g} requests/s on average"
        return replace(self, rates=self.shape * mean_req_per_s, source=told)

    def spread(self, jitter_s: float, seed: int) -> Forecast:
        """Of a trace whose times were rounded down: each request somewhere in [t, t + jitter_s).

        Raises ValueError where it is no trace.
        """
        if self.trace is None:
            raise ValueError(f"{self.name} is a table of rates; only the times of a trace spread")
        more_s = np.random.default_rng([seed, 5]).random(len(self.trace)) * jitter_s
        order = np.argsort(self.trace.arrival_s + more_s, kind="stable")
        times_s = (self.trace.arrival_s + more_s)[order]
        ids = self.trace.hash_ids
        spread = replace(
            self.trace, arrival_s=times_s - times_s[0], input_tok=self.trace.input_tok[order],
            output_tok=self.trace.output_tok[order],
            hash_ids=None if ids is None else tuple(ids[i] for i in order.tolist()),
        )  # fmt: skip
        found = _of_trace(self.name, self.name, self.source, spread, self.window_s)
        told = f"times spread over {jitter_s:g} s, as rounded down"
        return replace(found, remarks=(*found.remarks, told))

    def at_volume(self, per_h: float, per_req: float, unit: str = "tok") -> Forecast:
        """The same shape at this many tokens an hour, of requests of per_req on average.

        Both counts are input and output together; 720 hours are a month.  unit: of what else.
        """
        scaled = self.at_mean(per_h / per_req / 3600)
        a_day = f"{per_h * 24 / 1e6:.4g} M{unit}" if unit == "tok" else f"{per_h * 24:,.4g} {unit}"
        told = f"{self.source.rstrip('.')}; scaled to {a_day}/day"
        return replace(scaled, source=told)


def forecast_names() -> tuple[str, ...]:
    """Names of the forecasts that ship, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.csv")))


def find_forecast(name: str, search_paths: Sequence[Path] = ()) -> str:
    """The name of one that ships, or the absolute path of a file; raises FileFault."""
    return name if name in forecast_names() else str(_find(name, search_paths).resolve())


def load_forecast(
    source: str | Path,
    *,
    column: str | None = None,
    window_s: float = WINDOW_S,
    search_paths: Sequence[Path] = (),
) -> Forecast:
    """The forecast of a file, or the one of that name in the library.

    A CSV with `t_s`, `t_min` or `hour` and a rate (`..._rps`, `..._req_per_s`; column: which, where
    there are several), or a trace in a layout that replay reads, counted in windows of window_s.
    Raises FileFault, a ValueError that says what is wrong in one sentence.
    """
    path = _find(str(source), search_paths)
    with open_text(path) as text:
        lines = [(number, line) for number, line in enumerate(text, 1) if line.strip()]
    remarks = [line.lstrip("# ").strip() for _, line in lines if line.startswith("#")]
    rows = [(number, line) for number, line in lines if not line.startswith("#")]
    first = rows[0][1].strip() if rows else ""
    layout = next((known for start, known in _TRACES.items() if first.startswith(start)), None)
    about = remarks[0] if remarks else path.name
    if layout is not None:
        if column is not None:
            raise FileFault(f"{path.name} is a trace; it has no rate column '{column}'")
        trace = read_trace(path, layout)
        return _of_trace(path.name, path.stem, about, trace, window_s)
    if len(rows) < 3:
        raise FileFault(f"{path.name} holds no two windows; write a header and a row for each")
    return _rates(path, rows, column, about)


def _folder() -> Path:
    return library_folder() / "forecasts"


def _find(name: str, search_paths: Sequence[Path]) -> Path:
    if name in forecast_names():
        return _folder() / f"{name}.csv"
    try:
        return find(name, [*search_paths, library_folder(), Path.cwd()])
    except FileFault as error:
        near = difflib.get_close_matches(name, forecast_names(), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"shipped: {', '.join(forecast_names())}"
        raise FileFault(f"{error}; {hint}") from None


def _of_trace(file: str, name: str, about: str, trace: Trace, window_s: float) -> Forecast:
    lengths = float(trace.input_tok.mean()), float(trace.output_tok.mean())
    rates = _counted(file, trace.arrival_s, window_s)
    remarks = _remarks(trace, window_s * len(rates))
    return Forecast(name, about, window_s, rates, lengths, trace, remarks)


def _counted(file: str, arrival_s: FloatArray, window_s: float) -> FloatArray:
    """[n] requests/s of each whole window; a trace shorter than one is refused."""
    span_s = float(arrival_s[-1])
    num = int(span_s // window_s)
    if num == 0:
        if span_s <= 0:
            raise FileFault(f"{file} has all its requests at one instant; no rate follows")
        raise FileFault(
            f"{file} spans {span_s:.0f} s, less than a window of {window_s:.0f} s; give a"
            " shorter window"
        )
    inside = arrival_s[arrival_s < num * window_s]
    index = np.minimum((inside / window_s).astype(np.int64), num - 1)
    return np.bincount(index, minlength=num) / window_s


def _remarks(trace: Trace, span_s: float) -> tuple[str, ...]:
    """What no window holds, and times that look rounded."""
    late, found = int((trace.arrival_s >= span_s).sum()), []
    if trace.num_dropped:
        found.append(f"rows without tokens, left out as failed: {trace.num_dropped:,}")
    if late:
        found.append(f"requests after the last whole window, left out: {late:,}")
    num_times = len(np.unique(trace.arrival_s))
    if num_times < len(trace) / 2:
        found.append(
            f"{len(trace):,} requests at {num_times:,} different times: where those were rounded,"
            " bursts are rounding (--jitter)"
        )
    return tuple(found)


def _rates(path: Path, rows: list[tuple[int, str]], column: str | None, about: str) -> Forecast:
    header, *cells = csv.reader(line for _, line in rows)
    numbers = [number for number, _ in rows[1:]]
    header = [name.strip() for name in header]
    time = next((name for name in _TIMES_S if name in header), None)
    if time is None:
        raise FileFault(
            f"{path.name} has no time column; its first line names t_s, t_min or hour, and a rate"
            " such as req_per_s"
        )
    known = [name for name in header if name.endswith(_RATE_ENDS)]
    chosen = _column(path, known, column)
    index, at = header.index(chosen), header.index(time)
    padded = [(row + [""] * len(header))[: len(header)] for row in cells]
    found = [(n, row[at], row[index]) for n, row in zip(numbers, padded, strict=True)]
    while found and not found[-1][2].strip():  # columns of one file may end at different times
        found.pop()
    times_s = [_number(path, n, time, text) * _TIMES_S[time] for n, text, _ in found]
    rates = np.array([_number(path, n, chosen, text) for n, _, text in found], np.float64)
    if len(rates) < 2 or rates.max() <= 0:
        raise FileFault(f"column '{chosen}' of {path.name} holds no two windows with traffic")
    window_s = times_s[1] - times_s[0]
    for (n, _, _), before, after in zip(found[1:], times_s, times_s[1:], strict=False):
        if window_s <= 0 or abs(after - before - window_s) > 1e-6 * window_s:
            raise FileFault(f"line {n} of {path.name}: '{time}' must rise by equal steps")
    name = path.stem if len(known) == 1 else f"{path.stem} {chosen}"
    return Forecast(name, about, window_s, rates)


def _column(path: Path, known: list[str], column: str | None) -> str:
    if not known:
        raise FileFault(f"{path.name} has no rate column; name one req_per_s")
    if column is None:
        if len(known) > 1:
            raise FileFault(f"{path.name} has several rates; say which: {', '.join(known)}")
        return known[0]
    spellings = (column, *(f"{column}_{end}" for end in _RATE_ENDS))
    matches = [name for name in known if name in spellings]
    if not matches:
        near = difflib.get_close_matches(column, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; it has {', '.join(known)}"
        raise FileFault(f"{path.name} has no rate '{column}'{hint}")
    return matches[0]


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _MOST_RATE:  # false for NaN too
        raise FileFault(f"line {line} of {path.name}: '{column}' is not a number of 0 or more")
    return value
