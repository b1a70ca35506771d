"""Sweeps become points: one document each, with the swept values applied and validated.

`list` takes one path, `grid` every combination, `zip` the k-th value of each; of a `search` these
are the points it may visit (search.py). Each point runs `repeat` times with other seeds and on
every target the sweep names. A point's seed does not depend on its load, so that two load
levels differ in nothing but the load.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import Fault, ScenarioError
from harness.scenario import document as doc
from harness.scenario._check import check
from harness.scenario._paths import PathError, put, resolve
from harness.scenario.gate import Gate
from harness.scenario.resolved import as_written
from harness.scenario.search import Visit, visits, windows_of
from harness.scenario.slo import Slo
from harness.units import write_rate

MOST_LABEL = 60  # characters: of a folder, of a table's first column


@dataclass(frozen=True, slots=True)
class Point:
    """One load level on one target.

    label: unique in the scenario and safe as a file name.  swept: path -> value as written.
    document: the whole scenario with those values.  seed: feeds every random stream; equal at all
    load levels of one repeat.  repeat: 0, 1, ...
    """

    index: int
    label: str
    target_name: str
    target: doc.Target
    document: doc.Scenario
    swept: Mapping[str, Any]
    seed: int
    repeat: int

    @property
    def traffic(self) -> tuple[doc.TrafficClass, ...]:
        return self.document.traffic

    @property
    def load(self) -> doc.Load:
        return self.document.load

    @property
    def slo(self) -> Slo:
        return self.document.slo

    @property
    def validity(self) -> doc.Validity:
        return self.document.validity

    @property
    def tokens(self) -> doc.Tokens:
        return self.document.tokens

    @property
    def stages(self) -> tuple[doc.Stage, ...]:
        """The stages in order; one for a load without stages."""
        load = self.document.load
        return load.stages if isinstance(load, doc.StagedLoad) else (load,)


@dataclass(frozen=True, slots=True)
class _Level:
    swept: dict[str, Any]
    document: doc.Scenario


def expand(document: doc.Scenario) -> tuple[Point, ...]:
    """Every point of a scenario, in the order they run.

    Raises ScenarioError with every swept path or value that is wrong.
    """
    if document.gate is not None:
        return gate_points(document, document.gate)
    if isinstance(document.sweep, doc.SearchSweep):
        return search_points(document, document.sweep)
    sweep, levels = document.sweep, _levels(document)
    names = (sweep.targets if sweep else None) or tuple(document.targets)
    repeats = sweep.repeat if sweep else 1
    rows = [
        (level, name, repeat) for repeat in range(repeats) for level in levels for name in names
    ]
    if sweep and sweep.order == "shuffled":
        random.Random(f"order {document.seed}").shuffle(rows)
    labels = _labels(rows, with_target=len(names) > 1, with_repeat=repeats > 1)
    return tuple(
        Point(
            index=index, label=label, target_name=name, target=level.document.targets[name],
            document=level.document, swept=level.swept, repeat=repeat,
            seed=_seed(level.document.seed, repeat),
        )
        for index, ((level, name, repeat), label) in enumerate(zip(rows, labels, strict=True))
    )  # fmt: skip


def gate_points(document: doc.Scenario, gate: Gate) -> tuple[Point, ...]:
    """The runs of a gate, block by block, AB BA AB ...: both of a block share seed and schedule.

    A few more blocks than it may count, since one that is not valid is replaced. Against a stored
    baseline a block is the candidate's run alone.
    """
    baseline = gate.baseline.target if gate.baseline.kind == "target" else None
    rows = []
    for block in range(gate.most_blocks + spare_blocks(gate)):
        pair = [name for name in (baseline, gate.candidate) if name is not None]
        rows += [(block, name) for name in (pair if block % 2 == 0 else pair[::-1])]
    return tuple(
        Point(
            index=index, label=f"b{block + 1:02d}-{name}"[:60], target_name=name,
            target=document.targets[name], document=document, swept={}, repeat=block,
            seed=_seed(document.seed, block),
        )
        for index, (block, name) in enumerate(rows)
    )  # fmt: skip


def search_points(document: doc.Scenario, sweep: doc.SearchSweep) -> tuple[Point, ...]:
    """Every window that a search may measure, in the order of their indices.

    Windows and rates differ in their seed; one window of one rate has the same for every target.
    Raises ScenarioError where the document is not valid at either end of the range.
    """
    _levels(document)
    has_names = len(sweep.targets or document.targets) > 1
    most = windows_of(sweep)
    return tuple(
        Point(
            index=index, label=_search_label(visit, has_names), target_name=visit.target,
            target=visit.document.targets[visit.target], document=visit.document,
            swept={sweep.path: write_rate(visit.rate)},
            seed=_seed(document.seed, visit.place.rate * most + visit.place.window),
            repeat=visit.place.window,
        )
        for index, visit in enumerate(visits(document, sweep))
    )  # fmt: skip


def _search_label(visit: Visit, has_names: bool) -> str:
    name = f"-{visit.target}" if has_names else ""
    return f"rate-{visit.rate:.6g}{name}-w{visit.place.window + 1}"[:60]


def spare_blocks(gate: Gate) -> int:
    """Blocks that may be discarded: more than one in five of all makes the gate invalid."""
    return gate.most_blocks // 4


def _seed(seed: int, repeat: int) -> int:
    """63 bits, the same on every machine; the scenario's own seed for the first repeat would tie
    repeats to neighbouring seeds (seed 0 repeat 1 = seed 1), so all are hashed."""
    digest = hashlib.blake2b(f"{seed} {repeat}".encode(), digest_size=8, person=b"harness-point")
    return int.from_bytes(digest.digest(), "little") >> 1


def _levels(document: doc.Scenario) -> list[_Level]:
    if document.sweep is None:
        return [_Level({}, document)]
    plain, faults, levels = as_written(document), [], []
    for swept in combinations(document.sweep):
        data = copy.deepcopy(plain)
        wrong = []
        for path, value in swept.items():
            try:
                put(data, resolve(data, path, may_create=True), value)
            except PathError as error:
                wrong.append(Fault(f"sweep.over.{path}", str(error)))
        checked = check(data)
        given = ", ".join(f"{path} = {value}" for path, value in swept.items())
        wrong += [Fault(w.path, f"{w.message} (swept: {given})") for w in checked.shown(data)]
        faults += wrong
        if checked.document and not wrong:
            levels.append(_Level(swept, checked.document))
    if faults:
        unique = dict.fromkeys(faults)
        raise ScenarioError(document.name, tuple(unique))
    return levels


def combinations(sweep: doc.Sweep) -> Iterator[dict[str, Any]]:
    """path -> value of every level, the last path varying fastest; one empty one for repeats."""
    if isinstance(sweep, doc.RepeatSweep):
        yield {}
        return
    if isinstance(sweep, doc.SearchSweep):  # both ends: what lies between is valid with them
        for rate in (sweep.min, sweep.max):
            yield {str(sweep.path): write_rate(rate)}
        return
    columns = sweep.over.values()
    is_zip = isinstance(sweep, doc.ZipSweep)
    for values in zip(*columns, strict=True) if is_zip else itertools.product(*columns):
        yield dict(zip(sweep.over, values, strict=True))


def _labels(
    rows: list[tuple[_Level, str, int]], *, with_target: bool, with_repeat: bool
) -> list[str]:
    labels: list[str] = []
    taken: set[str] = set()  # without case: some file systems know none
    words = _told_apart({id(level): _words(level.swept) for level, _, _ in rows})
    for level, name, repeat in rows:
        parts = [*words[id(level)], *([name] if with_target else [])]
        parts += [f"r{repeat + 1}"] if with_repeat else []
        label = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(parts)).strip("-.")[:MOST_LABEL] or "point"
        unique, number = label, len(labels)
        while unique.lower() in taken:  # two values that read the same: number them
            unique, number = f"{label}-{number}", number + 1
        taken.add(unique.lower())
        labels.append(unique)
    return labels


def _words(swept: Mapping[str, Any]) -> tuple[str, ...]:
    """`concurrency-4`, `input_tokens-24-to-400`: the last word of each path with its value; the
    ends of one range together, by the name of what has them."""
    found = []
    for path, value in swept.items():
        parent, _, leaf = path.rpartition(".")
        owner = parent.rpartition(".")[2] or leaf
        if leaf == "max" and f"{parent}.min" in swept:
            continue  # told with it
        if leaf == "min" and f"{parent}.max" in swept:
            low, high = _short(value), _short(swept[f"{parent}.max"])
            found.append(f"{owner}-{low}" if low == high else f"{owner}-{low}-to-{high}")
        elif leaf in ("min", "max"):
            found.append(f"{owner}-{leaf}-{_short(value)}")
        else:
            found.append(f"{owner if leaf == 'value' else leaf}-{_short(value)}")
    return tuple(found) or ("main",)


def _told_apart(words: Mapping[int, tuple[str, ...]]) -> Mapping[int, tuple[str, ...]]:
    """Without the last words, which no two levels need to be told apart, as long as one is too long
    for a label."""
    while max((len("-".join(w)) for w in words.values()), default=0) > MOST_LABEL:
        fewer = {level: w[:-1] for level, w in words.items()}
        if not all(fewer.values()) or len(set(fewer.values())) < len(words):
            break
        words = fewer
    return words


def _short(value: Any) -> str:
    """`8/s` -> 8; a block by its kind; other values as written."""
    if isinstance(value, dict):
        rest = [_short(item) for key, item in value.items() if key != "kind"]
        return "-".join([str(value.get("kind", "")), *rest])
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).removesuffix("/s").replace("%", "pct").replace("/", "-per-")
