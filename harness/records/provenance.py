"""Where a run came from: code, machine, packages and command line, without secrets.

Everything is read, nothing guessed: what cannot be learnt is absent. The host's name is hashed, so
that two runs can be told to share a machine without naming it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "inference-harness", "locust", "gevent", "numpy", "scipy", "pyarrow", "pydantic", "tokenizers",
    "numba", "torch", "transformers", "ray",
)  # fmt: skip

_SECRET_VALUE = re.compile(
    r"(?i)((?:authorization|api[-_]?key(?!_env|-env)|token(?!s|izer)|secret|password)[\w.\-]*\s*[=:]\s*).+"
)
_SECRET_FLAG = re.compile(r"(?i)^--?[\w-]*(authorization|api-?key|token|secret|password)$")
_USERINFO = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/@\s]+@")
_QUERY_SECRET = re.compile(r"(?i)([?&][\w-]*(?:key|token|secret|sig|signature)[\w-]*=)[^&\s]+")
_COMMAND_S = 5.0


def provenance(
    argv: Sequence[str] | None = None, *, code_dir: Path | None = None
) -> dict[str, Any]:
    """Plain JSON values. argv: the command line, by default this process's own; it is redacted
    here. code_dir: whose git state counts, by default that of this package."""
    return {
        "argv": redact_argv(sys.argv if argv is None else argv),
        "python": platform.python_version(),
        "packages": _packages(),
        "git": _git(code_dir or Path(__file__).resolve().parent),
        "machine": {
            "host_sha256": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16],
            "system": platform.system(),
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "cpu": _cpu_name(),
            "num_cpus": os.cpu_count(),
            "num_cpus_usable": _num_usable_cpus(),
            "memory_bytes": _memory_bytes(),
            "gpus": _gpus(),
        },
    }


def redact_argv(argv: Sequence[str]) -> list[str]:
    """The command line without secrets: URL user info, and values of secret-like names."""
    shown, hide_next = [], False
    for word in argv:
        shown.append("***" if hide_next else redact(word))
        hide_next = bool(_SECRET_FLAG.match(word))
    return shown


def redact(text: str) -> str:
    """One argument or URL without user info and without values of secret-like names."""
    text = _QUERY_SECRET.sub(r"\1***", _USERINFO.sub(r"\1***@", text))
    return _SECRET_VALUE.sub(r"\1***", text)


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(directory: Path) -> dict[str, Any] | None:
    sha = _output(["git", "-C", str(directory), "rev-parse", "HEAD"])
    if sha is None:
        return None
    changed = _output(["git", "-C", str(directory), "status", "--porcelain"])
    return {"sha": sha, "is_dirty": bool(changed)}


def _gpus() -> list[dict[str, str]]:
    query = "name,driver_version,memory.total,uuid"
    text = _output(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"])
    rows = [line.split(", ") for line in (text or "").splitlines()]
    return [dict(zip(query.split(","), row, strict=False)) for row in rows if len(row) == 4]


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _num_usable_cpus() -> int | None:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _output(command: list[str]) -> str | None:
    """What a command printed; None where it is not there, fails, or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
