"""How a sentence-transformers directory makes its vectors: modules.json, 1_Pooling/config.json.

Read so that an embedding is the vector the model was trained for. What is said there and is not
computed here is refused by name, before weights are read: another vector would look as good.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from engine_under_test.errors import ModelError
from engine_under_test.request import Pooling

from .checkpoint import read_json, read_json_list

MODULES, POOLING = "modules.json", "1_Pooling"
_FLAG = "pooling_mode_"  # older files have a flag a mode, newer ones `pooling_mode: name`
_MODES: dict[str, Pooling] = {
    "cls_token": "cls", "cls": "cls", "mean_tokens": "mean", "mean": "mean", "lasttoken": "last",
}  # fmt: skip


class VectorRule(NamedTuple):
    """How a vector is made of hidden states. is_normalized: it is given length 1."""

    pooling: Pooling = "last"
    is_normalized: bool = True


def vector_rule(model_dir: Path | None, asked: Pooling | None = None) -> VectorRule:
    """Of a model directory; the last token at length 1 where it says nothing, as without one.

    asked: wins over the directory's pooling, not over its length. Raises ModelError.
    """
    found = VectorRule() if model_dir is None or not model_dir.is_dir() else _read(model_dir, asked)
    return found if asked is None else found._replace(pooling=asked)


def _read(model_dir: Path, asked: Pooling | None) -> VectorRule:
    listed = model_dir / MODULES
    if not listed.is_file():
        folder = model_dir / POOLING
        has_pooling = asked is None and (folder / "config.json").is_file()
        return VectorRule(_pooling(model_dir, folder)) if has_pooling else VectorRule()
    kinds = [(_kind(module, listed), module) for module in _list(listed)]
    _check_order([kind for kind, _ in kinds], listed)
    _check_place(kinds[0][1], listed)
    rule = VectorRule(is_normalized=kinds[-1][0] == "Normalize")
    if asked is not None:
        return rule
    return rule._replace(pooling=_pooling(model_dir, _folder(model_dir, kinds[1][1], listed)))


def _list(listed: Path) -> list[dict[str, Any]]:
    modules = read_json_list(listed)
    if not modules or not all(isinstance(m, dict) for m in modules):
        raise ModelError(f"{MODULES} is no list of modules", where=str(listed))
    return modules


def _kind(module: dict[str, Any], listed: Path) -> str:
    """`Pooling` of `sentence_transformers.models.Pooling`; code of anybody else is not ours."""
    told = str(module.get("type"))
    package, name = told.partition(".")[0], told.rpartition(".")[2]
    if package != "sentence_transformers" or name not in ("Transformer", "Pooling", "Normalize"):
        raise ModelError(
            f"the module {told!r} is not computed",
            where=str(listed),
            why="without it the vectors would be others than the model's own",
            do="serve a model whose modules are Transformer, Pooling and Normalize",
        )
    return name


def _check_order(kinds: list[str], listed: Path) -> None:
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ModelError(
            f"modules {', '.join(kinds)} in this order are not computed",
            where=str(listed),
            do="serve a model with Transformer, Pooling and, behind them, Normalize",
        )


def _check_place(transformer: dict[str, Any], listed: Path) -> None:
    if path := transformer.get("path"):
        raise ModelError(
            f"the weights of this model lie in its folder {path!r}",
            where=str(listed),
            do=f"move the files of {path!r} beside {MODULES} and set its path to ''",
        )


def _folder(model_dir: Path, module: dict[str, Any], listed: Path) -> Path:
    name = module.get("path")
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ModelError(
            f"the path {name!r} of the pooling leads out of the directory", where=str(listed)
        )
    return model_dir / name


def _pooling(model_dir: Path, folder: Path) -> Pooling:
    """The one mode of a pooling's config.json. Raises ModelError where it is not computed here."""
    path = folder / "config.json"
    said = read_json(path)
    width = said.get("word_embedding_dimension", said.get("embedding_dimension"))
    hidden = read_json(model_dir / "config.json").get("hidden_size")
    if width is not None and hidden is not None and width != hidden:
        raise ModelError(
            f"the pooling is of {width!r} numbers, the model's hidden states have {hidden!r}",
            where=str(path),
            do="check that it belongs to these weights",
        )
    modes = _modes(said)
    if len(modes) == 1 and modes[0] in _MODES:
        return _MODES[modes[0]]
    told = " and ".join(modes) or "no mode at all"
    raise ModelError(
        f"pooling by {told} is not computed",
        where=str(path),
        why="one of cls, mean and lasttoken is; vectors of another would not be the model's own",
        do="serve another model, or say --pooling last, mean or cls if you want such vectors of it",
    )


def _modes(said: dict[str, Any]) -> list[str]:
    given = said.get("pooling_mode")
    if given is not None:
        return [str(mode) for mode in (given if isinstance(given, list) else [given])]
    flags = [name for name, value in said.items() if name.startswith(_FLAG) and value]
    return [name.removeprefix(_FLAG) for name in flags]
