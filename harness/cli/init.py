"""`harness init`: a commented scenario from the library, to change and run."""

from __future__ import annotations

import re
from pathlib import Path

import click

from harness.cli._options import Voice, voice_options
from harness.errors import ScenarioError, UsageError


@click.command()
@click.argument("name", required=False)
@click.option("--from", "source", default="quickstart", show_default=True, metavar="SCENARIO",
              help="Scenario to start from: a library name or a file.")  # fmt: skip
@click.option("--list", "is_list", is_flag=True, help="Show the library and leave.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@voice_options
def command(name: str | None, source: str, is_list: bool, force: bool, voice: Voice) -> int:
    """Write NAME.yaml here, a commented scenario from the library (default: the source's name)."""
    if is_list:
        return _show_library(voice)
    from harness.scenario._tree import read_text
    from harness.scenario.loader import find_scenario

    origin = find_scenario(source)
    text, unreadable = read_text(origin)
    if unreadable is not None:
        raise ScenarioError(source, [unreadable])
    path = _target(name or origin.stem)
    text = _renamed(text, path.name.removesuffix(path.suffix))
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists", why="init overwrites nothing", do="choose another NAME or --force"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written", why=error.strerror or str(error)) from error
    voice.result(str(path), {"written": str(path), "from": source})
    voice.say(f"next: harness validate {path}   then: harness run {path}")
    return 0


def _target(name: str) -> Path:
    path = Path(name)
    if not path.name:
        raise UsageError(f"'{name}' cannot name a scenario", do="write a file name, such as mine")
    return path if path.suffix in (".yaml", ".yml") else path.with_name(path.name + ".yaml")


def _renamed(text: str, name: str) -> str:
    """The text with its own `name:` line, comments kept; left alone where the name is no name."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise UsageError(
            f"'{name}' cannot name a scenario", do="use letters, digits, '_', '.' and '-'"
        )
    from harness.scenario._tree import parse_yaml

    written = name if parse_yaml(name).data == name else f'"{name}"'  # `123` would be a number
    return re.sub(r"(?m)^name:.*$", f"name: {written}", text, count=1)


def _show_library(voice: Voice) -> int:
    from harness.scenario._files import library_folder, library_names
    from harness.scenario._tree import parse_yaml, read_text

    rows = []
    for known in library_names():
        # as it is written: what a run would still fill in (a URL, a preset) is no matter of a list
        text, _ = read_text(library_folder() / f"{known}.yaml")
        rows.append({"name": known, "description": str(parse_yaml(text).data["description"])})
    width = max(len(row["name"]) for row in rows)
    lines = [f"{row['name']:<{width}}  {row['description']}" for row in rows]
    voice.result("\n".join(lines), {"scenarios": rows})
    return 0
