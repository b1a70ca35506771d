"""The fluid bound of a plan, by hand: full batches and the prompts that ride in their steps."""

from __future__ import annotations

from typing import Any

import pytest

from reports._bound import bound_words, fluid_bound
from reports._replicas import replicas_section
from tests.reports.test_replicas_section import part

LAW = {"a0": 2e-3, "b": 1e-3, "a1": 5e-5, "d": 1e-4, "c": 1e-6, "e": 0.0}


def planned(**deployment: Any) -> dict[str, Any]:
    """100 tokens in, 50 out, 10 at once."""
    found = part(deployment={
        "max_batch": 10, "kv_tokens": 10_000, "gamma": 0, "tau": 1.0, "prefix_cache": False,
    } | deployment)  # fmt: skip
    found["mix"] = found["mix"] | {"mean_in_tok": 100.0, "mean_out_tok": 50.0}
    found["calibration"]["parameters"] = {
        k: {"unit": "s", "value": v, "low": 0.9 * v, "high": 1.1 * v} for k, v in LAW.items()
    }
    found["capacity"]["sustained"] = {
        "metric": "max_goodput", "stat": "rate", "unit": "req/s", "value": 21.0, "low": 20.0,
        "high": 22.0,
    }  # fmt: skip
    return found


def test_the_bound_by_hand() -> None:
    """A step of 10: max(2, 1 + 0.5) + 1 + 10 x 125 x 0.001 = 4.25 ms, 50 of them shared by 10.

    A request's own 5 steps hold 50 tokens, max(10, 7.5) ms; with its prompt 150, max(10, 12.5):
    the prompt costs 2.5 ms. 2.5 + 21.25 = 23.75 ms a request.
    """
    found = fluid_bound(planned())
    assert found is not None
    assert found.batch == 10
    assert found.req_per_s == pytest.approx(1 / 23.75e-3)
    # the law is linear in its parameters: all of them 10 % dearer is 10 % slower
    assert found.low == pytest.approx(1 / 23.75e-3 / 1.1)
    assert found.high == pytest.approx(1 / 23.75e-3 / 0.9)


def test_memory_may_hold_fewer_than_the_batch_allows() -> None:
    found = fluid_bound(planned(kv_tokens=600))
    assert found is not None
    assert found.batch == 4.0


def test_drafts_make_fewer_and_fuller_steps() -> None:
    """3 drafts, 2 tokens a step: 25 steps of 10 x 4 tokens: max(2, 1 + 2) + 1 + 1.25 = 5.25 ms.

    Own: 2.5 steps, 100 tokens: max(5, 7.5) ms; with the prompt max(5, 12.5): 5 ms more.
    """
    found = fluid_bound(planned(gamma=3, tau=2.0))
    assert found is not None
    assert found.req_per_s == pytest.approx(1 / (5e-3 + 25 * 5.25e-3 / 10))


def test_the_page_sets_the_sustained_rate_beside_it() -> None:
    words = bound_words(planned())
    assert words == (
        "42.1 req/s (38.3 to 46.8); sustained are 49.9% of it (47.5 to 52.2%)"
    )  # fmt: skip
    section = replicas_section(planned())
    assert section is not None
    (table,) = [b for b in section.blocks if b.id == "replica-ground"]
    told = {row.cells[0].text: row.cells[1].text for row in table.rows}  # type: ignore[union-attr]
    assert told["at most, by step times alone (fluid bound)"] == words
    assert "batches always full" in table.note  # type: ignore[union-attr]


def test_a_prefix_cache_has_no_such_bound_here() -> None:
    assert fluid_bound(planned(prefix_cache=True)) is None
    assert bound_words(part()) == ""
