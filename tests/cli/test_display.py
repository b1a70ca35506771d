"""The live display on a terminal that is resized, tiny, dumb, monochrome, or none at all.

The terminal is a real pty; what it received is played on a small screen that knows the few control
sequences a redraw needs, so that the last picture can be read as a person would see it.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from harness.cli._finish import plain_console
from harness.cli._options import Voice

ROOT = Path(__file__).parents[2]
PULSE = (
    "Pulse('measured', 'main', {t}, 5.0, 336, 41, 288, 1, 7, 0.182, 0.611, 0.021, 0.038, 4210.0,"
    " 0.34, 0.0011, 4)"
)
SHOW = f"""
import sys, time
from harness.cli._display import Display
from harness.cli._options import Voice
from harness.load import Pulse
voice = Voice(**{{voice}})
with Display(voice, 'chat-sweep point-with-a-rather-long-label') as display:
    for step in range(12):
        pulse = {PULSE.format(t="float(step)")}
        display.show(pulse)
        print('shown', step, flush=True)
        sys.stdin.readline()
    display.note('a line that stays')
sys.stderr.write('done\\n')
"""


class Screen:
    """Rows of text under a cursor: newline, return, up, erase; long lines wrap as on a terminal."""

    def __init__(self, columns: int) -> None:
        self.columns, self.rows, self.row, self.column = columns, [""], 0, 0
        self.num_wraps = 0

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[^\x1b]", text, re.DOTALL):
            if part.startswith("\x1b["):
                self._control(part[-1], part[2:-1])
            elif part == "\r":
                self.column = 0
            elif part == "\n":
                self._down()
            elif not part.startswith("\x1b"):
                self._put(part)

    def _control(self, what: str, number: str) -> None:
        if what == "A":
            self.row = max(0, self.row - int(number or 1))
        elif what == "K":
            self.rows[self.row] = "" if number == "2" else self.rows[self.row][: self.column]

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    def _put(self, character: str) -> None:
        if self.column >= self.columns:
            self.num_wraps += 1
            self.column = 0
            self._down()
        line = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows).strip("\n")


def resize(terminal: int, columns: int, rows: int = 24) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def play(widths: list[int], env: dict[str, str], **voice: object) -> tuple[str, int]:
    """Everything a terminal received while it took those widths in turn; the exit status."""
    ours, theirs = os.openpty()
    resize(theirs, widths[0])
    given = {"level": 0, "as_json": False, "color": "auto", "progress": "auto"} | voice
    code = SHOW.replace("{voice}", repr(given))
    full = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM", "COLUMNS", "CI")}
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=theirs, text=True, env=full | {"TERM": "xterm-256color"} | env,
    )  # fmt: skip
    os.close(theirs)
    assert child.stdin is not None
    assert child.stdout is not None
    received = b""
    for step in range(12):
        assert child.stdout.readline() == f"shown {step}\n"
        received += _drain(ours)
        resize(ours, widths[min(step // 3, len(widths) - 1)])
        child.stdin.write("\n")
        child.stdin.flush()
    child.stdin.close()
    deadline_s = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline_s:
        received += _drain(ours, 0.05)
    received += _drain(ours)
    child.wait(60)
    child.stdout.close()
    os.close(ours)
    return received.decode(), child.returncode


def _drain(terminal: int, wait_s: float = 0.0) -> bytes:
    found = b""
    while select.select([terminal], [], [], wait_s)[0]:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        found += part
    return found


@pytest.mark.parametrize("width", [120, 40, 10, 1])
def test_any_width_ends_in_a_clean_screen(width: int) -> None:
    text, status = play([width], {})
    assert status == 0
    assert "Traceback" not in text
    screen = Screen(width)
    screen.feed(text)
    # the display is gone; what was to stay, stayed
    assert screen.text.replace("\n", "").replace(" ", "").endswith("alinethatstaysdone")
    assert "TTFT" not in screen.text


def test_lines_never_wrap_and_are_drawn_once_a_snapshot() -> None:
    text, _ = play([40], {})
    screen = Screen(40)
    screen.feed(text)
    assert screen.num_wraps == 0
    assert text.count("sent 336") <= 14  # twelve snapshots, not four redraws a second


def test_resizing_in_the_middle_crashes_nothing() -> None:
    text, status = play([100, 30, 12, 160], {})
    assert status == 0
    assert "Traceback" not in text
    screen = Screen(160)
    screen.feed(text)
    assert screen.text.endswith("a line that stays\ndone")


def test_no_colour_means_none() -> None:
    text, status = play([100], {"NO_COLOR": "1"})
    assert status == 0
    assert "sent 336" in text
    assert not re.search(r"\x1b\[[0-9;]*m", text.replace("\x1b[0m", ""))


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal_gets_no_control_sequence(term: str) -> None:
    text, status = play([80], {"TERM": term})
    assert status == 0
    assert "\x1b" not in text
    assert text.replace("\r", "").endswith("a line that stays\ndone\n")


def test_a_pipe_gets_plain_lines_and_quiet_none() -> None:
    code = SHOW.replace(
        "{voice}", repr({"level": 0, "as_json": False, "color": "auto", "progress": "plain"})
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input="\n" * 12, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "\x1b" not in ran.stderr
    assert ran.stderr.endswith("a line that stays\ndone\n")


def test_without_colour_there_is_no_escape_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")

    def shown(color: Any) -> str:
        console = plain_console(Voice(0, False, color, "auto"), 80)
        console.file, console._force_terminal = io.StringIO(), True  # as on a terminal
        console.print(Text("bold", style="bold red"))
        return console.file.getvalue()

    assert "\x1b" in shown("always")
    assert shown("never") == "bold\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown("auto") == "bold\n"


def test_answers_that_come_whole_show_their_end_and_no_token() -> None:
    from harness.cli._display import lines, plain
    from harness.load import Pulse

    none = (None, None, None, None)
    given = ("measured", "main", 5.0, 5.0, 336, 4, 288, 1, 7, *none, 0.0, 0.2, 0.001, 1)
    whole = Pulse(*given, whole_p50_s=0.0217, whole_p99_s=0.031)  # type: ignore[arg-type]
    assert "E2E p50 21.7 p99 31.0 ms" in lines("t", whole)[2]
    assert "TTFT" not in lines("t", whole)[2] + plain("t", whole)
    both = Pulse(*given[:9], 0.1, 0.2, 0.01, 0.02, *given[13:], whole_p50_s=0.0217)  # type: ignore[arg-type]
    told = lines("t", both)[2]
    assert "TTFT p50 100" in told
    assert "whole answers E2E p50 21.7" in told


def test_before_there_is_a_load_it_tells_what_is_made() -> None:
    script = f"""
from dataclasses import replace
from harness.cli._display import lines, plain
from harness.load import Pulse
pulse = replace({PULSE.format(t="0.0")}, phase="preparing", num_prepared=430_000)
assert lines("soak", pulse) == ["soak preparing: 430,000 requests made"] == [plain("soak", pulse)]
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
