"""`harness schema`: the language as JSON Schema, so that an editor completes and checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from harness.cli._options import Voice, voice_options
from harness.errors import UsageError

_FILE = "harness.schema.json"
_SETTINGS = Path(".vscode") / "settings.json"


@click.command()
@click.option("--install", is_flag=True, help=f"Write {_FILE} and editor settings here.")
@click.option("--gate", "of_gate", is_flag=True, help="Of gate.json, version harness/gate/v1.")
@click.option("--plan", "of_plan", is_flag=True, help="Of plan.json, version harness/plan/v1.")
@voice_options
def command(install: bool, of_gate: bool, of_plan: bool, voice: Voice) -> int:
    """Print the JSON Schema of scenarios, version harness/v1; with --gate that of gate.json, with
    --plan that of plan.json."""
    from harness.scenario import json_schema

    if of_gate and of_plan:
        raise click.UsageError("one schema at a time: --gate or --plan")
    if install and (of_gate or of_plan):
        which = "--gate" if of_gate else "--plan"
        raise click.UsageError(
            f"--install is for scenarios; redirect: harness schema {which} > FILE"
        )
    if of_gate:
        from harness.decisions.gate_document import gate_schema

        schema = gate_schema()
    elif of_plan:
        from harness.decisions.plan_document import plan_schema

        schema = plan_schema()
    else:
        schema = json_schema()
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    if not install:
        voice.result(text, schema)
        return 0
    written = _install(text)
    voice.result("\n".join(written), {"written": written})
    voice.say(f"a scenario beside {_FILE} is checked as you type; its first line names the schema")
    return 0


def _install(text: str) -> list[str]:
    """Write the schema and point VS Code's YAML extension at it; the other settings stay."""
    settings = _read_settings()  # first: what cannot be read is left alone, and nothing written
    settings.setdefault("yaml.schemas", {})[f"./{_FILE}"] = ["*.harness.yaml", "scenarios/*.yaml"]
    try:
        _SETTINGS.parent.mkdir(exist_ok=True)
        Path(_FILE).write_text(text + "\n", encoding="utf-8")
        _SETTINGS.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{error.filename or _FILE} cannot be written", why=error.strerror or str(error),
            do="install in a folder of your own, or redirect: harness schema > FILE",
        ) from error  # fmt: skip
    return [_FILE, str(_SETTINGS)]


def _read_settings() -> dict[str, Any]:
    if not _SETTINGS.exists():  # false too where .vscode is a file
        return {}
    try:
        known = json.loads(_SETTINGS.read_text(encoding="utf-8"))
        if not isinstance(known, dict) or not isinstance(known.get("yaml.schemas", {}), dict):
            raise ValueError("expected an object")
    except OSError as error:
        raise UsageError(f"{_SETTINGS} cannot be read", why=error.strerror or str(error)) from error
    except ValueError as error:
        raise UsageError(
            f"{_SETTINGS} is not plain JSON", why=str(error), do="add the schema by hand"
        ) from error
    return known
