"""Where the files a scenario names are found, and how they are opened.

Beside the scenario, then in the library (package data, so a wheel works outside a checkout), then
in the current folder, which is where `--set ...file=trace.csv` is typed.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TextIO, cast


class FileFault(ValueError):
    """A file that is missing or does not hold what it should; one sentence."""


def library_folder() -> Path:
    """The folder of the scenarios that ship."""
    return Path(str(files("scenarios")))


def library_names() -> tuple[str, ...]:
    """Names of the scenarios that ship, sorted."""
    return tuple(sorted(path.stem for path in library_folder().glob("*.yaml")))


def find(name: str, search_paths: Sequence[Path]) -> Path:
    """The first file called `name`; raises FileFault naming the places looked at."""
    given = Path(name).expanduser()
    places = [given] if given.is_absolute() else [folder / given for folder in search_paths]
    for place in places:
        if place.is_file():
            return place
    if any(place.is_dir() for place in places):
        raise FileFault(f"'{name}' is a folder, not a file")
    looked = ", ".join(dict.fromkeys(str(place.parent) for place in places))
    raise FileFault(f"no file '{name}'; looked in {looked}")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """The file as UTF-8 text, unpacked where its name ends in .gz; faults instead of OSErrors."""
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
            yield cast(TextIO, text)
    except UnicodeDecodeError as error:
        raise FileFault(f"{path.name} is not UTF-8 text") from error
    except csv.Error as error:
        raise FileFault(f"{path.name} is not CSV: {error}") from error
    except zlib.error as error:
        raise FileFault(f"{path.name} is damaged: {error}") from error
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileFault(f"{path.name} cannot be read: {reason}") from error
