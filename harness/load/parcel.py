"""What a worker of another host needs from the master's disk, in parts of at most 512 KiB.

The scenario, the files it names and the tokenizer, each by name, size and SHA-256. The worker asks
for part after part, checks every digest before it uses a file, and keeps all of it in a temporary
folder that goes with the run. Secrets are in none of them: a worker has its own environment.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import MeasurementError
from harness.load.plan import PointPlan
from harness.scenario import load_resolved, portable

PART_BYTES = 512 * 1024
SCENARIO, TOKENIZER = "scenario.resolved.yaml", "tokenizer.json"


class Item(NamedTuple):
    """A file of a parcel: a bare name, no folder in it."""

    name: str
    size: int
    sha256: str

    @property
    def num_parts(self) -> int:
        return -(-self.size // PART_BYTES)


class Parcel:
    """The master's side: what one point's plan refers to."""

    def __init__(self, plan: PointPlan) -> None:
        text, files = portable(load_resolved(Path(plan.resolved_scenario)))
        self._sources: dict[str, bytes | Path] = {}
        self._add(f"scenario-{{}}-{SCENARIO}", text.encode())
        if plan.token_plan.tokenizer_json is not None:
            self._add(f"tokens-{{}}-{TOKENIZER}", plan.token_plan.tokenizer_json)
        self._sources |= files
        self.items = tuple(_item(name, source) for name, source in self._sources.items())
        bare = replace(plan.token_plan, tokenizer_json=None)
        self.plan = replace(
            plan, run_dir="", point_dir="", resolved_scenario="", token_plan=bare
        ).to_json()

    def _add(self, pattern: str, content: bytes) -> None:
        """Under a name that another point's other content does not have."""
        self._sources[pattern.format(hashlib.sha256(content).hexdigest()[:16])] = content

    def to_json(self) -> dict[str, Any]:
        """The plan without paths, and the list of files."""
        return {"plan": self.plan, "items": [tuple(item) for item in self.items]}

    def part(self, name: str, index: int) -> bytes:
        """Bytes of a file from index * PART_BYTES; KeyError for a name not in the parcel."""
        source, begin = self._sources[name], index * PART_BYTES
        if isinstance(source, bytes):
            return source[begin : begin + PART_BYTES]
        with source.open("rb") as file:
            file.seek(begin)
            return file.read(PART_BYTES)


class Store:
    """The worker's side: a folder that files of parcels go into, for this point and later ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def missing(self, items: list[Item]) -> list[Item]:
        """Those not there yet. Raises MeasurementError for a name that would leave the folder."""
        for item in items:
            if Path(item.name).name != item.name or item.name in ("", ".", ".."):
                raise MeasurementError(f"the master sent a file called '{item.name}'")
        return [item for item in items if not (self._folder / item.name).exists()]

    def open(self, item: Item) -> Incoming:
        return Incoming(self._folder, item)

    def plan(self, row: dict[str, Any], items: list[Item]) -> PointPlan:
        """The plan, aimed at the files here; every item must be there."""
        plan = PointPlan.from_json(row)
        names = {item.name.split("-")[0]: item.name for item in items}
        tokens = plan.token_plan
        if "tokens" in names:
            content = (self._folder / names["tokens"]).read_bytes()
            tokens = replace(tokens, tokenizer_json=content)
        here = str(self._folder)
        return replace(
            plan, run_dir=here, point_dir=here, token_plan=tokens,
            resolved_scenario=str(self._folder / names["scenario"]),
        )  # fmt: skip


class Incoming:
    """A file that is being received; it appears under its name only when its digest is right."""

    def __init__(self, folder: Path, item: Item) -> None:
        self._item, self._target = item, folder / item.name
        self._draft = folder / f"{item.name}.{os.getpid()}.part"
        self._digest = hashlib.sha256()
        self._draft.write_bytes(b"")

    def add(self, raw: bytes) -> None:
        """The next part."""
        self._digest.update(raw)
        with self._draft.open("ab") as file:
            file.write(raw)

    def close(self) -> None:
        """Raises MeasurementError where what came is not what was announced."""
        if self._digest.hexdigest() != self._item.sha256:
            self._draft.unlink()
            raise MeasurementError(
                f"the file {self._item.name} arrived damaged", why="its sha256 differs",
                do="repeat the run",
            )  # fmt: skip
        os.replace(self._draft, self._target)


def _item(name: str, source: bytes | Path) -> Item:
    if isinstance(source, bytes):
        return Item(name, len(source), hashlib.sha256(source).hexdigest())
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Item(name, source.stat().st_size, digest)
