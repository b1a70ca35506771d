"""What the target said of itself, as plain data of a point's summary. See summary.py, the seam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Agreement = Literal["ok", "notice", "shown"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One quantity as the client and as the server counted it; None where that side cannot say.

    difference: server / client - 1.  status: `shown` where the two need not agree.
    """

    id: str
    title: str
    unit: str
    client: float | None
    server: float | None
    difference: float | None = None
    status: Agreement = "shown"
    note: str = ""


@dataclass(frozen=True, slots=True)
class ServerSeries:
    """A gauge of the server over the point. t_s: readings, from the window's start, ascending."""

    id: str
    title: str
    unit: str
    t_s: tuple[float, ...]
    value: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The least a provider said was left, over the window's answers. limit: None if not told."""

    what: str
    remaining_min: float
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class NetGain:
    """The server's own estimate since it started (docs/method.md): tokens/s of its decoding over
    what they would have been without drafts at equal batch, with a 95 % interval.

    compared_s, compared_tok: the steps it rests on.  num_controls: those of them without drafts.
    """

    speed_up: float
    low: float
    high: float
    compared_s: float
    compared_tok: float
    num_controls: float

    @property
    def with_tok_per_s(self) -> float:
        return self.compared_tok / self.compared_s

    @property
    def without_tok_per_s(self) -> float:
        return self.with_tok_per_s / self.speed_up


@dataclass(frozen=True, slots=True)
class Speculation:
    """Drafts over the whole point. accepted_per_pos: of each place behind the last known token.

    num_drafts: verifications, each of one request in one step.  is_synthetic: the server accepted
    drafts by a coin, for a speed study, and its text means nothing.
    """

    num_drafts: float
    num_draft_tok: float
    num_accepted_tok: float
    accepted_per_pos: tuple[float, ...] = ()
    is_synthetic: bool = False
    gain: NetGain | None = None

    @property
    def mean_length_tok(self) -> float:
        """Tokens a verification gives, the target's own included (vLLM's acceptance length)."""
        return 1 + self.num_accepted_tok / self.num_drafts


@dataclass(frozen=True, slots=True)
class ServerSide:
    """name: the server as known by its metric names, empty where none is known.

    num_readings: of `/metrics` over the point.  speculation: None where no draft was on trial.
    """

    name: str = ""
    num_readings: int = 0
    comparisons: tuple[Comparison, ...] = ()
    series: tuple[ServerSeries, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    speculation: Speculation | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> ServerSide:
        """Empty for a summary that is older than this block."""
        told = row.get("speculation")
        return cls(
            name=row.get("name", ""),
            num_readings=row.get("num_readings", 0),
            comparisons=tuple(Comparison(**c) for c in row.get("comparisons", ())),
            series=tuple(
                ServerSeries(**{**s, "t_s": tuple(s["t_s"]), "value": tuple(s["value"])})
                for s in row.get("series", ())
            ),
            rate_limits=tuple(RateLimit(**r) for r in row.get("rate_limits", ())),
            speculation=told
            and Speculation(
                **{
                    **told,
                    "accepted_per_pos": tuple(told["accepted_per_pos"]),
                    "gain": NetGain(**told["gain"]) if told.get("gain") else None,
                }
            ),
        )
