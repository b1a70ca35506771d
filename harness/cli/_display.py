"""The live display of a point: four lines on a terminal, one plain line every ten seconds off it.

It reads the load process's snapshots, one a second, never the records, and draws once a snapshot:
showing costs the measurement nothing. Lines are cut to the terminal's width of that moment, so a
window made small in the middle of a run never wraps them and never leaves half of an old picture.
A terminal that cannot move its cursor (TERM=dumb) gets the plain lines.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.cli._options import Voice, mutter
from harness.load import Pulse
from harness.units import format_seconds, significant

PLAIN_EVERY_S = 10.0
BAR_WIDTH = 24


class Display:
    """Shows pulses until it is left. Silent with `-q` and `--progress none`."""

    def __init__(self, voice: Voice, title: str) -> None:
        self._title = title
        wanted = voice.progress
        if voice.level < 0:
            wanted = "none"
        elif wanted == "auto":
            wanted = "bar" if _can_redraw() else "plain"
        self._mode = wanted
        self._next_plain_s = 0.0
        self._live: Live | None = None
        if wanted == "bar":
            console = Console(stderr=True, no_color=not voice.is_colored, highlight=False)
            # no thread that redraws by itself: each snapshot draws once
            self._live = Live(
                console=console, auto_refresh=False, transient=True, redirect_stdout=False
            )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        self._next_plain_s = time.monotonic() + PLAIN_EVERY_S
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._live:
            self._live.stop()

    def note(self, text: str) -> None:
        """A line that stays, such as what Ctrl-C did."""
        if self._live:
            self._live.console.print(text)
        elif self._mode != "none":
            mutter(text)

    def show(self, pulse: Pulse, spent_usd: float | None = None) -> None:
        """spent_usd: of a run with a budget."""
        if self._live:
            told = Text(
                "\n".join(lines(self._title, pulse, spent_usd)), no_wrap=True, overflow="ellipsis"
            )
            self._live.update(told, refresh=True)
        elif self._mode == "plain" and time.monotonic() >= self._next_plain_s:
            self._next_plain_s += PLAIN_EVERY_S
            mutter(plain(self._title, pulse) + _spent(spent_usd, ", "))


def _can_redraw() -> bool:
    """A terminal on stderr that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


def lines(title: str, pulse: Pulse, spent_usd: float | None = None) -> list[str]:
    """The four lines of the bar; one before there is a load."""
    if pulse.phase == "preparing":
        return [_prepared(title, pulse)]
    total = pulse.elapsed_s + pulse.remaining_s
    share = min(1.0, pulse.elapsed_s / total) if total > 0 else 1.0
    filled = round(share * BAR_WIDTH)
    bar = "=" * filled + "-" * (BAR_WIDTH - filled)
    left = f"{format_seconds(pulse.remaining_s)} left" if pulse.remaining_s > 0 else pulse.phase
    stage = f"  {pulse.stage}" if pulse.stage != "main" else ""
    blocked = f"  blocked {pulse.num_blocked}" if pulse.num_blocked else ""
    return [
        f"{title}{stage}  {pulse.phase:<9} {bar} {share:4.0%}  {left}",
        f" sent {pulse.sent}  in flight {pulse.in_flight}  ok {pulse.ok}  429 {pulse.throttled}"
        f"  failed {pulse.failed}{blocked}",
        f" {'   '.join(_latencies(pulse))}",
        f" client cpu {pulse.client_cpu:.0%}  loop lag p99 {_ms(pulse.loop_lag_p99_s)} ms"
        f"  workers {pulse.workers}{_spent(spent_usd, '  ')}",
    ]


def _latencies(pulse: Pulse) -> list[str]:
    """Of streams, of answers that come whole, or of both; of streams before any has ended."""
    told = []
    if pulse.whole_p50_s is not None:
        told.append(f"E2E p50 {_ms(pulse.whole_p50_s)} p99 {_ms(pulse.whole_p99_s)} ms")
    if pulse.ttft_p50_s is not None or not told:
        told = [
            f"TTFT p50 {_ms(pulse.ttft_p50_s)} p99 {_ms(pulse.ttft_p99_s)} ms",
            f"TPOT p50 {_ms(pulse.tpot_p50_s)} p99 {_ms(pulse.tpot_p99_s)} ms",
            f"out {significant(pulse.out_tok_per_s)} tok/s",
            *(f"whole answers {text}" for text in told),
        ]
    return told


def _spent(spent_usd: float | None, before: str) -> str:
    return "" if spent_usd is None else f"{before}spent ${significant(spent_usd)}"


def plain(title: str, pulse: Pulse) -> str:
    """One line for logs."""
    if pulse.phase == "preparing":
        return _prepared(title, pulse)
    told = []
    if pulse.whole_p50_s is not None:
        told.append(f"E2E p50 {_ms(pulse.whole_p50_s)} ms")
    if pulse.ttft_p50_s is not None or not told:
        told += [
            f"TTFT p50 {_ms(pulse.ttft_p50_s)} ms", f"TPOT p50 {_ms(pulse.tpot_p50_s)} ms",
            f"out {significant(pulse.out_tok_per_s)} tok/s",
        ]  # fmt: skip
    return (
        f"{title} {pulse.stage} {pulse.phase} {pulse.elapsed_s:.0f}s: sent {pulse.sent},"
        f" in flight {pulse.in_flight}, ok {pulse.ok}, 429 {pulse.throttled},"
        f" failed {pulse.failed}, {', '.join(told)}"
    )


def _prepared(title: str, pulse: Pulse) -> str:
    return f"{title} preparing: {pulse.num_prepared:,} requests made"


def _ms(value_s: float | None) -> str:
    return "-" if value_s is None else significant(value_s * 1e3)
