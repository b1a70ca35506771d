"""Endpoints the harness starts itself: the reference engine and the scripted endpoint.

Both are ordinary processes that print one ready line with their URL; the harness never imports
them. A child ends when its stdin pipe closes, so it cannot outlive us even after `kill -9`. It has
a session of its own: Ctrl-C is ours to handle, not the child's.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.errors import TargetError, UsageError

READY_TIMEOUT_S = 300.0


class Child:
    """A running endpoint; `base_url` ends in /v1."""

    def __init__(self, command: Sequence[str], name: str) -> None:
        self.name = name
        # lives as long as the child: closed in close()
        self._log = tempfile.TemporaryFile(  # noqa: SIM115
            mode="w+", encoding="utf-8", errors="replace"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command, "--exit-with-parent"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            self.base_url = self._wait_ready()
        except BaseException:
            self.close()
            raise

    def _wait_ready(self) -> str:
        line: list[str] = []
        assert self._process.stdout is not None
        reader = threading.Thread(
            target=lambda: line.append(self._process.stdout.readline()),  # type: ignore[union-attr]
            daemon=True,
        )
        reader.start()
        reader.join(READY_TIMEOUT_S)
        if line and line[0].startswith("ready "):
            return line[0].split()[1]
        code = self._process.poll() if not line else self._process.wait(10)
        why = self.log_tail() or ("it printed nothing" if line else "it did not become ready")
        if code == 2:
            raise UsageError(
                f"{self.name} refused its flags", why=why.removeprefix("error: "),
                do="correct the target",
            )  # fmt: skip
        raise TargetError(
            f"{self.name} did not start",
            where=" ".join(map(str, self._process.args)),  # type: ignore[arg-type]
            why=why,
            do="run that command by hand to see what it says",
        )

    def log_tail(self, num_lines: int = 6) -> str:
        """The child's last words on stderr."""
        self._log.flush()
        self._log.seek(0)
        return "\n         ".join(self._log.read().strip().splitlines()[-num_lines:])

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        return self._process.wait()

    def close(self) -> None:
        """Close its stdin, give it two seconds, then insist."""
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        if self.is_alive:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(3.0)
        if self.is_alive:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


def start_reference(model: str, flags: Mapping[str, Any], port: int = 0) -> Child:
    """The engine that ships with the project. flags go to it as they are: `{spec: draft}` is
    `--spec draft`, a true flag has no value, a false one is left out."""
    for package in ("torch", "starlette", "uvicorn", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(
                "the reference engine is not installed",
                why=f"its package '{package}' is missing",
                do="pip install 'inference-harness[engine]', or aim at your endpoint with --url",
            )
    command = ["engine_under_test", "serve", "--model", model, "--port", str(port)]
    for key, value in flags.items():
        name = "--" + str(key).replace("_", "-")
        command += [name] if value is True else [] if value is False else [name, str(value)]
    return Child(command, "the reference engine")


def tokenizer_of(model: str) -> Path | None:
    """The tokenizer.json that the engine serves `model` with; None where it lies in no folder here
    (a shape, a GGUF file)."""
    engine = importlib.util.find_spec("engine_under_test")
    shipped = Path(engine.origin).parent / "weights" if engine and engine.origin else None
    for folder in ([shipped / model] if shipped else []) + [Path(model)]:  # as the engine looks
        if (path := folder / "tokenizer.json").is_file():
            return path
    return None


def start_scripted(script: Mapping[str, Any] | Path, port: int = 0) -> Child:
    """The endpoint with known timings. script: a document, or a file that holds one."""
    text = str(script) if isinstance(script, Path) else json.dumps(script)
    command = ["harness.testing", "--port", str(port), "--script", text]
    return Child(command, "the scripted endpoint")


def serve_until_interrupt(child: Child, tell: Callable[[], None]) -> int:
    """Say that it serves, and block until it ends or the user interrupts; its exit code. Who has
    read what `tell` prints may interrupt at once."""
    with suppress(KeyboardInterrupt):
        tell()
        while child.is_alive:
            time.sleep(0.2)
    return 0 if child.is_alive else child.wait()
