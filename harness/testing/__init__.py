"""The scripted endpoint: an OpenAI-compatible server whose every token time is known in advance.

It calibrates the load generator, serves the tests, and lets users try scenarios without a model.
"""

from __future__ import annotations

from harness.testing.record import RequestLog
from harness.testing.script import Script
from harness.testing.server import ScriptedServer

__all__ = ["RequestLog", "Script", "ScriptedServer"]
