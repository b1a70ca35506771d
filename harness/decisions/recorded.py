"""A trace's own requests at the rates of a plan: bursts stay bursts, and time is never stretched.

A window that is to be lighter keeps each request with one probability. One that is to be heavier
has the trace several times over, each further copy turned round within its windows by a shift of
its own: windows keep their rates and every copy its bursts, but no two copies burst together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.decisions.twin import Requests
from harness.decisions.twin.requests import FloatArray
from harness.decisions.wording import amount
from harness.units import format_seconds, significant


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """requests: of a trace, from its start.  window_s, num_windows: in which it was counted; what
    comes after the last of them is left out."""

    requests: Requests
    window_s: float
    num_windows: int

    @property
    def mean_req_per_s(self) -> float:
        span_s = self.num_windows * self.window_s
        return float((self.requests.arrival_s < span_s).sum()) / span_s

    def at(
        self, rates: FloatArray, rng: np.random.Generator, *, first: int = 0, cut: float = 1.0
    ) -> Requests:
        """The requests of as many windows as there are rates, from 0 s on.

        rates: [w] requests/s of the windows first, first + 1, ...; after the trace's last window
        comes its first again.  cut: only this share of each window, from its start; windows are
        then as much shorter.
        """
        arrival_s, span_s = self.requests.arrival_s, self.num_windows * self.window_s
        index = np.minimum((arrival_s / self.window_s).astype(np.int64), self.num_windows - 1)
        index[arrival_s >= span_s] = self.num_windows
        starts = np.searchsorted(index, np.arange(self.num_windows + 1))
        source = (first + np.arange(len(rates))) % self.num_windows
        counts = starts[source + 1] - starts[source]
        window = np.repeat(np.arange(len(rates)), counts)
        before = np.cumsum(counts) - counts
        rows = np.arange(len(window)) + (starts[source] - before)[window]
        inside_s = arrival_s[rows] - (source * self.window_s)[window]
        inside_s = np.clip(inside_s, 0.0, np.nextafter(self.window_s, 0.0))  # by a last bit
        # a rate counted from this trace is once the trace, whatever its last bit says
        times = np.round(rates * self.window_s / np.maximum(counts, 1), 9)[window]
        at_s, which = [np.zeros(0)], [np.zeros(0, np.int64)]
        for copy in range(int(np.ceil(times.max(initial=0.0)))):
            shift_s = rng.uniform(0, self.window_s) if copy else 0.0
            turned_s = (inside_s + shift_s) % self.window_s if copy else inside_s
            is_kept = (rng.random(len(rows)) < times - copy) & (turned_s < cut * self.window_s)
            at_s.append((window * self.window_s * cut + turned_s)[is_kept])
            which.append(rows[is_kept])
        together_s, rows = np.concatenate(at_s), np.concatenate(which)
        order = np.argsort(together_s, kind="stable")
        rows = rows[order]
        return Requests(together_s[order], self.requests.n_in[rows], self.requests.n_out[rows])

    def told(self, mean_req_per_s: float | None = None) -> str:
        """What is played, in words. mean_req_per_s: at one rate; None: at several."""
        own = "the trace's own requests"
        copies = f"further copies shifted within windows of {format_seconds(self.window_s)}"
        if mean_req_per_s is None:
            return f"{own}, thinned, or several times over with {copies}"
        times = mean_req_per_s / self.mean_req_per_s
        if abs(times - 1) < 1e-6:
            return f"{own}, as they came"
        if times < 1:
            return f"{own}, each kept with a chance of {amount(times, 'ratio')}"
        return f"{own} {significant(times)} times over, {copies}"
