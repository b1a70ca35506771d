"""The command line: a lazy group, so that `harness --help` imports no verb and answers at once.

A verb is one file here with a click command named `command`. Only this room joins rooms together.
"""

from __future__ import annotations

from harness.cli._app import main

__all__ = ["main"]
