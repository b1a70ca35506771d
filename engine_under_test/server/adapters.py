"""The LoRA adapters a server has, by name, and the only folder they may come from.

Loading is reading: weights reach the engine when a request first runs with them. A request keeps
its adapter to its end, also when the adapter is unloaded or replaced meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..config import EngineConfig
from ..errors import ModelError
from ..model_config import ModelConfig
from ..models import LoraAdapter, read_adapter
from ..models.peft import CONFIG
from .errors import ApiError, bad_request


class AdapterStore:
    """Adapters of one base model. folder None: there are none and none can be loaded."""

    def __init__(
        self, base: str, model: ModelConfig, engine: EngineConfig, folder: Path | None
    ) -> None:
        """Reads every adapter of the folder under its directory's name. Raises ModelError."""
        self._base, self._model, self._engine = base, model, engine
        self._folder = folder.resolve() if folder is not None else None
        self._adapters: dict[str, LoraAdapter] = {}
        if self._folder is not None:
            if not self._folder.is_dir():
                raise ModelError(f"the folder of adapters {folder} does not exist")
            for path in sorted(p.parent for p in self._folder.glob(f"*/{CONFIG}")):
                self._adapters[path.name] = self._read(path, path.name)

    def __iter__(self) -> Iterator[LoraAdapter]:
        return iter(self._adapters.values())

    def get(self, name: str | None) -> LoraAdapter | None:
        """The adapter of that name; None for the base model and for names unknown."""
        return self._adapters.get(name) if name is not None else None

    def load(self, body: object) -> str:
        """Serve `lora_name` from the directory `lora_path`. Raises ApiError."""
        name, path = _text(body, "lora_name"), _text(body, "lora_path")
        if name == self._base or name in self._adapters:
            raise bad_request(f"the name '{name}' is taken; unload it first", "lora_name")
        directory = self._inside(path)
        try:
            self._adapters[name] = self._read(directory, name)
        except ModelError as error:
            raise bad_request(str(error), "lora_path", "invalid_adapter") from error
        return name

    def unload(self, body: object) -> str:
        """Refuse new requests for `lora_name`; those that run finish. Raises ApiError."""
        name = _text(body, "lora_name")
        if self._adapters.pop(name, None) is None:
            raise ApiError(404, f"there is no adapter '{name}'", "lora_name", "adapter_not_found")
        return name

    def describe(self, created_s: int) -> list[dict[str, Any]]:
        """The OpenAI model objects of all adapters."""
        return [
            {
                "id": a.name,
                "object": "model",
                "created": created_s,
                "owned_by": "engine_under_test",
                "parent": self._base,
                "engine": {"adapter": {"rank": a.rank, "digest": a.key}},
            }
            for a in self
        ]

    def _read(self, path: Path, name: str) -> LoraAdapter:
        return read_adapter(path, name, self._model, self._engine.max_lora_rank)

    def _inside(self, path: str) -> Path:
        """The directory a client names, relative or absolute, links resolved: in the folder."""
        if self._folder is None:
            raise ApiError(
                403, "this server loads no adapters: serve it with --adapters DIR", "lora_path"
            )
        directory = (self._folder / path).resolve()
        if not directory.is_relative_to(self._folder):
            raise ApiError(403, "adapters load from the configured folder only", "lora_path")
        return directory


def _text(body: object, field: str) -> str:
    value = body.get(field) if isinstance(body, dict) else None
    if not isinstance(value, str) or not value or "\0" in value:
        raise bad_request(f"'{field}' must be a non-empty string", field)
    return value
