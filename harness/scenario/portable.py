"""A document that can be read on another host: the files it names, under bare names.

Files of the library stay as they are, since every installation has them. A file's new name opens
with its digest, so that two files of one name do not meet; its ending stays, for it tells the
format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from harness.errors import Fault, ScenarioError
from harness.scenario._files import FileFault, find, library_folder
from harness.scenario._paths import get, put
from harness.scenario._references import references, swept_files
from harness.scenario.loader import LoadedScenario
from harness.scenario.resolved import as_written, write_yaml


def portable(loaded: LoadedScenario) -> tuple[str, dict[str, Path]]:
    """The document's YAML, to be stored in one folder with the files: name there -> path here.

    Raises ScenarioError where a file is missing.
    """
    data = as_written(loaded.document)
    files: dict[str, Path] = {}
    try:
        for reference in references(loaded.document):
            put(data, reference.where, _bare(reference.name, loaded.search_paths, files))
        over = get(data, ("sweep", "over")) or {}
        for where in swept_files(over):
            put(over, where, _bare(str(get(over, where)), loaded.search_paths, files))
    except FileFault as error:
        raise ScenarioError(loaded.name, [Fault("(files)", str(error))]) from error
    return write_yaml(data), files


def _bare(name: str, folders: Sequence[Path], files: dict[str, Path]) -> str:
    """What the document calls the file; noted in `files` where it has to travel."""
    path = find(name, (*folders, library_folder(), Path.cwd())).resolve()
    if path.is_relative_to(library_folder().resolve()):
        return name
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    bare = f"{digest}-{path.name}"
    files[bare] = path
    return bare
