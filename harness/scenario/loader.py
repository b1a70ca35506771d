"""Reads a scenario: parse, `--set`, `${VAR}`, validate, fill defaults, freeze.

Every fault of a file is reported at once, with line, column and the nearest legal key. The text as
given and the document as resolved are both kept. Files a scenario names are checked here and read
again by materials.py; nothing is sent anywhere.
"""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import Fault, ScenarioError
from harness.notices import Notice
from harness.scenario._check import check
from harness.scenario._contents import pin_files
from harness.scenario._files import library_folder, library_names
from harness.scenario._flags import (
    Flags,
    apply_flags,
    apply_overrides,
    complete_urls,
    drop_engine_sweep,
)
from harness.scenario._placing import in_order, nearest, placed
from harness.scenario._substitute import substitute
from harness.scenario._tree import Tree, Where, parse_yaml, read_text
from harness.scenario.advice import advise
from harness.scenario.document import Scenario
from harness.scenario.expand import expand
from harness.scenario.materials import has_swept_files, read_materials
from harness.scenario.providers import apply_presets
from harness.scenario.resolved import as_written, write_yaml


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A valid scenario and where it came from.

    search_paths: folders its files are looked up in, in order.  origins: path -> `scenario`,
    `--set` or a flag; what lies below a path has its origin, what has none is a default.
    """

    name: str
    path: Path
    given_text: str
    document: Scenario
    notices: tuple[Notice, ...] = ()
    search_paths: tuple[Path, ...] = ()
    origins: Mapping[Where, str] = field(default_factory=dict)

    def resolved_yaml(self) -> str:
        """The whole document with defaults and units; loads back equal, holds no secret."""
        return write_yaml(as_written(self.document))

    def annotated_yaml(self) -> str:
        """The same, each value with its origin as a comment, but for those of the scenario."""
        return write_yaml(as_written(self.document), self._comment)

    def origin(self, where: Where) -> str:
        """`default`, `scenario`, `--set` or the flag that set the value at `where`."""
        for size in range(len(where), 0, -1):
            if where[:size] in self.origins:
                return self.origins[where[:size]]
        return "default"

    def _comment(self, where: Where) -> str:
        origin = self.origin(where)
        return "" if origin == "scenario" else origin


def load_scenario(
    source: str | Path,
    *,
    overrides: Sequence[str] = (),
    url: str | None = None,
    model: str | None = None,
    api_key_env: str | None = None,
    seed: int | None = None,
    env: Mapping[str, str] | None = None,
) -> LoadedScenario:
    """The scenario at a path, or the one of that name in the library.

    overrides: `path=value` texts.  env: variables for `${VAR}`, the process's own by default.
    Raises ScenarioError with every fault.
    """
    env = os.environ if env is None else env
    path = find_scenario(source)
    text, tree = _parse(path, str(source))
    flags = Flags(url, model, api_key_env, seed)
    data = copy.deepcopy(tree.data)
    origins = {where: "scenario" for where in tree.places if _is_value(tree.data, where)}
    faults = list(tree.faults)
    faults += apply_overrides(data, overrides, origins)
    faults += apply_flags(data, flags, origins)
    folders = (path.resolve().parent, library_folder())
    presets = apply_presets(data, folders, origins)
    data, wrong = substitute(data, env)
    wrong += presets
    notices = complete_urls(data)
    if url is not None:
        notices += drop_engine_sweep(data)
    checked = check(data)
    document = checked.document if not (wrong or faults) else None
    wrong += [w for w in checked.wrong if w.where not in {known.where for known in wrong}]
    if checked.document is not None:
        misses, said = pin_files(checked.document, data, (*folders, Path.cwd()))
        wrong += misses
        notices += said
    unread = {(fault.line, fault.column) for fault in tree.faults}  # said already, for a reason
    found = placed(wrong, data, tree, origins)
    faults += [f for f in found if not f.line or (f.line, f.column) not in unread]
    if faults or document is None:
        raise ScenarioError(str(source), in_order(faults))
    document = Scenario.model_validate(data)
    _try_sweep(document, str(source), tree, folders)
    notices += advise(document, env)
    return LoadedScenario(
        document.name, path, text, document, tuple(notices), folders, origins
    )  # fmt: skip


def load_resolved(path: str | Path) -> LoadedScenario:
    """A `scenario.resolved.yaml` of a run: no variables, no overrides, files are not opened."""
    path = Path(path)
    text, tree = _parse(path, str(path))
    checked = check(tree.data)
    faults = [*tree.faults, *placed(checked.wrong, tree.data, tree, {})]
    if faults or checked.document is None:
        raise ScenarioError(str(path), in_order(faults))
    folders = (path.resolve().parent, library_folder())
    return LoadedScenario(checked.document.name, path, text, checked.document, (), folders)


def find_scenario(source: str | Path) -> Path:
    """The file meant by a path or by the name of a library scenario; ScenarioError where none."""
    given = Path(source).expanduser()
    text = str(source)
    is_name = isinstance(source, str) and "/" not in text and not given.suffix
    if given.is_file() and not (is_name and text in library_names()):
        return given
    if is_name and text in library_names():
        return library_folder() / f"{text}.yaml"
    if given.is_dir():
        raise ScenarioError(text, [Fault("(file)", "is a folder; name a file in it")])
    folder = given.parent
    try:
        beside = [str(p) for p in folder.glob("*.y*ml")] if folder.is_dir() else []
    except OSError:
        beside = []
    near = difflib.get_close_matches(text, [*library_names(), *beside], n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"the library has {', '.join(library_names())}"
    raise ScenarioError(text, [Fault("(file)", f"no such file or library scenario; {hint}")])


def _parse(path: Path, source: str) -> tuple[str, Tree]:
    text, unreadable = read_text(path)
    if unreadable is not None:
        raise ScenarioError(source, [unreadable])
    tree = parse_yaml(text)
    if not isinstance(tree.data, dict):
        faults = tree.faults or [
            Fault("(document)", "expected keys such as schema, name, targets, traffic", 1, 1)
        ]
        raise ScenarioError(source, faults)
    return text, tree


def _is_value(data: object, where: Where) -> bool:
    for key in where:
        data = data[key]  # type: ignore[index]
    return bool(where) and (not isinstance(data, dict | list) or not data)


def _try_sweep(document: Scenario, source: str, tree: Tree, folders: Sequence[Path]) -> None:
    """Every swept value must give a valid document whose files can be read; faults are placed at
    the sweep."""
    try:
        expand(document)
        if has_swept_files(document):
            read_materials(document, folders)
    except ScenarioError as error:
        place = nearest(("sweep", "over"), tree)
        faults = [Fault(f.path, f.message, place.key_line, place.key_column) for f in error.faults]
        raise ScenarioError(source, faults) from error
