"""Drives load at an LLM endpoint, records what happened, draws decisions from it."""

from __future__ import annotations

__version__ = "0.1.0"
