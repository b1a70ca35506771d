"""python -m harness.testing --port 0 --script FILE|JSON [--exit-with-parent]

Serves until SIGINT or SIGTERM, or with --exit-with-parent until its standard input closes. Prints
one line, `ready http://127.0.0.1:<port>/v1`. A script file is JSON or YAML.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError
from harness.testing._choice import read_script
from harness.testing.server import HOSTS, ScriptedServer


def main(argv: Sequence[str] | None = None) -> int:
    """The process's exit code."""
    flags = _parser().parse_args(argv)
    try:
        script = read_script(_load(flags.script), flags.script[:60])
        tls = (flags.tls_cert, flags.tls_key) if flags.tls_cert else None
        server = ScriptedServer(script, flags.port, tls, flags.host)
    except HarnessError as error:
        print(error.render(), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: cannot serve on port {flags.port}: {error}", file=sys.stderr)
        return 2
    _raise_descriptor_limit()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    if flags.exit_with_parent:
        threading.Thread(target=_stop_with_stdin, args=(server,), daemon=True).start()
    gc.freeze()
    print(f"ready {server.base_url}", flush=True)
    server.serve()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m harness.testing")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--host", choices=HOSTS, default=HOSTS[0], help="loopback only")
    parser.add_argument("--script", default="{}", help="a file, or the JSON itself")
    parser.add_argument("--tls-cert", help="certificate chain (PEM)")
    parser.add_argument("--tls-key", help="its private key (PEM)")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin closes")
    return parser


def _load(source: str) -> Any:
    """The document in a file, or in the argument itself. Raises UsageError."""
    is_inline = source.lstrip().startswith("{")
    try:
        text = source if is_inline else Path(source).read_text(encoding="utf-8")
        if is_inline or source.endswith(".json"):
            return json.loads(text)
        from ruamel.yaml import YAML

        return YAML(typ="safe").load(text) or {}
    except OSError as error:
        raise UsageError(f"cannot read the script {source}", why=str(error)) from None
    except Exception as error:  # JSON and YAML faults have no common base
        raise UsageError(
            "the script is not JSON or YAML", where=source[:60], why=str(error)
        ) from None


def _stop_with_stdin(server: ScriptedServer) -> None:
    # os.read holds no lock of the interpreter's own stdin, which would abort a shutdown by signal
    while os.read(0, 4096):
        pass
    server.stop()


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
