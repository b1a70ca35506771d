"""Pulses of all workers as one, for the live display."""

from __future__ import annotations

from time import monotonic_ns
from typing import Any

from harness.load.plan import Pulse
from harness.load.sketch import Sketch


class Merge:
    """Counters are summed over workers; sketches are those of the current stage."""

    def __init__(self, num_workers: int) -> None:
        self._latest: dict[int, dict[str, Any]] = {}
        self._ttft, self._tpot, self._whole = Sketch(), Sketch(), Sketch()
        self._stage: dict[str, Any] | None = None
        self._receives = (0, monotonic_ns())
        self.phase = "ready"
        self.last_error = ""
        self.num_prepared: dict[int, int] = {}  # by shard

    def begin(self, stage: dict[str, Any]) -> None:
        """A stage starts: its latencies are its own."""
        self._stage, self.phase = stage, "ready"
        self._ttft, self._tpot, self._whole = Sketch(), Sketch(), Sketch()

    def take(self, shard: int, data: dict[str, Any]) -> None:
        self._latest[shard] = data
        self._ttft.merge(Sketch.from_json(data["ttft_s"]))
        self._tpot.merge(Sketch.from_json(data["tpot_s"]))
        self._whole.merge(Sketch.from_json(data["whole_s"]))
        self.last_error = data["last_error"] or self.last_error

    def pulse(self, num_alive: int) -> Pulse:
        now_ns = monotonic_ns()
        stage = self._stage or {"name": "", "start_ns": now_ns, "t0_ns": now_ns, "t1_ns": None}
        end_ns = stage["t1_ns"]
        if self.phase not in ("preparing", "drain"):
            self.phase = self._phase_at(now_ns, stage)
        rows = [data["row"] for data in self._latest.values()]
        receives = sum(row["num_receives"] for row in rows)
        elapsed_s = max(1e-3, (now_ns - self._receives[1]) / 1e9)
        per_s = max(0, receives - self._receives[0]) / elapsed_s
        self._receives = (receives, now_ns)
        ratios = [d["tok_per_receive"] for d in self._latest.values() if d["tok_per_receive"]]
        ratio = sum(ratios) / len(ratios) if ratios else 1.0
        return Pulse(
            phase=self.phase,
            stage=stage["name"],
            elapsed_s=max(0.0, (now_ns - stage["start_ns"]) / 1e9),
            remaining_s=max(0.0, (end_ns - now_ns) / 1e9) if end_ns else 0.0,
            sent=sum(row["sent"] for row in rows),
            in_flight=sum(row["in_flight"] for row in rows),
            ok=sum(data["ok"] for data in self._latest.values()),
            throttled=sum(data["throttled"] for data in self._latest.values()),
            failed=sum(row["failed"] for row in rows),
            ttft_p50_s=self._ttft.quantile(0.5),
            ttft_p99_s=self._ttft.quantile(0.99),
            tpot_p50_s=self._tpot.quantile(0.5),
            tpot_p99_s=self._tpot.quantile(0.99),
            out_tok_per_s=per_s * ratio,
            client_cpu=max((row["cpu_ratio"] for row in rows), default=0.0),
            loop_lag_p99_s=max((row["hub_lag_p99_ns"] or 0 for row in rows), default=0) / 1e9,
            workers=num_alive,
            num_blocked=sum(row["num_blocked"] for row in rows),
            whole_p50_s=self._whole.quantile(0.5),
            whole_p99_s=self._whole.quantile(0.99),
            num_prepared=sum(self.num_prepared.values()),
        )

    @staticmethod
    def _phase_at(now_ns: int, stage: dict[str, Any]) -> str:
        if now_ns < stage["start_ns"]:
            return "ready"
        if now_ns < stage["t0_ns"]:
            return "warmup"
        return "measured" if not stage["t1_ns"] or now_ns < stage["t1_ns"] else "cooldown"
