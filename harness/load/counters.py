"""What one worker counts while it sends: for its pulse and for the client rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.load.sketch import Sketch
from harness.records.schema import WHOLE_APIS


@dataclass(slots=True)
class Counters:
    """Cumulative over the point; the lags and sketches are since the last pulse."""

    sent: int = 0
    finished: int = 0
    ok: int = 0
    throttled: int = 0
    failed: int = 0
    cancelled: int = 0
    num_blocked: int = 0
    blocked_ns: int = 0
    num_receives: int = 0
    num_coalesced: int = 0
    num_tok: float = 0.0
    num_tok_receives: int = 0
    last_error: str = ""
    send_lag_s: Sketch = field(default_factory=Sketch)
    recv_lag_s: Sketch = field(default_factory=Sketch)
    ttft_s: Sketch = field(default_factory=Sketch)
    tpot_s: Sketch = field(default_factory=Sketch)
    whole_s: Sketch = field(default_factory=Sketch)  # to the end, of answers without a stream

    def take_row(self, row: dict[str, Any]) -> None:
        """Count a finished request's record."""
        error = row["error_class"]
        self.finished += 1
        if not error:
            self.ok += 1
        elif error == "throttled":
            self.throttled += 1
        elif error in ("cancelled", "cut"):  # the scenario's doing, or the end of the run's
            self.cancelled += error == "cancelled"
        else:
            self.failed += 1
            self.last_error = f"{error}: {row['error_detail'] or ''}"
        self.num_receives += row["num_receives"]
        self.num_coalesced += row["num_coalesced"]
        first_ns, last_ns = row["first_token_ns"], row["last_token_ns"]
        if not error and row["api"] in WHOLE_APIS:
            self.whole_s.add((row["end_ns"] - row["intended_ns"]) / 1e9)
        if error or first_ns is None:
            return
        self.ttft_s.add((first_ns - row["intended_ns"]) / 1e9)
        n_out = row["n_out"]
        if n_out:
            self.num_tok += n_out
            self.num_tok_receives += row["num_receives"]
            if row["n_first"] is not None and n_out > row["n_first"]:
                self.tpot_s.add((last_ns - first_ns) / 1e9 / (n_out - row["n_first"]))

    def take_sketches(self) -> dict[str, Sketch]:
        """The sketches since the last call."""
        names = ("send_lag_s", "recv_lag_s", "ttft_s", "tpot_s", "whole_s")
        taken = {name: getattr(self, name) for name in names}
        for name in names:
            setattr(self, name, Sketch())
        return taken
