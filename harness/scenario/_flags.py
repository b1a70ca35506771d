"""What the command line adds to a document: `--set path=value` and the named flags.

Precedence: default < scenario < --set < named flag. Everything here edits plain values in place
and answers with what is wrong and where each value came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness.errors import Fault
from harness.notices import Notice
from harness.scenario._paths import PathError, put, resolve
from harness.scenario._tree import Where, parse_yaml


@dataclass(frozen=True, slots=True)
class Flags:
    """Named flags of a verb; None where not given."""

    url: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    seed: int | None = None


def apply_overrides(
    data: dict[str, Any], overrides: Sequence[str], origins: dict[Where, str]
) -> list[Fault]:
    """`load.rate=8/s` and the like, in order; the value is one YAML value on one line."""
    faults: list[Fault] = []
    for text in overrides:
        path, equals, raw = text.partition("=")
        path = path.strip()
        if not equals or not path:
            faults.append(Fault(f"--set {text}"[:60], "write PATH=VALUE, such as load.rate=8/s"))
            continue
        tree = parse_yaml(raw) if raw.strip() else None
        if tree is None or tree.faults:
            say = tree.faults[0].message if tree else "has no value; write PATH=VALUE"
            faults.append(Fault(path, f"{say} (from --set)"))
            continue
        try:
            where = resolve(data, path, may_create=True)
        except PathError as error:
            faults.append(Fault(path, f"{error} (from --set)"))
            continue
        put(data, where, tree.data)
        mark(origins, where, "--set")
    return faults


def apply_flags(data: dict[str, Any], flags: Flags, origins: dict[Where, str]) -> list[Fault]:
    """--url, --model and --api-key-env set the only target, of a gate its candidate; --seed the
    seed."""
    if flags.seed is not None:
        data["seed"] = flags.seed
        mark(origins, ("seed",), "--seed")
    given = {"url": flags.url, "model": flags.model, "api_key_env": flags.api_key_env}
    given = {key: value for key, value in given.items() if value is not None}
    targets = data.get("targets")
    if not given or not isinstance(targets, dict) or not targets:
        return []
    gate = data.get("gate")
    chosen = gate.get("candidate") if isinstance(gate, dict) else None
    if len(targets) > 1 and chosen not in targets:
        names = ", ".join(map(str, targets))
        first = next(iter(given))
        text = f"--{first.replace('_', '-')} sets the only target, but there are {names}"
        return [Fault("targets", f"{text}; use --set targets.{next(iter(targets))}.{first}=...")]
    name = str(chosen if chosen in targets else next(iter(targets)))
    target = targets[name]
    old = target if isinstance(target, dict) else {}
    if flags.url is not None:
        kept = (
            ("api_key_env", "headers", "timeout") if old.get("kind") == "openai" else ("timeout",)
        )
        new: dict[str, Any] = {"kind": "openai", "url": flags.url, "model": "auto"}
        target = {**new, **{key: old[key] for key in kept if key in old}}
        mark(origins, ("targets", name, "kind"), "--url")
        if flags.model is None:
            mark(origins, ("targets", name, "model"), "--url")
    elif not isinstance(target, dict):
        return []
    targets[name] = {**target, **given}
    for key in given:
        mark(origins, ("targets", name, key), "--" + key.replace("_", "-"))
    return []


def drop_engine_sweep(data: dict[str, Any]) -> list[Notice]:
    """A sweep over the reference engine's flags falls away where its target is another server's."""
    targets, sweep = data.get("targets"), data.get("sweep")
    over = sweep.get("over") if isinstance(sweep, dict) else None
    if not isinstance(targets, dict) or not isinstance(over, dict):
        return []
    gone = [
        path
        for path in over
        for name, target in targets.items()
        if str(path).startswith(f"targets.{name}.flags.")
        and isinstance(target, dict)
        and target.get("kind") == "openai"
    ]
    for path in gone:
        del over[path]
    if not gone:
        return []
    if not over:
        del data["sweep"]
    return [Notice("engine_sweep_dropped", "warning", {"swept": ", ".join(gone)})]


def complete_urls(data: dict[str, Any]) -> list[Notice]:
    """A base URL without a path gets /v1, where compatible servers live, and a notice says so."""
    notices: list[Notice] = []
    targets = data.get("targets")
    for name, target in targets.items() if isinstance(targets, dict) else ():
        url = target.get("url") if isinstance(target, dict) else None
        if not isinstance(url, str) or target.get("kind") != "openai":
            continue
        try:
            parts = urlsplit(url)
        except ValueError:
            continue  # _rules.py says so
        if parts.query or parts.fragment or "@" in parts.netloc or not parts.netloc:
            continue
        plain = url.rstrip("/")
        if not parts.path.strip("/"):
            plain += "/v1"
            notices.append(Notice("url_completed", "info", {"target": str(name), "url": plain}))
        target["url"] = plain
    return notices


def mark(origins: dict[Where, str], where: Where, origin: str) -> None:
    """Remember where the value at `where`, and all below it, came from."""
    for known in [known for known in origins if known[: len(where)] == where]:
        del origins[known]
    origins[where] = origin
