"""Latency of requests, from the intended send: ttft, ttfv, e2e_latency, their service twins, lag.

    ttft          first_token - intended        ttft_service         first_token - sent
    ttfv          first_visible - intended      e2e_latency_service  end - sent
    e2e_latency   end - intended                send_lag             sent - intended
    rtf           (end - sent) / length of the audio sent

Denominator: requests intended in the window. Each latency twice: over successes, and over `valid`
with failures = infinity, which is what rules judge. One-token answers have every one of them.
A request that was retried counts once, by its last attempt and from its first intended send.
ttfv leaves out successes without visible text. A request that was cancelled or cut counts for
ttft when it saw a token; cut before its first token it is "not reached" over `valid`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.analysis.frame import BoolArray, FloatArray, Frame, elapsed_s
from harness.analysis.quantiles import Sample


@dataclass(frozen=True, slots=True)
class CensoredSample:
    """As Sample, with the requests still running at the end: their true value lies above."""

    sample: Sample
    is_cut: BoolArray


def latency_samples(frame: Frame, scope: str) -> list[Sample]:
    """All but the end-to-end latencies, each over both populations; send_lag over all sent.

    What answers whole has no first token: such requests are in none of these but the lag, and a
    scope of them alone has only that.
    """
    chosen = frame.is_measured & frame.is_last & frame.scope(scope)
    first_from_intended = elapsed_s(frame.first_token_s, frame.intended_s)
    first_from_sent = elapsed_s(frame.first_token_s, frame.sent_s)
    visible = elapsed_s(frame.first_visible_s, frame.intended_s)
    lag = elapsed_s(frame.sent_s, frame.intended_s)
    was_sent = frame.is_measured & frame.is_first & frame.scope(scope) & np.isfinite(lag)
    lags = [
        Sample("send_lag", "s", lag[was_sent], scope, "sent"), *rtf_samples(frame, chosen, scope)
    ]  # fmt: skip
    if not frame.has_tokens(scope):
        return lags
    chosen &= frame.is_streamed
    return [
        *_first_token("ttft", first_from_intended, frame, chosen, scope),
        *_first_token("ttft_service", first_from_sent, frame, chosen, scope),
        *failing_twice(
            "ttfv", visible, frame, chosen & ~(frame.is_success & np.isnan(visible)), scope
        ),
        *lags,
    ]


def rtf_samples(frame: Frame, chosen: BoolArray, scope: str) -> list[Sample]:
    """Real-time factor: end - sent over the audio's length, s/s; none where none was sent."""
    has_audio = np.nan_to_num(frame.audio_s) > 0
    if not (has_audio & frame.scope(scope)).any():
        return []
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = elapsed_s(frame.end_s, frame.sent_s) / frame.audio_s
    return failing_twice("rtf", factor, frame, chosen & has_audio, scope, "s/s")


def end_samples(frame: Frame, scope: str) -> list[CensoredSample]:
    """e2e_latency and e2e_latency_service over both populations, cut requests marked."""
    chosen = frame.is_measured & frame.is_last & frame.scope(scope)
    samples = []
    for metric, start_s in (
        ("e2e_latency", frame.intended_s),
        ("e2e_latency_service", frame.sent_s),
    ):
        latency = elapsed_s(frame.end_s, start_s)
        # cut before it could even be sent: censored at once
        latency = np.where(frame.is_cut & np.isnan(latency), 0.0, latency)
        for population, members in _populations(frame, chosen, with_cut=True):
            values = np.where(frame.is_failed, np.inf, latency)
            kept = members & ~np.isnan(values)
            sample = Sample(metric, "s", values[kept], scope, population)
            samples.append(CensoredSample(sample, frame.is_cut[kept]))
    return samples


def _first_token(
    metric: str, latency: FloatArray, frame: Frame, chosen: BoolArray, scope: str
) -> list[Sample]:
    saw_token = np.isfinite(latency)
    stopped = frame.is_class("cancelled") & saw_token
    cut_values = np.where(frame.is_cut & ~saw_token, np.inf, latency)
    values = np.where(frame.is_failed, np.inf, cut_values)
    success = chosen & (frame.is_success | stopped | (frame.is_cut & saw_token)) & saw_token
    valid = chosen & (frame.is_valid | stopped | frame.is_cut) & ~np.isnan(values)
    return [
        Sample(metric, "s", latency[success], scope, "success"),
        Sample(metric, "s", values[valid], scope, "valid"),
    ]


def failing_twice(
    metric: str, latency: FloatArray, frame: Frame, chosen: BoolArray, scope: str, unit: str = "s"
) -> list[Sample]:
    """Of the chosen requests over successes, and over `valid` with failures = infinity."""
    values = np.where(frame.is_failed, np.inf, latency)
    return [
        Sample(metric, unit, values[members & ~np.isnan(values)], scope, population)
        for population, members in _populations(frame, chosen)
    ]


def _populations(
    frame: Frame, chosen: BoolArray, with_cut: bool = False
) -> list[tuple[str, BoolArray]]:
    cut = chosen & frame.is_cut & with_cut
    return [
        ("success", (chosen & frame.is_success) | cut),
        ("valid", (chosen & frame.is_valid) | cut),
    ]
