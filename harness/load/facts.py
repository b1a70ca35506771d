"""TargetFacts: what the probe learned about an endpoint, stored with the point.

Field names say what the endpoint *takes*; a field it refused is in `dropped` and never sent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """One endpoint and model as the probe found them. rtt_ns: median TCP connect time.

    keeps_connections: False where the server closes each connection after its answer, whatever its
    headers promise; a request sent on such a connection would race its end.
    """

    base_url: str
    model: str
    api: str = "chat"
    models: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    rtt_ns: int = 0
    server: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    takes_stream_options: bool = True
    takes_continuous_usage: bool = False
    has_usage: bool = True
    has_continuous_usage: bool = False
    takes_ignore_eos: bool = False
    takes_min_tokens: bool = False
    uses_max_completion_tokens: bool = False
    keeps_connections: bool = True
    dropped: tuple[str, ...] = ()
    # what /models says of the served model's size: max_model_len, max_num_seqs, num_blocks ...
    limits: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        row = asdict(self)
        return row | {name: list(row[name]) for name in ("models", "addresses", "dropped")}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> TargetFacts:
        tuples = {name: tuple(row[name]) for name in ("models", "addresses", "dropped")}
        return cls(**(row | tuples))
