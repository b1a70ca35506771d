"""The checks a measurement must pass to be believed, as one table.

`notice`: the verdict stands. `absent`: the named metrics are withheld, rules on them stay open.
`invalid`: no verdict for the point. A scenario's `validity` block moves the limits it names.
Saturation is a finding, not a fault: it withholds latency, and arrivals held back or unsent because
of it do not void the point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.analysis import _evidence as ask
from harness.analysis._evidence import Evidence
from harness.analysis.censoring import MAX_CUT_RATIO
from harness.analysis.steady_state import Z_LIMIT
from harness.analysis.summary import Check, CheckStatus
from harness.units import format_seconds, significant

LATENCIES = (
    "ttft", "ttft_service", "ttfv", "e2e_latency", "e2e_latency_service", "tpot", "itl", "icl",
    "max_stall", "output_tok_per_s_per_user", "time_to_first_argument", "time_to_tool_call", "rtf",
)  # fmt: skip
_TTFT = ("ttft", "ttft_service", "ttfv")
_GAPS = ("icl", "itl", "max_stall")
_COUNTED = (
    "output_tok_per_s", "valid_tok_per_s", "wasted_tok_per_s", "tpot", "itl",
    "output_tok_per_s_per_user",
)  # fmt: skip
_END = ("e2e_latency", "e2e_latency_service")
_TPOT = ("tpot", "output_tok_per_s_per_user")


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table. `why` follows "<title> <value> (limit <limit>): "."""

    code: str
    title: str
    unit: str
    measure: Callable[[Evidence], float | None]
    notice: float | None
    worse: float | None
    worse_is: CheckStatus
    why: str
    withholds: tuple[str, ...] = ()
    is_minimum: bool = False


MIN_BEYOND = 10  # observations beyond a quantile that is printed
_INVALID: CheckStatus = "invalid"
_ABSENT: CheckStatus = "absent"
_TABLE = (
    _Row("client_cpu", "load worker CPU", "ratio", lambda e: e.health.cpu_ratio, 0.7, 0.9, _INVALID,
         "a busy client measures itself; add workers or lower the load"),
    _Row("arrivals", "fit of the arrival process (p)", "ratio", ask.arrivals_p, 0.01, None,
         _INVALID, "this schedule is an unlikely draw of its process; try another seed",
         is_minimum=True),
    _Row("extra_arrivals", "requests beyond the schedule", "count", ask.extra_arrivals, None, 0,
         _INVALID, "something sent more than was planned; please report it"),
    _Row("receive_lag", "receive lag p99", "s", ask.receive_lag_p99_s, 0.005, 0.05, _INVALID,
         "the client read late; add workers"),
    _Row("hub_lag", "event loop lag p99", "s", ask.hub_lag_p99_s, 0.002, 0.01, _INVALID,
         "without kernel stamps every latency carries it; add workers"),
    _Row("uncertain_chunks", "chunks with an uncertain stamp", "ratio", ask.uncertain_chunks,
         0.01, 0.05, _ABSENT, "chunks arrived while the client was busy; add workers", _GAPS),
    _Row("uncertain_first", "first tokens with an uncertain stamp", "ratio", ask.uncertain_first,
         0.01, 0.05, _ABSENT, "first tokens arrived while the client was busy; add workers", _TTFT),
    _Row("coalesced", "chunks a receive", "count", ask.events_per_receive, None, 1.5, _ABSENT,
         "a proxy or the server batches chunks, so gaps are not the model's", ("itl",)),
    _Row("clock_step", "clock step", "s", lambda e: e.health.clock_step_s, 50e-6, None, _INVALID,
         "the wall clock was set; latencies use the monotonic clock and stand"),
    _Row("clock_slew", "clock slew", "ppm", lambda e: e.health.slew_ppm, 200, None, _INVALID,
         "the clock is being pulled; durations are off by that much"),
    _Row("suspend", "time this machine slept", "s", lambda e: e.health.suspend_s, None, 0.01,
         _INVALID, "it was suspended during the point, and the monotonic clock with it"),
    _Row("clock_drift", "drift of a load host's clock", "ppm", lambda e: e.health.clock_drift_ppm,
         50, None, _INVALID, "its rate was off by that much; series were put on one axis"),
    _Row("clock_uncertainty", "uncertainty of a load host's clock", "s",
         lambda e: e.health.clock_uncertainty_s, 0.001, None, _INVALID,
         "hosts agree on the order of events no better; latencies are each host's own and stand"),
    _Row("stamp_kinds", "kinds of receive stamps among workers", "count",
         lambda e: e.health.stamp_kinds, 1, None, _INVALID,
         "some load hosts have kernel stamps and others none; their latencies differ by that"),
    _Row("cached", "cached share of unique prompts", "ratio", ask.cached_ratio, 0.05, 0.20, _ABSENT,
         "a cache knew prompts meant to be new, so ttft is too good", _TTFT),
    _Row("output_length", "output length off the asked", "ratio", ask.output_mismatch, 0.01, None,
         _INVALID, "answers are not as long as planned; compare only runs that agree"),
    _Row("input_length", "input length off the asked", "ratio", ask.input_mismatch, 0.02, None,
         _INVALID, "prompts are not as long as planned; name the model's tokenizer in tokens"),
    _Row("missing_counts", "successes without a token count", "ratio", ask.missing_counts,
         0.0, 0.1, _ABSENT, "the server tells no usage; give tokens a tokenizer", _COUNTED),
    _Row("missing_input_counts", "whole answers without an input token count", "ratio",
         ask.missing_input_counts, 0.0, 0.1, _ABSENT,
         "the server tells no usage, so what it read is not known", ("input_tok_per_s",)),
    _Row("estimated_counts", "successes with an estimated token count", "ratio",
         ask.estimated_counts, 0.0, None, _ABSENT,
         "the server tells no usage, tokens were counted here"),
    _Row("token_discrepancy", "server's token counts against ours, median", "ratio",
         ask.token_discrepancy, 0.02, 0.1, _ABSENT,
         "the server counts other tokens than the tokenizer given; its counts are used; name the"
         " model's own tokenizer.json", _COUNTED),
    _Row("without_tpot", "successes without tpot", "ratio", ask.without_tpot, 0.1, 0.5, _ABSENT,
         "answers of one token or one chunk have none; it describes the others only", _TPOT),
    _Row("sample_size", "requests beyond the highest quantile limited", "count",
         ask.beyond_highest, MIN_BEYOND, None, _ABSENT,
         "that quantile is not printed and its rule stays inconclusive; lengthen load.duration",
         is_minimum=True),
    _Row("rtt", "round trip against ttft p50", "ratio", ask.rtt_ratio, 0.1, None, _ABSENT,
         "the network is a visible part of ttft; it is never subtracted"),
    _Row("client_fault", "client faults", "ratio", ask.client_faults, 0.001, 0.01, _INVALID,
         "our own side failed; see the errors table"),
    _Row("keep_alive", "kept connections closed by the server, a request", "ratio",
         ask.dropped_ratio, 0.05, None, _INVALID,
         "requests wait for a new connection, which lies inside ttft; raise the server's keep-alive"
         " timeout"),
    _Row("cut", "requests cut by the end of the run", "ratio", ask.cut_ratio, 0.0, MAX_CUT_RATIO,
         _ABSENT, "they never ended; lengthen load.drain", _END),
    _Row("gc_pause", "longest garbage collection pause", "s", lambda e: e.health.gc_pause_max_s,
         0.005, None, _INVALID, "stamps by the process itself may be late by that much"),
    _Row("steal", "CPU time stolen from this machine", "ratio", lambda e: e.health.steal_ratio,
         0.02, None, _INVALID, "other guests disturb the client; prefer a quiet machine"),
    _Row("retransmits", "TCP retransmits", "ratio", lambda e: e.health.retransmit_ratio,
         0.001, None, _INVALID,
         "our connections sent segments again; on a network that shows as stalls"),
    _Row("fault_injected", "answers with an injected fault", "count", ask.injected_faults, 0, None,
         _INVALID, "the target was told to misbehave; this run must never be a baseline"),
)  # fmt: skip


def run_checks(evidence: Evidence) -> tuple[Check, ...]:
    """Every check, in the order the report lists them."""
    e = evidence
    rows = [
        _Row("min_requests", "valid requests in the window", "count", ask.num_valid, None,
             e.meta.validity.min_requests, _INVALID,
             "too few to judge; lengthen load.duration or look at the errors", is_minimum=True),
        _Row("min_duration", "measured window", "s", lambda x: x.meta.window_s, None,
             e.meta.validity.min_duration, _INVALID, "too short; lengthen load.duration",
             is_minimum=True),
        _Row("send_lag", "send lag p99", "s", ask.send_lag_p99_s,
             min(0.001, e.meta.validity.max_send_lag.p99), e.meta.validity.max_send_lag.p99,
             _INVALID, "the client was late, not the server; free its cores or add workers"),
        _Row("sent", "sent of the scheduled", "ratio", ask.sent_ratio, 0.99, 0.97, _INVALID,
             "the client sent less than planned; add workers or lower the rate", is_minimum=True),
        _Row("blocked", "arrivals held by max_in_flight", "count",
             lambda x: float(x.health.num_blocked), None, e.meta.validity.max_blocked, _INVALID,
             "the loop was closed by the client; raise load.max_in_flight or the descriptor limit"),
        *_TABLE,
    ]  # fmt: skip
    checks = [_partial(e), *(_check(_own_limits(row, e), e) for row in rows)]
    return tuple(
        _excuse(check, e)
        for check in [*checks, *_stationarity(e), *_stopped(e), _closed(e), _seen(e)]
    )


def _own_limits(row: _Row, e: Evidence) -> _Row:
    """The limits of the fixed table that a scenario may move; a notice comes no later."""
    own = {"client_cpu": e.meta.cpu_limit, "receive_lag": e.meta.validity.max_receive_lag.p99}
    limit = own.get(row.code)
    if limit is None or row.notice is None:
        return row
    return replace(row, notice=min(row.notice, limit), worse=limit)


def _check(row: _Row, e: Evidence) -> Check:
    value = row.measure(e)
    status: CheckStatus = "ok"
    limit = None
    if value is not None:
        for bound, grade in ((row.worse, row.worse_is), (row.notice, "notice")):
            if bound is not None and (value < bound if row.is_minimum else value > bound):
                status, limit = grade, bound
                break
    sentence = ""
    if status != "ok" and value is not None and limit is not None:
        seen, allowed = format_value(value, row.unit), format_value(limit, row.unit)
        sentence = f"{row.title} {seen} (limit {allowed}): {row.why}"
    withheld = row.withholds if status == "absent" else ()
    return Check(
        row.code, row.title, value, row.unit, row.notice, row.worse, status, sentence, withheld
    )


def format_value(value: float, unit: str) -> str:
    """For people: `31 ms`, `4.1%`, `12`."""
    if unit == "s":
        return format_seconds(value)
    if unit == "ratio":
        return f"{significant(value * 100)}%"
    if unit == "ppm":
        return f"{value:.0f} ppm"
    return f"{value:,.0f}" if float(value).is_integer() else significant(value)


def _partial(e: Evidence) -> Check:
    sentence = "the point was not measured to its end; finish it with harness run --resume"
    partial = e.meta.is_partial
    status: CheckStatus = "invalid" if partial else "ok"
    told = sentence if partial else ""
    return Check("partial", "complete", float(partial), "count", None, 0, status, told)


def _stationarity(e: Evidence) -> list[Check]:
    """Drift is a notice, or what the scenario makes of it; overload withholds latency."""
    steady, mode = e.steady, e.meta.validity.steady_state
    grade: dict[str, CheckStatus] = {"required": "invalid", "warn": "notice", "off": "ok"}
    status: CheckStatus = grade[mode] if steady.is_drifting and not steady.is_unstable else "ok"
    told = (
        f"the window drifts (Mann-Kendall z {steady.z:.1f}, limit {Z_LIMIT}): early and late"
        " requests met different conditions; lengthen load.warmup or lower the load"
    )
    drift = Check(
        "steady_state", "steady state (z)", steady.z, "z", Z_LIMIT,
        Z_LIMIT if mode == "required" else None, status, told if status != "ok" else "",
    )  # fmt: skip
    before, after = steady.backlog
    overload = (
        f"offered more than the capacity: requests in flight grew from {before:.0f} to"
        f" {after:.0f}, so latency would only tell how long the test was; lower load.rate"
    )
    capacity = Check(
        "capacity", "growth of requests in flight", steady.growth_req, "count", None,
        steady.allowed_req if e.meta.kind == "open" else None,
        "absent" if steady.is_unstable else "ok",
        overload if steady.is_unstable else "",
        LATENCIES if steady.is_unstable else (),
    )  # fmt: skip
    return [drift, capacity]


def _stopped(e: Evidence) -> list[Check]:
    """A point that a breaker ended is shorter than it was asked for, and says so."""
    if not e.meta.stopped_by:
        return []
    told = f"{e.meta.stopped_said}; the window ended after {format_seconds(e.meta.window_s)}"
    return [Check("stopped", "ended by a breaker", 1.0, "count", 0, None, "notice", told)]


def _closed(e: Evidence) -> Check:
    is_closed = e.meta.kind == "closed"
    told = (
        f"closed loop with {e.meta.concurrency} users, each waiting for its answer: no evidence"
        " for a rate or a capacity; use load.kind open for that"
    )
    status: CheckStatus = "notice" if is_closed else "ok"
    return Check(
        "closed_loop", "closed loop", float(is_closed), "count", 0, None, status,
        told if is_closed else "",
    )  # fmt: skip


def _seen(e: Evidence) -> Check:
    """A client that left no row of its own health has not proven it."""
    count = float(e.health.num_rows)
    is_silent = count == 0
    told = "the load workers left no record of their own health: it is unproven"
    return Check(
        "client_rows", "health rows of the client", count, "count", 1, None,
        "notice" if is_silent else "ok", told if is_silent else "",
    )  # fmt: skip


def _excuse(check: Check, e: Evidence) -> Check:
    """What an overloaded target did to the client's sending is the target's doing.

    Only where max_in_flight held arrivals back: a client that was late by itself stays invalid.
    """
    caused = e.steady.is_unstable and e.health.num_blocked > e.meta.validity.max_blocked
    why = ""
    if caused and check.code in ("send_lag", "sent", "blocked"):
        why = "here because the target was overloaded"
    elif e.meta.stopped_by and check.code in ("min_requests", "min_duration"):
        why = f"here because stop.{e.meta.stopped_by} ended the point"
    elif e.steady.is_unstable and check.code == "min_requests":
        why = "here because the backlog grew and was cut"
    if not why or check.status != "invalid":
        return check
    return Check(
        check.code, check.title, check.value, check.unit, check.limit_notice, check.limit_invalid,
        "notice", f"{check.sentence} ({why})",
    )  # fmt: skip
