"""python -m tests.rerun [PYTEST ARGUMENTS]: the tests, and those that failed once more, alone.

The arguments are those of the first run; the second has one process and nothing beside it. A
machine that others use stops for a second now and then, and of four thousand tests over real
sockets and processes one may find no other words for it than a failure: that must not cost a day's
work. Nor may it hide a defect: what fails alone fails the run, more than MOST failures are no
hiccup and are not asked again, and a test that needed its second chance is named in the last lines,
for it is either a race of ours or asks too much of a machine, and has to be mended.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

MOST = 5
SOME_FAILED = 1  # pytest's; every other status but 0 is no verdict on tests
FAILED = Path(".pytest_cache/v/cache/lastfailed")  # of this run alone: --cache-clear


def main(arguments: Sequence[str], folder: Path) -> int:
    """The exit status; folder: where pytest's configuration lies."""
    status = _pytest(folder, "--cache-clear", *arguments)
    if status != SOME_FAILED or not (folder / FAILED).exists():
        return status
    names = sorted(json.loads((folder / FAILED).read_text("utf-8")))
    if len(names) > MOST:
        _say(f"{len(names)} FAILED: more than {MOST} are no hiccup of the machine", [])
        return status
    _say(f"ONCE MORE, ALONE: {len(names)} failed", names)
    status = _pytest(folder, "--last-failed", "--last-failed-no-failures", "none")
    if status:
        _say("FAILED ALONE TOO", sorted(json.loads((folder / FAILED).read_text("utf-8"))))
    else:
        _say("FAILED AT FIRST, PASSED ALONE: a race of ours or of the test; mend it", names)
    return status


def _pytest(folder: Path, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=folder).returncode


def _say(title: str, names: Sequence[str]) -> None:
    print("\n".join(["", "!" * 100, f"!! {title}", *(f"!!   {n}" for n in names), "!" * 100, ""]),
          flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
