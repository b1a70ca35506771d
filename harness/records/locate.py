"""Which run directory a user means: a path, a name below the output folder, or `latest`."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError

from .manifest import MANIFEST

LATEST = "latest"
BEFORE = "before-"  # with the number of the attempt


def find_run(path: Path | str, out_root: Path) -> Path:
    """The run directory that a user's argument means; symlinks are followed."""
    for candidate in (Path(path), out_root / path):
        if candidate.name == LATEST and candidate.is_file():
            candidate = candidate.parent / candidate.read_text("utf-8").strip()
        if (candidate / MANIFEST).is_file():
            return candidate.resolve()
    raise UsageError(
        f"there is no run '{path}'",
        where=str(out_root),
        why=f"neither it nor {out_root / path} holds a {MANIFEST}",
        do="name a run directory, or run a scenario first: harness run quickstart",
    )


def kept_attempts(point_dir: Path) -> tuple[Path, ...]:
    """Folders of former attempts at a point, in order; PointDirectory.set_aside makes them."""
    found = {
        int(path.name.removeprefix(BEFORE)): path
        for path in point_dir.glob(f"{BEFORE}*")
        if path.name.removeprefix(BEFORE).isdecimal()
    }
    return tuple(found[number] for number in sorted(found))
