"""Provider presets as data: where an API lives, the variable of its key, and which of its models
stands for a foreign id.

A target with `preset: NAME` takes from it what it does not say itself. A mapping is for migration:
the same traffic asks for `gpt-4o` on either side, and the report prints the asked and the sent id.
It claims no equal quality.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from harness.errors import ScenarioError
from harness.scenario import document as doc
from harness.scenario._faults import Wrong
from harness.scenario._files import library_folder
from harness.scenario._flags import mark
from harness.scenario._plain import Kind, load_plain
from harness.scenario._tree import Where
from harness.scenario.distributions import Document
from harness.scenario.prices import Date

PROVIDERS = Kind(
    "provider preset", "harness/provider/v1", "harness validate", library_folder() / "providers"
)
ModelId = Annotated[str, Field(min_length=1)]


class Provider(Document):
    """One API. A default of code it is not: everything here has a date and a source."""

    schema_: Literal["harness/provider/v1"] = Field(alias="schema", description="Of this document.")
    name: str = Field(min_length=1, description="As a target's preset names it.")
    as_of: Date = Field(description="When this was read.")
    source: str = Field(min_length=1, description="Where.")
    url: str = Field(min_length=1, description="Base URL up to and including /v1.")
    api_key_env: str | None = Field(default=None, description="Variable that holds the key.")
    models: dict[ModelId, ModelId] = Field(
        default_factory=dict, description="Foreign id -> the id sent instead."
    )


def load_provider(name: str, folders: Sequence[Path] = ()) -> Provider:
    """A preset by name, or by path. Raises ScenarioError."""
    return load_plain(PROVIDERS, Provider, PROVIDERS.find(name, folders), _complaints)


def apply_presets(
    data: MutableMapping[str, Any], folders: Sequence[Path], origins: dict[Where, str]
) -> list[Wrong]:
    """Fill each target that names a preset; what the target says itself stands.

    A target with a URL of its own gets no key from the preset: a key goes to its own host only.
    """
    wrong: list[Wrong] = []
    targets = data.get("targets")
    for name, target in targets.items() if isinstance(targets, dict) else ():
        preset = target.get("preset") if isinstance(target, dict) else None
        if not isinstance(preset, str) or target.get("kind") != "openai":
            continue
        where = ("targets", str(name), "preset")
        try:
            provider = load_provider(preset, folders)
        except ScenarioError as error:
            first = error.faults[0]
            at = f"line {first.line} of {preset}: " if first.line else ""
            wrong.append(Wrong(where, f"{at}{first.message}"))
            continue
        given: dict[str, Any] = {"url": provider.url}
        if "url" not in target and provider.api_key_env is not None:
            given["api_key_env"] = provider.api_key_env
        if provider.models:
            own = target.get("models")
            given["models"] = {**provider.models, **(own if isinstance(own, dict) else {})}
        for key, value in given.items():
            if key not in target or key == "models":
                target[key] = value
                mark(origins, ("targets", str(name), key), f"preset {preset}")
    return wrong


def told_model(target: doc.Target, sent: str) -> str:
    """The id that was sent; with the one that was asked for, where a mapping changed it."""
    if isinstance(target, doc.OpenAITarget) and target.sent_model != target.model:
        return f"{target.model}, sent as {sent}"
    return sent


def _complaints(block: BaseModel) -> Iterator[tuple[str, str]]:
    if isinstance(block, Provider):
        chained = [sent for sent in block.models.values() if sent in block.models]
        for sent in chained:
            yield "models", f"'{sent}' is itself mapped; a mapping has one step"
