"""Published statements as data: what is claimed, of what, by which test it stands or falls.

A file of claims names its price sheet and its source; each claim names one of the tests of
`decisions/claims`, whose value it gives with a unit. `expect` says what a claim is known to come
out as, so that a shipped file does not fail for what it is there to show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from harness.errors import Fault, ScenarioError
from harness.scenario._faults import explain
from harness.scenario._files import library_folder
from harness.scenario._flags import apply_overrides
from harness.scenario._plain import Kind, load_plain
from harness.scenario._tree import Where
from harness.scenario.distributions import Document
from harness.scenario.prices import Date
from harness.units import (
    Seconds,
    Share,
    UsdPerAudioMin,
    UsdPerGpuH,
    parse,
    parse_rate,
    parse_seconds,
    parse_share,
    price_parser,
)

CLAIMS = Kind("claims file", "harness/claims/v1", "harness claims", library_folder() / "claims")
FACTS = Kind(
    "evidence file",
    "harness/evidence/v1",
    "harness claims --evidence",
    library_folder() / "evidence",
)
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Standing = Literal["supported", "refuted", "inconsistent", "inconclusive", "not testable"]
Test = Literal[
    "ttft_by_prompt", "uptime", "bill", "audio_price", "break_even_speed", "gpu_prices",
    "crossover", "batch_discount", "cold_start", "stability", "linear_scaling", "tier_speed",
    "prefix_caching", "output_speed", "rate_limit",
]  # fmt: skip
_TOK_PER_H = {
    "tok/h": 1.0, "ktok/h": 1e3, "Mtok/h": 1e6, "tok/min": 60.0, "ktok/min": 6e4,
    "tok/s": 3600.0,
}  # fmt: skip


def parse_tok_per_h(text: object) -> float:
    """`100ktok/h` -> 100,000; also per minute and second."""
    return parse(text, _TOK_PER_H, "token rate", "100ktok/h or 100ktok/min")


def _parse_tok_per_s(text: object) -> float:
    return parse(text, {"tok/s": 1.0}, "speed", "100tok/s")


def _parse_factor(text: object) -> float:
    if isinstance(text, bool) or not isinstance(text, int | float) or not 0 < text < math.inf:
        raise ValueError("must be a number above 0, such as 2")
    return float(text)


def _parse_price(unit: str) -> Callable[[object], float]:
    return _above_0(lambda text: price_parser(unit)(text).point)


def _above_0(read: Callable[[object], float]) -> Callable[[object], float]:
    """Where the measured is divided by the value, or any number would keep it."""

    def parse_above_0(text: object) -> float:
        value = read(text)
        if value <= 0:
            raise ValueError(f"'{text}' must be above 0")
        return value

    return parse_above_0


# test -> the comparisons it can judge; every other would be judged as one of these
_OPERATORS: dict[str, tuple[str, ...]] = {
    "ttft_by_prompt": ("<", "<="), "uptime": (">=", ">"), "bill": ("=",), "audio_price": ("=",),
    "break_even_speed": (">", ">="), "gpu_prices": ("=",), "crossover": (">=", ">"),
    "batch_discount": ("up to",), "cold_start": ("<=", "<", ">", ">="), "stability": ("<", "<="),
    "linear_scaling": ("<=", "<"), "tier_speed": (">=", ">"), "prefix_caching": ("<=", "<"),
    "output_speed": (">=", ">", "<=", "<"), "rate_limit": (">=", ">"),
}  # fmt: skip
# test -> how its value is read; None: it has none
_VALUES: dict[str, Callable[[object], float] | None] = {
    "ttft_by_prompt": parse_seconds, "uptime": _above_0(parse_share), "bill": None,
    "audio_price": _parse_price("audio_min"), "break_even_speed": _parse_price("Mtok"),
    "gpu_prices": None, "crossover": _above_0(parse_tok_per_h), "batch_discount": parse_share,
    "cold_start": parse_share, "stability": None, "linear_scaling": parse_share,
    "tier_speed": _parse_factor, "prefix_caching": _above_0(parse_share),
    "output_speed": _above_0(_parse_tok_per_s), "rate_limit": parse_rate,
}  # fmt: skip


class Deployment(Document):
    """Something that could serve a model, to say how far a claim is off for it."""

    name: str = Field(min_length=1, description="As people say it: 70B int4 on 2 A10G.")
    model: str = Field(description="Serverless row of the sheet.")
    gpu: str = Field(description="On-demand row of the sheet.")
    gpus: int = Field(default=1, ge=1, description="GPUs of one replica.")


class Scope(Document):
    """Of what a claim speaks, and how it is measured. Each test reads its own keys."""

    target: str | None = Field(default=None, description="Target of a run it speaks of.")
    only: bool = Field(default=False, description="No other target of a run stands for it.")
    against: str | None = Field(default=None, description="Target it is compared with.")
    model: str | None = Field(default=None, description="Serverless row of the sheet.")
    gpu: str | None = Field(default=None, description="On-demand row of the sheet.")
    prompts: tuple[int, ...] = Field(
        default=(128, 1024, 4096, 16384), min_length=1, description="Prompt buckets, in tokens."
    )
    block: Seconds = Field(default=3600.0, gt=0, description="Length of an independent block.")
    window: Seconds = Field(default=300.0, gt=0, description="Length of an uptime window.")
    margin: Share = Field(default=0.05, description="Difference too small to matter.")
    hit: str = Field(default="hit", description="Traffic class whose prompts are cached.")
    miss: str = Field(default="miss", description="Traffic class whose prompts are not.")
    deadline: Seconds = Field(default=86_400.0, gt=0, description="Of a batch.")
    prices: dict[Id, UsdPerGpuH] = Field(default_factory=dict, description="Claimed, by GPU.")
    deployments: tuple[Deployment, ...] = Field(default=(), description="What could be deployed.")


class Reference(Document):
    """What others ask for the same thing, with its date: a claim can be odd beside it."""

    name: str = Field(min_length=1, description="Who.")
    audio: UsdPerAudioMin | None = Field(default=None, description="A minute of audio.")
    gpu: str | None = Field(default=None, description="On-demand row of the sheet.")
    price: UsdPerGpuH | None = Field(default=None, description="One such GPU for an hour.")
    as_of: str = Field(min_length=1, description="When it was read.")


class Claim(Document):
    """One statement and the test by which it stands or falls."""

    id: Id = Field(description="Stable; also the anchor on the page.")
    text: str = Field(min_length=1, description="The statement, in its own terms.")
    quantity: str = Field(min_length=1, description="What is claimed, in words.")
    operator: Literal["<", "<=", ">", ">=", "=", "up to"] = Field(description="How it compares.")
    value: str | int | float | None = Field(
        default=None, description="With its unit; some have none."
    )
    scope: Scope = Field(default_factory=Scope, description="Of what, and measured how.")
    test: Test = Field(description="One of decisions/claims.")
    alpha: float = Field(default=0.05, ge=1e-9, lt=0.5, description="One-sided error allowed.")
    min_n: int = Field(default=1, ge=1, description="Blocks, pairs, requests it takes at least.")
    source: str = Field(min_length=1, description="Where it is stated.")
    expect: Standing | None = Field(default=None, description="What it is known to come out as.")
    run: str = Field(min_length=1, description="What to run where there is no evidence yet.")
    doubt: str = Field(default="", description="What is not sure about the statement itself.")
    placeholder: bool = Field(
        default=False, description="The value is ours: the source gives none. Never judged."
    )
    references: tuple[Reference, ...] = Field(default=(), description="What others ask.")

    @property
    def number(self) -> float:
        """The value in base units: seconds, ratios, tokens/h or /s, USD, requests/s."""
        read = _VALUES[self.test]
        if read is None:
            raise ValueError(f"{self.test} has no value")
        return read(self.value)


class Claims(Document):
    """The whole file."""

    schema_: Literal["harness/claims/v1"] = Field(alias="schema", description="Of this document.")
    name: Id = Field(description="Printed over the page.")
    description: str = Field(default="", description="One sentence.")
    as_of: Date = Field(description="When the statements were read.")
    source: str = Field(min_length=1, description="Where they were read.")
    prices: str = Field(description="The price sheet they are held against.")
    claims: tuple[Claim, ...] = Field(min_length=1, description="In the order printed.")


class Bill(Document):
    """What a provider charged for one run: no response says it."""

    run: str = Field(min_length=1, description="Run id or its end; latest is not one.")
    target: str | None = Field(default=None, description="Of a run with several.")
    usd: float = Field(ge=0, description="Charged, to the cent or finer.")
    cached_tok: int | None = Field(default=None, ge=0, description="Tokens billed as cached.")


class Batch(Document):
    """The same work as a batch and at once, and how long batches took."""

    model: str = Field(min_length=1, description="Which model.")
    sync_usd: float = Field(gt=0, description="Charged for it at once.")
    batch_usd: float = Field(ge=0, description="Charged for it as a batch.")
    done: tuple[Seconds, ...] = Field(default=(), description="Turnarounds of finished batches.")
    running: tuple[Seconds, ...] = Field(default=(), description="Ages of unfinished ones.")


class Scaling(Document):
    """Sustained rate at a number of replicas, where it was measured elsewhere."""

    replicas: int = Field(ge=1, description="Replicas.")
    rate: float = Field(gt=0, description="Sustained requests/s.")
    low: float = Field(gt=0, description="Lower end of its 95 % interval.")
    high: float = Field(gt=0, description="Upper end.")


class Facts(Document):
    """What no record of a run can hold: bills, batches, capacities measured elsewhere."""

    schema_: Literal["harness/evidence/v1"] = Field(alias="schema", description="Of this document.")
    bills: tuple[Bill, ...] = Field(default=(), description="One a run.")
    batches: tuple[Batch, ...] = Field(default=(), description="One a model.")
    scaling: tuple[Scaling, ...] = Field(default=(), description="Several a number of replicas.")


@dataclass(frozen=True, slots=True)
class LoadedClaims:
    """path: of the file. document: valid."""

    path: Path
    document: Claims


def load_claims(source: str | Path, search_paths: Sequence[Path] = ()) -> LoadedClaims:
    """The file at a path, or the one of that name in the library. Raises ScenarioError."""
    path = CLAIMS.find(source, search_paths)
    return LoadedClaims(path, load_plain(CLAIMS, Claims, path, _complaints))


def with_values(document: Claims, overrides: Sequence[str], source: str = "") -> Claims:
    """overrides: `C12.value=3`, `C1.scope.target=main`. A value that was given is no placeholder.

    source: as the user named the file, to be told in an error.

    Raises ScenarioError with every fault.
    """
    if not overrides:
        return document
    data: dict[str, Any] = {
        c.id: c.model_dump(mode="json", by_alias=True, exclude_unset=True) for c in document.claims
    }
    origins: dict[Where, str] = {}
    faults = apply_overrides(data, overrides, origins)
    ids = [c.id for c in document.claims]
    for name in {str(where[0]) for where in origins}:
        if name not in ids:
            faults.append(Fault(name, f"no claim of that id; there are {', '.join(ids)}"))
        elif (name, "value") in origins:
            data[name]["placeholder"] = False
    claims = []
    for known in document.claims:
        try:
            found = Claim.model_validate(data[known.id])
            faults += [Fault(f"{known.id}.{path}", why) for path, why in _of_claim(found)]
            claims.append(found)
        except ValidationError as error:
            wrong = explain(Claim, data[known.id], error.errors(include_url=False))
            faults += [Fault(".".join(map(str, (known.id, *w.where))), w.message) for w in wrong]
    if faults:
        raise ScenarioError(
            source or document.name, faults, kind="claims file", check="harness claims"
        )
    return document.model_copy(update={"claims": tuple(claims)})


def load_facts(path: Path) -> Facts:
    """An evidence file. Raises ScenarioError."""
    return load_plain(FACTS, Facts, path, _complaints)


def _complaints(block: BaseModel) -> Iterator[tuple[str, str]]:
    match block:
        case Claims():
            ids = [claim.id for claim in block.claims]
            for i, name in enumerate(ids):
                if name in ids[:i]:
                    yield f"claims.{i}.id", f"'{name}' is given twice; ids are unique"
        case Claim():
            yield from _of_claim(block)
        case Scaling() if not block.low <= block.rate <= block.high:
            yield "rate", "must lie between low and high"


def _of_claim(claim: Claim) -> Iterator[tuple[str, str]]:
    legal = _OPERATORS[claim.test]
    if claim.operator not in legal:
        yield "operator", f"test {claim.test} judges {' or '.join(legal)}, not {claim.operator}"
    read = _VALUES[claim.test]
    if read is None:
        if claim.value is not None:
            yield "value", f"test {claim.test} has no value; remove it"
        return
    if claim.value is None:
        yield "value", f"missing; test {claim.test} holds the measured against it"
        return
    try:
        read(claim.value)
    except ValueError as error:
        yield "value", str(error)
