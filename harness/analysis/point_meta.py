"""How a point was meant to be, and the window it was measured in: what every analysis is given."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from harness.scenario.document import Validity
from harness.scenario.slo import Slo


@dataclass(frozen=True, slots=True)
class PointMeta:
    """How a point (or one stage of it) was meant to be, and the window it was measured in.

    t0_ns, t1_ns: the measured window [t0, t1) on the records' axis.  offered_req_per_s: the mean
    rate asked for, None when closed.  concurrency: None when open.  num_scheduled: arrivals the
    schedule holds in the window, None when closed.  class_slos: a class's own limits, before they
    replace the point's by metric name.  unique_classes: classes without a shared prefix, whose
    prompts no cache should know.  realised: what the schedule came out as (`ks_p`, `dispersion`).
    rtt_s: median round trip to the target.  stamp_source: kernel or user.  tokens_kind: tokenizer,
    calibrated or estimated.  template_tok: tokens the chat template adds to each prompt, as the
    length calibration found them; 0 where it is not known.  is_local_target: on this machine.
    idle_s: the silences of an idle-burst load, empty for any other.  tool_classes, schema_classes:
    those whose answers are held to tool calls, or to a JSON schema.  stopped_by: the breaker that
    ended the point before its time (`over_saturated`, `max_error_rate`); stopped_said: what it saw.
    wall_ns: what t0_ns lacks to nanoseconds of UTC, as the clock stood when the point began.
    """

    index: int
    label: str
    target: str
    kind: Literal["open", "closed"]
    t0_ns: int
    t1_ns: int
    classes: tuple[str, ...]
    swept: dict[str, Any] = field(default_factory=dict)
    offered_req_per_s: float | None = None
    concurrency: int | None = None
    stage_index: int = 0
    stage_name: str = "main"
    slo: Slo = field(default_factory=Slo)
    class_slos: dict[str, Slo] = field(default_factory=dict)
    validity: Validity = field(default_factory=Validity)
    realised: dict[str, Any] = field(default_factory=dict)
    num_scheduled: int | None = None
    unique_classes: tuple[str, ...] = ()
    rtt_s: float | None = None
    seed: int = 0
    repeat: int = 0
    is_partial: bool = False
    stamp_source: str = "kernel"
    tokens_kind: str = "calibrated"
    template_tok: float = 0.0
    idle_s: tuple[float, ...] = ()
    is_local_target: bool = False
    tool_classes: tuple[str, ...] = ()
    schema_classes: tuple[str, ...] = ()
    stopped_by: str = ""
    stopped_said: str = ""
    wall_ns: int | None = None

    @property
    def window_s(self) -> float:
        return (self.t1_ns - self.t0_ns) / 1e9

    @property
    def cpu_limit(self) -> float:
        """Share of its core above which a load worker voids the point."""
        return self.validity.max_client_cpu

    @property
    def name(self) -> str:
        """The label, with the stage where a point has several."""
        return self.label if self.stage_name in ("", "main") else f"{self.label}.{self.stage_name}"

    def to_json(self) -> dict[str, Any]:
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        row["slo"] = _dump(self.slo)
        row["class_slos"] = {name: _dump(slo) for name, slo in self.class_slos.items()}
        row["validity"] = _dump(self.validity)
        row["classes"], row["unique_classes"] = list(self.classes), list(self.unique_classes)
        for name in ("idle_s", "tool_classes", "schema_classes"):
            row[name] = list(row[name])
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> PointMeta:
        known = {f.name for f in fields(cls)}
        args = {k: v for k, v in row.items() if k in known}
        args["slo"] = Slo.model_validate(row["slo"])
        args["class_slos"] = {k: Slo.model_validate(v) for k, v in row["class_slos"].items()}
        args["validity"] = Validity.model_validate(row["validity"])
        args["classes"] = tuple(row["classes"])
        args["unique_classes"] = tuple(row["unique_classes"])
        for name in ("idle_s", "tool_classes", "schema_classes"):
            args[name] = tuple(row.get(name, ()))
        return cls(**args)


def _dump(block: Slo | Validity) -> dict[str, Any]:
    return block.model_dump(mode="json", by_alias=True, exclude_none=True)
