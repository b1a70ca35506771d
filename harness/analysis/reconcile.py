"""The client's account against the server's: requests, tokens, and the time between them.

Counters of `/metrics` are taken over the whole point, from the reading before the load to the one
after it, and held against every row of the point: warm-up and cool-down too, since the server
counted them. A difference above 1 % is a notice: rows were lost, or somebody else uses the server.
Per request, `wire_overhead` is what the client's time to first token has beyond the server's own;
below zero it would deny one of the two clocks, so on one machine that voids the point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.frame import BoolArray, FloatArray, Frame, elapsed_s
from harness.analysis.point_meta import PointMeta
from harness.analysis.quantiles import Sample
from harness.analysis.server_series import Readings
from harness.analysis.server_summary import Agreement, Comparison, ServerSide
from harness.analysis.steady_state import in_flight_means
from harness.analysis.summary import Check, CheckStatus
from harness.analysis.timings import rate_limits, read_timings, server_ttft_s
from harness.units import format_seconds

MAX_DIFFERENCE = 0.01
MIN_OVERHEADS = 20  # below, p01 is the smallest value: said, never judged


@dataclass(frozen=True, slots=True)
class Reconciled:
    """server_ttft_s: [n] by the server's own clock, NaN where it did not tell."""

    side: ServerSide
    checks: tuple[Check, ...]
    server_ttft_s: FloatArray


def reconcile(frame: Frame, server: Readings, meta: PointMeta) -> Reconciled:
    """Everything both sides know, side by side."""
    told = read_timings(frame.timings)
    theirs_s = server_ttft_s(told)
    comparisons = [*_counters(frame, server), *_gauges(frame, server, meta)]
    comparisons += _first_token(frame, theirs_s)
    side = ServerSide(
        name=server.server,
        num_readings=server.num_readings,
        comparisons=tuple(comparisons),
        series=server.shown(meta.t0_ns),
        rate_limits=rate_limits(told, frame.is_measured),
        speculation=server.speculation(),
    )
    checks = [_agreement(c) for c in comparisons if c.status != "shown"]
    return Reconciled(side, (*checks, *_overhead_check(frame, theirs_s, meta)), theirs_s)


def wire_overhead(frame: Frame, theirs_s: FloatArray, scope: str) -> list[Sample]:
    """ttft_service less the server's frontend, queue and prefill, seconds; successes of the window.

    Denominator: successes whose server told its times; none: no sample.
    """
    chosen = _judged(frame, theirs_s) & frame.scope(scope)
    if not chosen.any():
        return []
    return [Sample("wire_overhead", "s", _overhead_s(frame, theirs_s)[chosen], scope, "success")]


def _judged(frame: Frame, theirs_s: FloatArray) -> BoolArray:
    known = np.isfinite(_overhead_s(frame, theirs_s))
    return np.asarray(frame.is_measured & frame.is_success & known)


def _overhead_s(frame: Frame, theirs_s: FloatArray) -> FloatArray:
    return np.asarray(elapsed_s(frame.first_token_s, frame.sent_s) - theirs_s)


def _ended(frame: Frame) -> BoolArray:
    """[n] answers that came whole: to the server an unfit one is like any other."""
    return np.asarray(frame.is_success | frame.is_class("invalid_output"))


def _counters(frame: Frame, server: Readings) -> list[Comparison]:
    """Counts over the whole point; ours over every row that the server may have counted."""
    ended = _ended(frame)
    n_in, unknown_in = _sum(frame.n_in, ended)
    n_out, unknown_out = _sum(frame.n_out, ended & frame.is_streamed)
    # what a stream brought before it broke was counted by the server too
    broken = np.where(np.isfinite(frame.n_out), frame.n_out, 0.0)
    partial = np.bincount(frame.chunk_owner, frame.chunk_tok, len(frame))
    n_out += float(np.maximum(broken, partial)[~ended].sum())
    rows = [
        ("output_tok", "output tokens, whole point", "tok", n_out, unknown_out),
        ("prompt_tok", "prompt tokens, whole point", "tok", n_in, unknown_in),
    ]  # fmt: skip
    found = _finished(frame, server)
    if not frame.has_tokens("all"):  # of recordings not even the input is counted
        rows = rows[1:] if np.isnan(frame.audio_s).any() else []
    for metric, title, unit, ours, unknown in rows:
        theirs = server.increase(metric)
        if theirs is None:
            continue
        note = f"{unknown} answers came without a count" if unknown else ""
        # broken streams leave prompts and half answers behind that only the server counts
        is_clear = not unknown and bool(ended.all())
        found.append(_compare(metric, title, unit, ours, theirs, note, is_judged=is_clear))
    found += _server_only(server, frame)
    return found


def _finished(frame: Frame, server: Readings) -> list[Comparison]:
    """Requests the server finished: every answer of ours that ended, and no more than we sent.

    What broke on its way, or whose user left, may be a success to the server: between the two
    bounds it is in agreement, and beyond them the difference is that from the nearer one.
    """
    ended = _ended(frame)
    theirs = server.increase("requests_success")
    if theirs is None:
        return []
    was_sent = np.isfinite(frame.sent_s)
    # some servers count each text of a batch
    texts = np.maximum(np.nan_to_num(frame.num_vectors, nan=1.0), 1.0)
    least, most = float(ended.sum()), float(texts[was_sent].sum())
    found = _compare(
        "requests_success", "requests finished, whole point", "count", least, theirs, "",
        is_judged=True,
    )  # fmt: skip
    if found.status == "ok" or not least < theirs <= most * (1 + MAX_DIFFERENCE):
        return [found]
    lost = float(was_sent.sum()) - least
    note = f"{lost:,.0f} requests did not end well for the client; the server may differ"
    if theirs > float(was_sent.sum()):
        note = f"the server counts each of {most:,.0f} texts; the client the requests they came in"
    return [replace(found, status="ok", note=note)]


def _server_only(server: Readings, frame: Frame) -> list[Comparison]:
    """What only the server counts, and the share of prompts in its cache beside ours."""
    found = []
    hits, queries = server.increase("prefix_hit_tok"), server.increase("prefix_query_tok")
    if hits is not None and queries:
        told = frame.is_success & np.isfinite(frame.cached_tok) & np.isfinite(frame.n_in)
        total = float(frame.n_in[told].sum())
        ours = float(frame.cached_tok[told].sum()) / total if total else None
        found.append(
            Comparison(
                "cached", "prompt tokens found in the cache", "ratio", ours, hits / queries,
                note="the client's from usage",
            )
        )  # fmt: skip
    accepted, drafted = server.increase("spec_accepted_tok"), server.increase("spec_draft_tok")
    if accepted is not None and drafted:
        share = accepted / drafted
        found.append(Comparison("accepted", "draft tokens accepted", "ratio", None, share))
    preempted = server.increase("preemptions")
    if preempted is not None:
        found.append(Comparison("preemptions", "preemptions", "count", None, preempted))
    energy = server.increase("gpu_energy_j")
    if energy is not None:
        found.append(Comparison("energy", "GPU energy, whole point", "J", None, energy))
    return found


def _gauges(frame: Frame, server: Readings, meta: PointMeta) -> list[Comparison]:
    """Mean requests in flight over the window: what a proxy holds back shows as the difference."""
    running = server.mean("running", meta.t0_ns, meta.t1_ns)
    if running is None:
        return []
    waiting = server.mean("waiting", meta.t0_ns, meta.t1_ns) or 0.0
    ours = float(in_flight_means(frame, np.array([0.0, frame.window_s]))[0])
    return [
        _compare("in_flight", "requests in flight, mean", "count", ours, running + waiting,
                 "the server's at its readings", is_judged=False)
    ]  # fmt: skip


def _first_token(frame: Frame, theirs_s: FloatArray) -> list[Comparison]:
    """Median time to first token on both sides, over the same requests."""
    chosen = _judged(frame, theirs_s)
    if not chosen.any():
        return []
    ours = float(np.median(elapsed_s(frame.first_token_s, frame.sent_s)[chosen]))
    return [
        _compare("ttft_service", "TTFT p50, from actual send", "s", ours,
                 float(np.median(theirs_s[chosen])), "the server's frontend + queue + prefill",
                 is_judged=False)
    ]  # fmt: skip


def _compare(
    metric: str, title: str, unit: str, ours: float, theirs: float, note: str, *, is_judged: bool
) -> Comparison:
    difference = theirs / ours - 1 if ours else (None if theirs else 0.0)
    status: Agreement = "shown"
    if is_judged:
        agrees = difference is not None and abs(difference) <= MAX_DIFFERENCE
        status = "ok" if agrees else "notice"
    return Comparison(metric, title, unit, ours, theirs, difference, status, note)


def _agreement(c: Comparison) -> Check:
    """Whether both counts are one."""
    told = ""
    if c.status == "notice":
        told = (
            f"the server counted {c.server:,.0f} {c.title.partition(',')[0]} over the point, the"
            f" client {c.client:,.0f}: others use this server, or something was lost on the way"
        )
    gap = None if c.difference is None else abs(c.difference)
    return Check(
        f"agree_{c.id}", f"client against server: {c.title.partition(',')[0]}", gap, "ratio",
        MAX_DIFFERENCE, None, "notice" if c.status == "notice" else "ok", told,
    )  # fmt: skip


def _overhead_check(frame: Frame, theirs_s: FloatArray, meta: PointMeta) -> list[Check]:
    """The server cannot have needed longer than the client waited."""
    values = _overhead_s(frame, theirs_s)[_judged(frame, theirs_s)]
    if not len(values):
        return []
    p01 = float(np.quantile(values, 0.01))
    status: CheckStatus = "ok"
    if p01 < 0 and len(values) >= MIN_OVERHEADS:
        status = "invalid" if meta.is_local_target else "notice"
    told = (
        f"the server's own time to first token exceeds the client's by {format_seconds(-p01)} at"
        " p01: one of the two measures wrongly; please report it with the run directory"
    )
    return [
        Check("wire_overhead", "wire overhead p01", p01, "s", None,
              0.0 if meta.is_local_target else None, status, told if status != "ok" else "")
    ]  # fmt: skip


def _sum(values: FloatArray, chosen: BoolArray) -> tuple[float, int]:
    """Of the chosen requests: the sum, and how many did not tell."""
    told = chosen & np.isfinite(values)
    return float(values[told].sum()), int((chosen & ~told).sum())
