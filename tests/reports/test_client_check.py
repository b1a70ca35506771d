"""The quality panel tells the client's own error: a sentence and two tables, in every form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.client_check import CheckedLoad, ClientCheck
from harness.analysis.client_error import Spread, StampError
from harness.decisions import Headline
from harness.estimate import Outcome
from reports import RunFacts, View, build_view, render_html, render_markdown
from reports._client_tables import ceiling_sentence, error_sentence, short

US = 1e-6
LATE = {"send_lag": "send lag p99 31 ms (limit 10 ms): the client was late"}
KERNEL = StampError(
    chunk=Spread(4_000, 3 * US, 41 * US, 180 * US, 2_000 * US),
    ttft=Spread(80, 4 * US, None, None, 60 * US),
    gap=Spread(3_920, 1 * US, 38 * US, 170 * US, 2_000 * US),
)
USER = StampError(
    chunk=Spread(4_000, 90 * US, 5_000 * US, 9_000 * US, 12_345 * US), ttft=None, gap=None
)


def load(streams: int, **changes: Any) -> CheckedLoad:
    base = CheckedLoad(
        streams=streams, tok_per_s=50.0, req_per_s=None, chunks_per_s=streams * 50.0,
        achieved_chunks_per_s=streams * 49.0, num_requests=80, num_unknown=0,
        stamp_source="kernel", kernel=KERNEL, user=USER, cpu_us_per_chunk=8.2, cpu_ratio=0.21,
        send_lag_p99_s=0.0004, receive_lag_p99_s=0.0009, hub_lag_p99_s=0.0003,
        uncertain_ratio=0.001, failed={},
    )  # fmt: skip
    return replace(base, **changes)


CHECK = ClientCheck((load(120), load(200, failed=LATE)), intended=0)


def view(check: ClientCheck | None) -> View:
    facts = RunFacts(
        run_id="r", scenario="s", description="", status="complete", duration_s=1.0,
        created_utc="2026-11-24T01:02:03+00:00", provenance={}, given_text="", resolved_text="",
        targets=(), reproduce="harness run s", client_check=check,
    )  # fmt: skip
    notices = check.notices if check else ()
    return build_view(facts, (), (), Outcome.PASS, (Headline("a", "b"),), notices)


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_every_form_says_the_error_and_both_kinds_of_stamps(render: Any) -> None:
    text = render(view(CHECK)).replace("&#39;", "'")
    assert "This client's own error at your load: p50 3.0 us, p99 41 us." in text
    assert "120 streams at 50 tok/s (yours)" in text
    for cell in ("180 us", "2.0 ms", "90 us", "5.0 ms", "12 ms", "3,920", "8.2 us", "21%"):
        assert cell in text, cell
    assert "send lag p99 31 ms" in text
    assert "Clean up to 6,000 chunks/s." in text


def test_a_run_without_a_check_says_nothing_of_it() -> None:
    text = render_html(view(None))
    assert "client-error" not in text
    assert "client_check" not in view(None).data
    assert view(CHECK).data["client_check"]["ceiling_chunks_per_s"] == 6_000.0


def test_a_run_near_the_ceiling_is_told_so() -> None:
    ((severity, text),) = view(CHECK).notices
    assert severity == "warning"
    assert "asks the client for 6,000 chunks/s, more than 60% of the 6,000 chunks/s" in text
    ((_, beyond),) = view(ClientCheck((load(120, failed=LATE),), intended=0)).notices
    assert "was not clean at the run's own load (send lag p99 31 ms" in beyond
    assert view(ClientCheck((load(120), load(200)), intended=0)).notices == ()


def test_sentences_fit_what_was_seen() -> None:
    assert ceiling_sentence(ClientCheck((load(64),))) == "Clean up to at least 3,200 chunks/s."
    none = ceiling_sentence(ClientCheck((load(64, failed=LATE),)))
    assert none.startswith("This client measures not even 64 streams at 50 tok/s cleanly: send lag")
    two = LATE | {"client_cpu": "load worker CPU 95% (limit 90%): add workers"}
    told = ceiling_sentence(ClientCheck((load(64), load(120, failed=two))))
    assert told == (
        "Clean up to 3,200 chunks/s. At 120 streams at 50 tok/s: send lag p99 31 ms"
        " (limit 10 ms) and 1 more."
    )
    few = replace(KERNEL, chunk=Spread(50, 3 * US, None, None, 9 * US))
    few_check = ClientCheck((load(64, kernel=few),), intended=0)
    assert error_sentence(few_check) == "This client's own error at your load: p50 3.0 us."
    # a machine without kernel stamps makes its metrics of user stamps, and says their error
    user = ClientCheck((load(64, stamp_source="user"),), intended=0)
    assert error_sentence(user) == "This client's own error at your load: p50 90 us, p99 5.0 ms."


def test_the_column_of_reasons_is_there_only_where_there_are_any() -> None:
    assert "why not clean" in render_markdown(view(CHECK))
    assert "why not clean" not in render_markdown(view(ClientCheck((load(64),), intended=0)))


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(0.0, "0.0 us"), (-2e-7, "-0.2 us"), (9.94e-6, "9.9 us"), (9.96e-6, "10 us"),
     (0.0009994, "999 us"), (0.0009996, "1.0 ms"), (0.0404, "40 ms"), (1.25, "1.2 s"), (None, "–")],
)  # fmt: skip
def test_short_times(value_s: float | None, text: str) -> None:
    assert short(value_s) == text
