"""Every check of the validity table: below its limits, at a notice, and at its worst."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis import analyse_point
from harness.analysis.client_health import pooled_p99_s
from harness.scenario.document import Validity

NUM = 400


def healthy(rows, num=NUM):
    """40 req/s for 10 s, half a second each, ten tokens."""
    made = []
    for i in range(num):
        at = i * 10 / num
        chunks = [at + 0.1 + 0.04 * k for k in range(10)]
        made.append(rows.row(at, chunks, asked_in=10, asked_out=10))
    return made


def analyse(rows, made, clients=None, **meta):
    table = rows.clients() if clients is None else clients
    fields = {"num_scheduled": NUM, "unique_classes": ("chat",), "rtt_s": 0.001} | meta
    return analyse_point(rows.requests(made), table, rows.meta(10, **fields))


def status(summary, code):
    return next(c.status for c in summary.checks if c.code == code)


def share(made, ratio, **columns):
    """Change the given columns of that share of the rows, spread evenly."""
    step = round(1 / ratio)
    return [{**r, **columns} if i % step == 0 else r for i, r in enumerate(made)]


def test_a_healthy_measurement_raises_nothing(rows):
    found = analyse(rows, healthy(rows))
    assert found.notices == ()
    assert found.is_valid
    assert found.find("itl", "p50").value == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("code", "columns", "expected"),
    [
        ("client_cpu", {"cpu_ratio": 0.75}, "notice"),
        ("client_cpu", {"cpu_ratio": 0.95}, "invalid"),
        ("suspend", {"suspend_ns": 900_000}, "ok"),  # two clocks are never read at one instant
        ("suspend", {"suspend_ns": 45_000_000_000}, "invalid"),
        ("receive_lag", {"recv_lag_p99_ns": 8_000_000, "recv_lag_max_ns": 9_000_000}, "notice"),
        ("receive_lag", {"recv_lag_p99_ns": 80_000_000, "recv_lag_max_ns": 90_000_000}, "invalid"),
        ("clock_step", {"clock_step_ns": 1_000_000_000}, "notice"),
        ("clock_slew", {"slew_ppm": -300.0}, "notice"),
        ("gc_pause", {"gc_pause_max_ns": 6_000_000}, "notice"),
        ("steal", {"steal_ratio": 0.05}, "notice"),
        ("retransmits", {"tcp_retransmits": 2}, "notice"),
        ("blocked", {"num_blocked": 1}, "invalid"),
    ],
)
def test_the_client_s_health(rows, code, columns, expected):
    found = analyse(rows, healthy(rows), rows.clients(**columns))
    assert status(found, code) == expected
    assert found.is_valid == (expected != "invalid")


def test_hub_lag_matters_only_with_user_stamps(rows):
    busy = rows.clients(hub_lag_p99_ns=20_000_000)
    assert status(analyse(rows, healthy(rows), busy), "hub_lag") == "ok"
    assert status(analyse(rows, healthy(rows), busy, stamp_source="user"), "hub_lag") == "invalid"


@pytest.mark.parametrize(("lag_ms", "expected"), [(0.5, "ok"), (3, "notice"), (31, "invalid")])
def test_send_lag(rows, lag_ms, expected):
    made = [r | {"sent_ns": r["intended_ns"] + int(lag_ms * 1e6)} for r in healthy(rows)]
    found = analyse(rows, made)
    assert status(found, "send_lag") == expected
    if expected == "invalid":
        assert found.invalid_reasons[0].startswith("send lag p99 31.0 ms (limit 10.0 ms): the")


def test_opening_a_connection_is_not_the_client_s_lateness(rows):
    made = [
        r | {"sent_ns": r["intended_ns"] + 50_000_000, "tls_ns": 49_900_000} for r in healthy(rows)
    ]
    assert status(analyse(rows, made), "send_lag") == "ok"


def test_a_scenario_moves_its_limits(rows):
    made = [r | {"sent_ns": r["intended_ns"] + 31_000_000} for r in healthy(rows)]
    loose = Validity.model_validate({"max_send_lag": {"p99": "50ms"}, "min_requests": 500})
    found = analyse(rows, made, validity=loose)
    assert status(found, "send_lag") == "notice"
    assert status(found, "min_requests") == "invalid"
    late = rows.clients(recv_lag_p99_ns=80_000_000, recv_lag_max_ns=90_000_000)
    for limit, expected in (("1ms", "invalid"), ("70ms", "invalid"), ("85ms", "notice")):
        own = Validity.model_validate({"max_receive_lag": {"p99": limit}})
        assert status(analyse(rows, healthy(rows), late, validity=own), "receive_lag") == expected


@pytest.mark.parametrize(
    ("num_scheduled", "expected"), [(402, "ok"), (406, "notice"), (420, "invalid")]
)
def test_offered_against_achieved(rows, num_scheduled, expected):
    assert status(analyse(rows, healthy(rows), num_scheduled=num_scheduled), "sent") == expected


def test_more_requests_than_scheduled_is_invalid(rows):
    assert status(analyse(rows, healthy(rows), num_scheduled=399), "extra_arrivals") == "invalid"


def test_an_unlikely_schedule_is_a_notice(rows):
    assert status(analyse(rows, healthy(rows), realised={"ks_p": 0.001}), "arrivals") == "notice"


def test_uncertain_stamps_withhold_what_they_touch(rows):
    made = share(healthy(rows), 0.1, chunk_uncertain=[True] * 10)
    found = analyse(rows, made)
    assert status(found, "uncertain_chunks") == "absent"
    assert found.find("icl", "p50").value is None
    assert found.find("ttft", "p50").value is not None
    late_first = analyse(rows, share(healthy(rows), 0.1, first_uncertain=True))
    assert late_first.find("ttft", "p50").value is None
    assert late_first.find("icl", "p50").value is not None


def test_a_buffering_proxy_withholds_itl(rows):
    """Two events a receive: pairs of chunks share a stamp."""
    made = []
    for r in healthy(rows):
        paired = [r["chunk_ns"][k // 2 * 2] for k in range(10)]
        made.append(r | {"chunk_ns": paired})
    found = analyse(rows, made)
    assert status(found, "coalesced") == "absent"
    assert found.find("itl", "p50").value is None
    assert found.find("icl", "p50").value is not None


@pytest.mark.parametrize(("cached", "expected"), [(0, "ok"), (1, "notice"), (3, "absent")])
def test_a_cache_that_knows_unique_prompts(rows, cached, expected):
    found = analyse(rows, [r | {"cached_tok": cached} for r in healthy(rows)])
    assert status(found, "cached") == expected
    assert (found.find("ttft", "p50").value is None) == (expected == "absent")
    shared = analyse(rows, [r | {"cached_tok": 9} for r in healthy(rows)], unique_classes=())
    assert status(shared, "cached") == "ok"


def test_a_cached_chat_template_is_no_leak(rows):
    made = [r | {"cached_tok": 3} for r in healthy(rows)]
    assert status(analyse(rows, made, template_tok=3.0), "cached") == "ok"
    assert status(analyse(rows, made, template_tok=1.0), "cached") == "notice"


def test_answers_that_end_early_are_told(rows):
    made = [r | {"asked_out": 12} for r in healthy(rows)]
    found = analyse(rows, made)
    assert status(found, "output_length") == "notice"
    assert found.class_rows[0].asked_out_tok == 12
    assert found.class_rows[0].realised_out_tok == 10


def test_token_metrics_are_absent_without_counts(rows):
    found = analyse(rows, [r | {"n_out": None, "tok_source": "absent"} for r in healthy(rows)])
    assert status(found, "missing_counts") == "absent"
    assert found.find("output_tok_per_s", "rate").value is None
    assert found.find("tpot", "p50").value is None
    assert found.find("ttft", "p50").value is not None


def test_estimated_counts_are_said_to_be(rows):
    found = analyse(rows, [r | {"tok_source": "characters"} for r in healthy(rows)])
    assert status(found, "estimated_counts") == "notice"


def test_round_trip_is_shown_beside_ttft_never_subtracted(rows):
    far = analyse(rows, healthy(rows), rtt_s=0.05)
    assert status(far, "rtt") == "notice"
    assert far.find("ttft", "p50") == analyse(rows, healthy(rows)).find("ttft", "p50")


@pytest.mark.parametrize(("ratio", "expected"), [(1 / 200, "notice"), (1 / 50, "invalid")])
def test_our_own_faults(rows, ratio, expected):
    found = analyse(rows, share(healthy(rows), ratio, error_class="client_fault"))
    assert status(found, "client_fault") == expected
    assert found.find("error_rate", "ratio").value == 0


def test_injected_faults_are_told(rows):
    assert (
        status(analyse(rows, share(healthy(rows), 0.5, fault="slow")), "fault_injected") == "notice"
    )


def test_partial_points_have_no_verdict(rows):
    assert not analyse(rows, healthy(rows), is_partial=True).is_valid


def test_a_client_without_health_rows_is_told(rows):
    found = analyse(rows, healthy(rows), rows.clients(0))
    assert status(found, "client_rows") == "notice"


def test_closed_load_is_labelled(rows):
    found = analyse(rows, healthy(rows), kind="closed", concurrency=20, num_scheduled=None)
    assert status(found, "closed_loop") == "notice"
    assert "20 users" in next(c.sentence for c in found.checks if c.code == "closed_loop")


def overloaded(rows, num_blocked=0, lag_s=0.0):
    """Ever longer answers: request i stays until 10 + i / 40 s, whatever its start."""
    made = []
    for i in range(NUM):
        at, end = i / 40, 10 + i / 40
        made.append(rows.row(at, [end], sent=at + (i / 40 * lag_s)))
    return analyse(rows, made, rows.clients(num_blocked=num_blocked))


def test_saturation_is_a_finding_not_a_fault(rows):
    found = overloaded(rows)
    assert not found.is_stable
    assert found.is_valid
    assert found.backlog[1] > 390
    assert found.find("ttft", "p50").value is None
    assert "capacity" in found.find("ttft", "p50").reason
    assert all(c.metric not in ("ttft", "e2e_latency") for c in found.curves)


def test_arrivals_held_back_by_an_overloaded_target_do_not_void(rows):
    found = overloaded(rows, num_blocked=50, lag_s=0.1)
    assert found.is_valid
    assert {status(found, c) for c in ("send_lag", "blocked")} == {"notice"}


def test_a_client_that_was_late_by_itself_is_no_excuse(rows):
    assert not overloaded(rows, lag_s=0.1).is_valid


@pytest.mark.parametrize(
    ("mode", "expected"), [("warn", "notice"), ("required", "invalid"), ("off", "ok")]
)
def test_drift_is_what_the_scenario_makes_of_it(rows, mode, expected):
    """Answers slow from 0.1 to 1.1 s: in flight grows from 4 to 44, no more than chance would."""
    made = [rows.row(i / 40, [i / 40 + 0.1 + i / NUM]) for i in range(NUM)]
    found = analyse(rows, made, validity=Validity(steady_state=mode))
    assert status(found, "steady_state") == expected
    assert found.is_stable


def test_receive_lag_is_pooled_not_averaged():
    """999 quiet seconds and a bad one: the p99 of all receives stays quiet."""
    p50, p99, top = np.full(1000, 1e-5), np.full(1000, 1e-4), np.full(1000, 3e-4)
    p50[0] = p99[0] = top[0] = 0.5
    pooled = pooled_p99_s(p50, p99, top, np.full(1000, 1000.0))
    assert pooled == pytest.approx(1e-4, rel=0.2)
    p50[:20] = p99[:20] = top[:20] = 0.5  # two in a hundred: now it is the p99
    assert pooled_p99_s(p50, p99, top, np.full(1000, 1000.0)) == pytest.approx(0.5, rel=0.01)
