"""The house itself: import contracts, a light command line, package data in the wheel."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("locust", "gevent", "matplotlib", "scipy", "numba", "torch", "pandas", "pyarrow")


def run_python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120,
        env={**os.environ, **env}, check=False,
    )  # fmt: skip


def test_import_contracts_hold() -> None:
    tool = Path(sysconfig.get_path("scripts")) / "lint-imports"
    found = subprocess.run(
        [str(tool)], capture_output=True, text=True, cwd=ROOT, timeout=180, check=False
    )
    assert found.returncode == 0, found.stdout


def test_files_that_prose_names_exist() -> None:
    """In docs and docstrings alike: a pointer to a file that went is worse than none."""
    places = ("harness", "reports", "engine_under_test", "benchmarks", "scenarios", "docs", "tests")
    named = re.compile(rf"\b(?:{'|'.join(places)})/[\w./-]+\.(?:py|md|ya?ml|json|csv|sh)\b")
    texts = [*ROOT.glob("*.md"), *(p for place in places for p in (ROOT / place).rglob("*.*"))]
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in texts
        if path.suffix in (".md", ".py")
        for name in named.findall(path.read_text("utf-8"))
        if not (ROOT / name).exists() and "NAME" not in name
    }
    assert missing == set()


@pytest.mark.parametrize("args", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    found = run_python(
        "import sys, json\n"
        "from harness.cli import main\n"
        f"try: main({args!r})\n"
        "except SystemExit: pass\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.stderr)"
    )
    assert json.loads(found.stderr.strip().splitlines()[-1]) == []
    assert "harness" in found.stdout


@pytest.mark.parametrize("verb", ["validate", "expand", "init", "plan", "schema", "report"])
def test_planning_verbs_need_neither_locust_nor_torch(verb: str) -> None:
    found = run_python(
        "import sys\n"
        "from harness.cli import main\n"
        f"try: main([{verb!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('locust', 'gevent', 'torch', 'matplotlib') if m in sys.modules],"
        " file=sys.stderr)"
    )
    assert found.stderr.strip().splitlines()[-1] == "[]"


def test_load_room_is_safe_to_import() -> None:
    """Importing locust monkey-patches the process; only the load processes may."""
    found = run_python(
        "import sys, harness.load; print([m for m in ('locust', 'gevent') if m in sys.modules])"
    )
    assert found.stdout.strip() == "[]", found.stderr


@pytest.mark.slow
def test_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "-q"]
    built = subprocess.run(
        [*build, "--no-build-isolation", "-w", str(tmp_path)],
        capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    ran = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main(['validate', 'quickstart'])"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for part in ("reports/templates/report.html", "reports/static/report.css"):
        assert (tmp_path / "site" / part).exists()
    assert (tmp_path / "site/engine_under_test/weights/tiny/tokenizer.json").exists()
