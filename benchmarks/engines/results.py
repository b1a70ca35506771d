"""What the benchmark has measured so far: a JSON file that grows by a part at a time.

A benchmark of twelve minutes rarely finds a quiet machine for so long. Each part is written as soon
as it is measured, with its hour and the load average before it; the next run goes on with what is
missing. Parts are named by what they measure, so a run with other levels or engines adds to them.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Results:
    """parts: name -> what was found, when, and the load average before it.

    source: a digest of the code; parts measured on other code count as missing.
    """

    file: Path | None = None
    source: str = ""
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def at(cls, file: Path | None, source: str, *, is_fresh: bool = False) -> Results:
        """What file holds; nothing where it does not exist or is_fresh. Raises ValueError."""
        if file is None or is_fresh or not file.exists():
            return cls(file, source)
        told = json.loads(file.read_text(encoding="utf-8"))["parts"]
        return cls(file, source, {k: v for k, v in told.items() if v["source"] == source})

    @property
    def wall_s(self) -> float:
        """Of all parts together."""
        return float(sum(part["took_s"] for part in self.parts.values()))

    def add(self, name: str, found: Any, began_s: float, load_before: float) -> None:
        """began_s: of time.perf_counter()."""
        self.parts[name] = {
            "found": found, "source": self.source,
            "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
            "took_s": round(time.perf_counter() - began_s, 1),
            "load_average_before": round(load_before, 2),
        }  # fmt: skip
        self.save()

    def save(self) -> None:
        """Whole or not at all: a run that is killed leaves what the one before it left."""
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.file.with_suffix(".part")
        told = {"machine": self.machine, "parts": self.parts}
        fresh.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        os.replace(fresh, self.file)
