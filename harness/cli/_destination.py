"""`--out` of verbs that render what is stored: a file, a folder, or `-` for stdout.

A file's ending tells its format, unless --format does. Refused before anything is rendered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

_ENDINGS = {
    ".html": "html", ".htm": "html", ".md": "markdown", ".xml": "junit", ".json": "json",
    ".csv": "csv",
}  # fmt: skip


def out_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`-o`, `--out` (and `--output`, as it was called). what: is written there."""
    return click.option(
        "-o", "--out", "--output", "output", metavar="FILE|FOLDER/|-",
        help=f"{what} A file's ending tells the format, else --format; - is stdout.",
    )  # fmt: skip


def require_format(output: str, formats: Sequence[str], names: Mapping[str, str]) -> None:
    """Raises click.UsageError where no single format is told for a file. names: of formats."""
    if not _is_folder(output) and _format(output, formats) not in names:
        raise click.UsageError(
            f"--out {output} takes one --format: {', '.join(names)}"
            + ("" if output == "-" else "; or a name that ends in .html, .md, ...; or a folder/")
        )


def destinations(
    output: str, formats: Sequence[str], names: Mapping[str, str], default: Sequence[str]
) -> list[tuple[str, Path]]:
    """(format, path) of every file to write; the folder they go into is made.

    output: as given; a folder is one that exists, or ends in a slash.  names: of each format's file
    in a folder.  default: the formats of a folder when none is asked for.  Raises click.UsageError
    where the format is not told, UsageError where nothing can be written.
    """
    require_format(output, formats, names)
    if output == "-":
        return [(_format(output, formats), Path(output))]
    from harness.records import make_folder

    path = Path(output)
    if _is_folder(output):
        make_folder(path)
        return [(name, path / names[name]) for name in dict.fromkeys(formats or default)]
    make_folder(path.parent)
    return [(_format(output, formats), path)]


def _is_folder(output: str) -> bool:
    return output != "-" and (output.endswith(os.sep) or Path(output).is_dir())


def _format(output: str, formats: Sequence[str]) -> str:
    told = list(dict.fromkeys(formats)) or [_ENDINGS.get(Path(output).suffix.lower(), "")]
    return told[0] if len(told) == 1 else ""
