"""What an analysed point is: its setting, its estimates, its checks and its curves, as plain data.

These dataclasses are the seam between analysis and everything that reads it (decisions, reports,
console, summary.json). They hold numbers and sentences, no rows but a fixed number of chosen ones:
their size does not grow with the number of requests. JSON round trips are exact; infinity is
written as "inf".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from harness.analysis.heatmap import Heatmap
from harness.analysis.little import Little
from harness.analysis.point_meta import PointMeta
from harness.analysis.server_summary import ServerSide
from harness.analysis.slo_grid import SloGrid
from harness.analysis.usage import Usage
from harness.analysis.waterfall import Passage, Waterfall
from harness.estimate import Estimate, Outcome, from_plain, to_plain

CheckStatus = Literal["ok", "notice", "absent", "invalid"]
SUMMARY_SCHEMA = "harness/summary/v1"


@dataclass(frozen=True, slots=True)
class Check:
    """One condition a measurement must meet to be believed.

    value: in `unit` (`s`, `ratio`, `count`, `ppm`), None where it could not be taken.
    limit_notice: beyond it a notice; limit_invalid: beyond it the worse status, which is `invalid`
    (no verdict for the point) or `absent` (only the metrics in `withholds` are lost).
    sentence: what was seen, why it matters, what to do; empty when ok.
    """

    code: str
    title: str
    value: float | None
    unit: str
    limit_notice: float | None
    limit_invalid: float | None
    status: CheckStatus
    sentence: str = ""
    withholds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One error class in the window. first_s, last_s: intended sends, from the window's start."""

    error_class: str
    count: int
    first_s: float
    last_s: float
    sample: str


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One traffic class: counts, and lengths as asked and as realised.

    Mean tokens over the requests that have both; None where none has.
    """

    name: str
    num_requests: int
    num_valid: int
    num_success: int
    num_throttled: int
    asked_in_tok: float | None
    realised_in_tok: float | None
    asked_out_tok: float | None
    realised_out_tok: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """The point over time, in bins of bin_s. t_s: start of a bin, from the window's start.

    Warm-up lies before 0, cool-down after window_s. offered, achieved, errors: requests/s (intended
    in the bin; succeeded, failed in the bin); errors_by_class: a row each of error_classes.
    in_flight: mean number, from intended send to end.  vector_per_s: empty where none was asked.
    """

    bin_s: float
    window_s: float
    t_s: tuple[float, ...] = ()
    offered_req_per_s: tuple[float, ...] = ()
    achieved_req_per_s: tuple[float, ...] = ()
    errors_req_per_s: tuple[float, ...] = ()
    in_flight: tuple[float, ...] = ()
    output_tok_per_s: tuple[float, ...] = ()
    vector_per_s: tuple[float, ...] = ()
    error_classes: tuple[str, ...] = ()
    errors_by_class: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Curve:
    """A distribution as points. kind `nines`: x = 1 - p, falling; `cdf`: x = p, rising.

    value: the quantile (inf: not reached).  low, high: pointwise 95 % interval, empty for `cdf`.
    population: `valid` (failures = infinity), `success`, or `gaps`.
    """

    metric: str
    kind: Literal["nines", "cdf"]
    unit: str
    population: str
    n: int
    x: tuple[float, ...]
    value: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class UptimeWindow:
    """One availability window. is_up: None where it saw no valid request, or where those that had
    no answer yet when the client ended could decide it; its counts are then 0.

    by_class: (error class, count) of every failure in it, those of the client's own making too.
    """

    start_s: float
    num_valid: int
    num_bad: int
    is_up: bool | None
    by_class: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class CutPart:
    """What a former attempt at a point had seen before its client was lost, killed or stopped.

    t0_ns, wall_ns: as of the point's meta.  window_s: until the client's last sign of life.
    windows: those that are wholly on record.  left_out: why none of them counts; empty where they
    do.
    """

    t0_ns: int
    window_s: float
    windows: tuple[UptimeWindow, ...] = ()
    wall_ns: int | None = None
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class GoodWindow:
    """One window of a pooled point: good of valid requests, what they are worth, its backlog.

    is_stopped: ended by stop.max_error_rate.
    """

    num_good: int
    num_valid: int
    n_eff: float
    is_stable: bool
    is_stopped: bool = False


@dataclass(frozen=True, slots=True)
class PointSummary:
    """Everything a reader of one point may ask for.

    estimates: with two-sided 95 % intervals.  bounds: the same statistics with level 0.90, whose
    low and high are the one-sided 95 % bounds that verdicts use.  validity: pass or invalid.
    is_stable: False when the offered load exceeded capacity (latency is then withheld).
    backlog: in-flight requests at the start and the end of the window.
    counts: of requests in the window: `requests valid success failed throttled cancelled cut
    client_fault one_token no_tpot no_visible skipped_<metric>`.
    good_parts: (good, valid) requests of each tenth of the window; empty without a limit.
    good_windows: of several windows pooled, what each says of its share of good requests.
    slo_grids: counts under other limits, of the points of an open load's sweep.  little: both sides
    of Little's law, None where no request ended.
    usage: what a bill counts; None in summaries of before there was one.
    heatmap: when it was slow.  waterfall: where single requests spent their time.
    before: former attempts at a point of an uptime run, whose windows count beside its own.
    """

    meta: PointMeta
    estimates: tuple[Estimate, ...]
    bounds: tuple[Estimate, ...]
    checks: tuple[Check, ...]
    validity: Outcome
    is_stable: bool
    backlog: tuple[float, float]
    counts: dict[str, int]
    errors: tuple[ErrorRow, ...]
    class_rows: tuple[ClassRow, ...]
    series: Series
    curves: tuple[Curve, ...]
    uptime_windows: tuple[UptimeWindow, ...] = ()
    server: ServerSide = field(default_factory=ServerSide)
    good_parts: tuple[tuple[int, int], ...] = ()
    good_windows: tuple[GoodWindow, ...] = ()
    slo_grids: tuple[SloGrid, ...] = ()
    little: Little | None = None
    usage: Usage | None = None
    heatmap: Heatmap | None = None
    waterfall: Waterfall | None = None
    before: tuple[CutPart, ...] = ()

    @property
    def is_valid(self) -> bool:
        return self.validity is not Outcome.INVALID

    @property
    def invalid_reasons(self) -> tuple[str, ...]:
        return tuple(check.sentence for check in self.checks if check.status == "invalid")

    @property
    def notices(self) -> tuple[Check, ...]:
        """The checks that are not ok, the gravest first."""
        order = ("invalid", "absent", "notice")
        raised = [check for check in self.checks if check.status != "ok"]
        return tuple(sorted(raised, key=lambda check: order.index(check.status)))

    def is_whole(self, scope: str = "all") -> bool:
        """Whether the answers of a scope came whole: they have an end and no first token."""
        times = (self.find(metric, "p50", scope=scope) for metric in ("ttft", "e2e_latency"))
        ttft, end = times
        return ttft is None and end is not None

    def find(
        self, metric: str, stat: str, *, scope: str = "all", population: str | None = None
    ) -> Estimate | None:
        """The estimate with its 95 % interval; without a population the first that matches."""
        return _find(self.estimates, metric, stat, scope, population)

    def bound(
        self, metric: str, stat: str, *, scope: str = "all", population: str | None = None
    ) -> Estimate | None:
        """As find, with low and high the one-sided 95 % bounds."""
        return _find(self.bounds, metric, stat, scope, population)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SUMMARY_SCHEMA,
            "meta": self.meta.to_json(),
            "estimates": [e.to_json() for e in self.estimates],
            "bounds": [e.to_json() for e in self.bounds],
            "validity": self.validity.value,
            "is_stable": self.is_stable,
            "backlog": list(self.backlog),
            "counts": dict(self.counts),
            "checks": [to_plain(asdict(c)) for c in self.checks],
            "errors": [to_plain(asdict(e)) for e in self.errors],
            "class_rows": [to_plain(asdict(c)) for c in self.class_rows],
            "series": to_plain(asdict(self.series)),
            "curves": [to_plain(asdict(c)) for c in self.curves],
            "uptime_windows": [to_plain(asdict(w)) for w in self.uptime_windows],
            "server": self.server.to_json(),
            "good_parts": [list(part) for part in self.good_parts],
            "good_windows": [asdict(w) for w in self.good_windows],
            "slo_grids": [to_plain(asdict(g)) for g in self.slo_grids],
            "little": asdict(self.little) if self.little else None,
            **({"usage": self.usage.to_json()} if self.usage else {}),
            "heatmap": to_plain(asdict(self.heatmap)) if self.heatmap else None,
            "waterfall": to_plain(asdict(self.waterfall)) if self.waterfall else None,
            **({"before": [to_plain(asdict(b)) for b in self.before]} if self.before else {}),
        }

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> PointSummary:
        return cls(
            meta=PointMeta.from_json(row["meta"]),
            estimates=tuple(Estimate.from_json(e) for e in row["estimates"]),
            bounds=tuple(Estimate.from_json(e) for e in row["bounds"]),
            checks=tuple(Check(**from_plain(c)) for c in row["checks"]),
            validity=Outcome(row["validity"]),
            is_stable=row["is_stable"],
            backlog=(row["backlog"][0], row["backlog"][1]),
            counts=dict(row["counts"]),
            errors=tuple(ErrorRow(**from_plain(e)) for e in row["errors"]),
            class_rows=tuple(ClassRow(**from_plain(c)) for c in row["class_rows"]),
            series=Series(**from_plain(row["series"])),
            curves=tuple(Curve(**from_plain(c)) for c in row["curves"]),
            uptime_windows=tuple(UptimeWindow(**from_plain(w)) for w in row["uptime_windows"]),
            server=ServerSide.from_json(row.get("server", {})),
            good_parts=tuple((good, valid) for good, valid in row.get("good_parts", ())),
            good_windows=tuple(GoodWindow(**from_plain(w)) for w in row.get("good_windows", ())),
            slo_grids=tuple(SloGrid(**from_plain(g)) for g in row.get("slo_grids", ())),
            little=Little(**row["little"]) if row.get("little") else None,
            usage=Usage.from_json(row["usage"]) if row.get("usage") else None,
            heatmap=Heatmap(**from_plain(row["heatmap"])) if row.get("heatmap") else None,
            waterfall=_waterfall(row["waterfall"]) if row.get("waterfall") else None,
            before=tuple(_cut_part(b) for b in row.get("before", ())),
        )


def _find(
    among: Iterable[Estimate], metric: str, stat: str, scope: str, population: str | None
) -> Estimate | None:
    for e in among:
        if (e.metric, e.stat, e.scope) == (metric, stat, scope) and (
            population is None or e.population == population
        ):
            return e
    return None


def _waterfall(row: dict[str, Any]) -> Waterfall:
    chosen = (tuple(Passage(**from_plain(p)) for p in row[name]) for name in ("slowest", "random"))
    return Waterfall(row["num_requests"], *chosen)


def _cut_part(row: dict[str, Any]) -> CutPart:
    windows = tuple(UptimeWindow(**from_plain(w)) for w in row["windows"])
    return CutPart(**{**row, "windows": windows})
