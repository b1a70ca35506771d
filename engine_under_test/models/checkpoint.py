"""A Hugging Face model directory on disk: its files, their digests, their tensors.

Everything that can be wrong is said by name before a forward pass can go quietly wrong: a file
missing or damaged, a tensor missing, unexpected or of another shape.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from engine_under_test.errors import ModelError

CHECKSUMS = "SHA256SUMS"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


def read_config(model_dir: Path) -> dict[str, Any]:
    """config.json; its end-of-sequence ids come from generation_config.json where that has any."""
    config = read_json(model_dir / "config.json")
    generation = model_dir / "generation_config.json"
    if generation.exists() and (eos := read_json(generation).get("eos_token_id")) is not None:
        config["eos_token_id"] = eos
    return config


def weight_files(model_dir: Path) -> list[Path]:
    """The safetensors files, from the index where there is one. Raises ModelError naming a gap."""
    if (model_dir / INDEX).exists():
        names = sorted(set(read_json(model_dir / INDEX).get("weight_map", {}).values()))
        files = [_inside(model_dir, name) for name in names]
    else:
        files = [model_dir / SINGLE]
    for file in files:
        if not file.is_file():
            raise ModelError(
                f"weight file {file.name} is missing",
                where=str(model_dir),
                do="download the model again",
            )
    if not files:
        raise ModelError(f"{INDEX} lists no file", where=str(model_dir))
    return files


def verify_checksums(model_dir: Path) -> None:
    """Compare every file that SHA256SUMS lists. Raises ModelError naming the damaged one."""
    sums = model_dir / CHECKSUMS
    if not sums.exists():
        return
    for line in sums.read_text().splitlines():
        if not line.strip():
            continue
        expected, _, name = line.partition(" ")
        file = _inside(model_dir, name.strip().removeprefix("*"))
        if not file.is_file():
            raise ModelError(f"{file.name} is listed in {CHECKSUMS} but missing", where=str(sums))
        if _sha256(file) != expected.lower():
            raise ModelError(
                f"{file.name} is damaged",
                where=str(file),
                why=f"its SHA-256 is not the one in {CHECKSUMS}",
                do="restore the file",
            )


def digest_files(files: list[Path]) -> str:
    """One SHA-256 over the names and SHA-256 of files."""
    lines = [f"{_sha256(file)}  {file.name}\n" for file in files]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def read_tensors(files: list[Path]) -> Iterator[tuple[str, Path, torch.Tensor]]:
    """(name, file, tensor) of every tensor. Raises ModelError naming an unreadable file."""
    for file in files:
        try:
            with safe_open(str(file), framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a mapping: no iteration)
                    yield name, file, tensors.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{file.name} cannot be read: it is damaged or incomplete",
                where=str(file),
                why=str(error),
                do="download or restore the file",
            ) from error


def _inside(model_dir: Path, name: str) -> Path:
    """A file of the directory; a name that leads out of it is refused."""
    if Path(name).name != name:
        raise ModelError(f"file name {name!r} leads out of the model directory")
    return model_dir / name


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ModelError naming it."""
    content = _content(path)
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} is not a JSON object", where=str(path))
    return content


def read_json_list(path: Path) -> list[Any]:
    """The list in a JSON file. Raises ModelError naming it."""
    content = _content(path)
    if not isinstance(content, list):
        raise ModelError(f"{path.name} is not a JSON list", where=str(path))
    return content


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ModelError(f"{path.name} is missing", where=str(path.parent)) from None
    except (ValueError, OSError) as error:
        raise ModelError(
            f"{path.name} is not readable JSON", where=str(path), why=str(error)
        ) from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
