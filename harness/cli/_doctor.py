"""The steps of `harness doctor`, each a function the verb reads out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.analysis.client_check import ClientCheck
from harness.cli._client_check import check_client
from harness.cli._client_loads import ClientLoad, with_headroom
from harness.cli._doctor_tables import render
from harness.cli._endpoints import key_of
from harness.cli._interruption import Interruption
from harness.cli._options import Voice, default_workers, echo
from harness.errors import ExitCode, MeasurementError, UsageError
from harness.load import LoadProcess, TargetFacts, probe_target
from harness.load.handshake import Handshake, time_handshake
from harness.load.machine import SPARE_DESCRIPTORS, MachineFacts, read_machine
from harness.records import write_bytes
from harness.scenario._flags import complete_urls
from harness.scenario._rules import complaints
from harness.scenario.document import OpenAITarget
from harness.units import format_seconds

__all__ = ["Diagnosis", "Examined", "check", "examine", "read_machine", "tell"]
SCHEMA = "harness/doctor/v1"


@dataclass(frozen=True, slots=True)
class Examined:
    """An endpoint: how long it takes to reach, and what it takes."""

    handshake: Handshake
    facts: TargetFacts


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that the doctor found."""

    machine: MachineFacts
    target: Examined | None
    check: ClientCheck

    @property
    def exit_code(self) -> ExitCode:
        """4 where not even the smallest load was measured cleanly."""
        return ExitCode.INVALID if self.check.ceiling_chunks_per_s is None else ExitCode.OK

    def to_json(self) -> dict[str, Any]:
        target = self.target
        return {
            "schema": SCHEMA,
            "machine": asdict(self.machine),
            "target": None
            if target is None
            else {"handshake": target.handshake.to_json(), "facts": target.facts.to_json()},
            "check": self.check.to_json(),
            "exit_code": int(self.exit_code),
        }


def examine(url: str, model: str, api_key_env: str | None) -> Examined:
    """Reach the endpoint and ask it a few tiny things. Raises TargetError, UsageError."""
    url = _checked(url)
    key = key_of(api_key_env, "--api-key-env")
    return Examined(time_handshake(url), probe_target(url, model, key))


def _checked(url: str) -> str:
    """The URL as a scenario would take it. Raises UsageError."""
    data = {"targets": {"URL": {"kind": "openai", "url": url}}}
    complete_urls(data)
    found = data["targets"]["URL"]["url"]
    for _, message in complaints(OpenAITarget(kind="openai", url=found)):
        # never shown: what is wrong with it may be a password
        raise UsageError(f"the URL {message}", do="write http://HOST:PORT/v1")
    return found


def check(
    loads: Sequence[ClientLoad],
    seconds: float,
    workers: int | None,
    machine: MachineFacts,
    voice: Voice,
) -> ClientCheck:
    """The client under these loads; one alone gets company above it, which shows its headroom.

    Raises MeasurementError where the descriptors allow not even the smallest.
    """
    is_own, num_workers = len(loads) == 1, default_workers(workers)
    asked = with_headroom(loads[0]) if is_own else tuple(loads)
    rising = [load for load in asked if machine.has_room_for(load.streams, num_workers)]
    for load in asked[len(rising) :]:
        voice.say(f"{load.streams:,} streams are left out: {machine.num_descriptors} descriptors")
    if not rising:
        raise MeasurementError(
            f"this machine has too few descriptors for {asked[0].streams:,} streams",
            why=f"{machine.num_descriptors} a process, {SPARE_DESCRIPTORS} of them for other files",
            do="raise ulimit -n, or add --workers",
        )
    names = ", ".join(str(load.streams) for load in rising)
    lasts_s = seconds + len(rising) * (2 * rising[0].answer_s + 0.5) + 3
    voice.say(
        f"checking the client with {names} streams at {rising[0].tok_per_s:g} tok/s against the"
        f" scripted endpoint, about {format_seconds(round(lasts_s))}"
    )
    with Interruption() as interruption, LoadProcess(num_workers) as process:
        return check_client(rising, seconds, process, interruption, intended=0 if is_own else None)


def tell(diagnosis: Diagnosis, json_file: str | None, voice: Voice) -> None:
    """Tables on stdout, JSON where it was asked for; JSON on stdout leaves the tables out."""
    text = json.dumps(diagnosis.to_json(), indent=2, ensure_ascii=False)
    if json_file == "-":
        echo(text)
        return
    if json_file is not None:
        write_bytes(Path(json_file), (text + "\n").encode())
    render(diagnosis.machine, diagnosis.target, diagnosis.check, voice)
