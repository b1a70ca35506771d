"""Availability in full: two hand cases, requests needed, budget, alerts, credits, redundancy."""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from harness.analysis import Uptime, UptimeWindow, analyse_point, pooled_uptime
from harness.analysis.clusters import clustered_bounds, mean_interval, window_effect
from harness.analysis.shares import share_pair
from harness.analysis.uptime import outages
from harness.decisions.burn_rate import ALERTS, burn, burn_alerts
from harness.decisions.redundancy import fleet, least_fleet, regions_down
from harness.decisions.sla import availability, credit_due, join_windows
from harness.decisions.uptime_facts import exceed_p, uptime_facts, what_it_shows
from harness.errors import ScenarioError
from harness.scenario import load_resolved, load_scenario
from harness.scenario.advice import windows_needed
from harness.scenario.sla import Sla
from harness.scenario.slo import UptimeLimit

DAY_S, WINDOW_S = 86_400, 300.0
BEDROCK = {
    "schema": "harness/sla/v1", "name": "an SLA", "as_of": "2026-01-01", "source": "here",
    "definition": "mean", "objective": "99.9%",
    "steps": [
        {"below": "99.9%", "credit": "10%"}, {"below": "99%", "credit": "25%"},
        {"below": "95%", "credit": "100%"},
    ],
}  # fmt: skip


def made(valid: list[int], bad: list[int], window_s: float = WINDOW_S, objective: float = 0.999):  # type: ignore[no-untyped-def]
    """An Uptime of windows in order, up when 95 % are good."""
    windows = tuple(
        UptimeWindow(i * window_s, n, k, None if not n else k <= 0.05 * n + 1e-9,
                     (("http_5xx", k),) if k else ())
        for i, (n, k) in enumerate(zip(valid, bad, strict=True))
    )  # fmt: skip
    up = np.array([bool(w.is_up) for w in windows if w.is_up is not None])
    pair = share_pair("uptime", up, scope="all", population="windows")
    return Uptime(
        "main", 1, window_s, 0.95, objective, windows, outages(windows, window_s), pair.shown,
        pair.bound,
    )  # fmt: skip


def night() -> Uptime:
    """30 days, 5 requests a window by day and 1 by night, down 43.2 min from 02:00 of one night.

    8.64 windows: eight whole ones, and of the ninth its one request, which is in the first part.
    """
    hour = np.arange(8640) * 300 // 3600 % 24
    valid = np.where((hour >= 6) & (hour < 22), 25, 5)
    bad = np.zeros(8640, dtype=int)
    bad[24:32] = valid[24:32]
    bad[32] = 3  # of five, the first 3.2 minutes
    return made(valid.tolist(), bad.tolist())


def constant() -> Uptime:
    """0.4 % of all, 50 requests a window: one bad request in every fifth window."""
    bad = [1 if i % 5 == 0 else 0 for i in range(8640)]
    return made([50] * 8640, bad)


def test_the_three_definitions_disagree_as_the_table_says() -> None:
    found = {}
    for name, uptime in (("night", night()), ("constant", constant())):
        facts = uptime_facts(uptime, UptimeLimit.model_validate({"objective": "99.9%"}))
        found[name] = {d.definition: d.value for d in facts.definitions}
        for d in facts.definitions:
            assert d.low is not None
            assert d.high is not None
            assert d.value is not None
            assert d.low <= d.value <= d.high
    assert round(100 * found["night"]["requests"], 2) == 99.97  # about 100 %: nobody was there
    assert round(100 * found["night"]["windows"], 1) == 99.9
    assert round(100 * found["night"]["mean"], 1) == 99.9
    assert found["constant"]["requests"] == pytest.approx(0.996)
    assert found["constant"]["windows"] == 1.0
    assert found["constant"]["mean"] == pytest.approx(0.996)


def test_thirty_days_and_what_they_allow() -> None:
    facts = uptime_facts(constant(), UptimeLimit.model_validate({"objective": "99.9%"}))
    assert facts.budget is not None
    assert facts.budget.allowed_windows == pytest.approx(8.64)
    assert facts.budget.month_s == pytest.approx(43.2 * 60)
    assert facts.budget.spent_ratio == 0.0
    assert facts.budget.projected_s[0] == 0.0
    # none seen: 3.689 outages of a window at most, in as long a time
    assert facts.budget.projected_s[2] == pytest.approx(3.689 * 300, rel=1e-3)
    down = uptime_facts(night(), UptimeLimit.model_validate({"objective": "99.9%"})).budget
    assert down is not None
    assert (down.num_down, down.spent_ratio) == (9, pytest.approx(9 / 8.64))
    # one outage of nine windows: exact Poisson 0.0253 to 5.572
    assert down.projected_s == pytest.approx((2700, 0.0253 * 2700, 5.572 * 2700), rel=2e-3)


DEMONSTRATE = {
    (0.99, 0.95): (299, 473, 628, 773, 1049, 1693),
    (0.99, 0.99): (459, 662, 838, 1001, 1307, 2010),
    (0.999, 0.95): (2995, 4742, 6294, 7752, 10511, 16959),
    (0.999, 0.99): (4603, 6636, 8403, 10042, 13105, 20140),
    (0.9999, 0.95): (29956, 47437, 62956, 77535, 105128, 169619),
    (0.9999, 0.99): (46050, 66381, 84057, 100448, 131081, 201442),
}


@pytest.mark.parametrize(("objective", "confidence"), DEMONSTRATE)
def test_requests_needed_to_the_digit(objective: float, confidence: float) -> None:
    found = tuple(windows_needed(objective, k, confidence) for k in (0, 1, 2, 3, 5, 10))
    assert found == DEMONSTRATE[objective, confidence]


def test_mlperf_early_stopping_is_the_row_at_99_percent() -> None:
    assert windows_needed(0.99, 50, 0.99) == 6898
    assert windows_needed(0.99, 100, 0.99) == 12571
    p90 = [windows_needed(0.90, k, 0.99) for k in (0, 1, 2, 5, 10)]
    assert p90 == [44, 64, 81, 127, 197]


def test_what_a_sample_shows_in_one_sentence() -> None:
    text = what_it_shows(made([10] * 300, [0] * 300))
    # 300 clean ones show 99.0 %, and 99.9 % takes 2,995: ten days and ten hours of five minutes
    assert text == (
        "300 windows, 0 of them down, show that uptime is at least 99% (95% confidence); they"
        " support 99%; they cannot tell 99.9% or 99.99%: 99.9% takes 2,995 windows (249 h 35 min)"
        " with none down."
    )
    bad = [10 if i % 20 == 7 else 0 for i in range(1000)]  # 50 of 1,000, evenly
    text = what_it_shows(made([10] * 1000, bad))
    assert "they refute 99% and 99.9% and 99.99%" in text
    assert "cannot tell" not in text


def test_more_down_than_a_month_may_hold_needs_no_statistics() -> None:
    """99.9 % allows 43.2 minutes in 30 days: nine windows of five minutes are more, eight not."""
    for num, is_lost in ((8, False), (9, True)):
        text = what_it_shows(made([10] * 100, [10] * num + [0] * (100 - num)))
        assert ("99.9% allows in 30 days (43 min 12 s), which" in text) == is_lost
    assert text.count("(95% confidence each)") == 1  # two bounds, each of them at 95 %


def test_ten_days_of_probing() -> None:
    """0 bad of 2,995 windows is 10.4 days, 5 bad 36.5 days."""
    assert windows_needed(0.999) * WINDOW_S / DAY_S == pytest.approx(10.4, abs=0.05)
    assert windows_needed(0.999, 5) * WINDOW_S / DAY_S == pytest.approx(36.5, abs=0.05)


def test_five_in_a_thousand_refute() -> None:
    assert exceed_p(5, 1000, 0.001) == pytest.approx(0.0036, abs=0.00005)
    assert exceed_p(5, 1000, 0.001) == pytest.approx(stats.binom.sf(4, 1000, 0.001), rel=1e-9)
    assert exceed_p(0, 300, 0.001) == 1.0


# -- burn rate ---------------------------------------------------------------------------------


def test_alerts_are_those_of_the_workbook() -> None:
    told = [(a.factor, a.long_s, a.short_s, round(a.budget_ratio, 4)) for a in ALERTS]
    assert told == [
        (14.4, 3600, 300, 0.02), (6, 21_600, 1800, 0.05), (1, 259_200, 21_600, 0.1),
    ]  # fmt: skip


def test_a_page_fires_and_clears_by_hand() -> None:
    # one-minute windows of 100 requests, objective 99.9 %: minute 120 to 129 lose 20 of 100
    bad = [20 if 120 <= i < 130 else 0 for i in range(240)]
    windows = made([100] * 240, bad, 60.0).windows
    page, slow, ticket = burn_alerts(windows, 60.0, 0.999)
    # the hour burns 14.4x from 87 bad of 6,000 on: 100 after five such minutes (16.7x); the five
    # minutes burn 14.4x from 8 of 500 on: until a single bad minute is left in them, minute 133
    assert page.fired == ((125 * 60.0, 134 * 60.0),)
    assert page.peak is not None
    assert page.peak.value == pytest.approx(200 / 6000 / 0.001)
    assert page.peak.low < page.peak.value < page.peak.high
    assert page.answer == "fired, within its error"  # ten minutes in a row are few proofs
    assert slow.peak is None
    assert slow.reason == "needs 6h of measurement"
    assert ticket.answer == "not measured"


def test_the_short_window_stops_an_alert_whose_cause_is_over() -> None:
    """Half an hour after a short total outage the hour still burns, the five minutes do not."""
    bad = [100 if 100 <= i < 103 else 0 for i in range(180)]
    page = burn_alerts(made([100] * 180, bad, 60.0).windows, 60.0, 0.999)[0]
    ((begin, end),) = page.fired
    assert begin == 101 * 60.0  # one minute of it is 16.7x of an hour
    assert end == 107 * 60.0  # five minutes after it ended, though the hour burns until 163


def test_a_page_that_fired_is_told_after_a_night_without_requests() -> None:
    """All bad for half an hour, then nothing is sent for two: whole hours are there, all empty."""
    page = burn_alerts(
        made([10] * 30 + [0] * 120, [10] * 30 + [0] * 120, 60.0).windows, 60.0, 0.99
    )[0]
    assert page.peak is not None
    assert page.answer.startswith("fired")


def test_what_nobody_observed_burns_nothing() -> None:
    """An hour of minutes without a failure, two hours without a client, then all bad: 14.4 % of the
    trailing hour is bad from the ninth minute on, not from the first."""
    first = made([10] * 60, [0] * 60, 60.0, 0.99).windows
    later = [replace(w, start_s=w.start_s + 10_800) for w in made([10] * 20, [10] * 20).windows]
    windows = (*first, *(replace(w, start_s=10_800 + 60.0 * i) for i, w in enumerate(later)))
    page = burn_alerts(windows, 60.0, 0.99)[0]
    assert page.fired == ((10_800 + 9 * 60.0, 10_800 + 20 * 60.0),)
    # most of an hour unobserved: nobody can call it quiet
    quiet = [replace(w, num_bad=0) for w in windows[60:]]
    assert burn_alerts(quiet, 60.0, 0.99)[0].answer == "not measured"
    pieces = [replace(w, start_s=w.start_s + 1200 * (i // 20)) for i, w in enumerate(first)]
    assert burn_alerts(pieces, 60.0, 0.99)[0].answer == "not measured"
    close = [replace(w, start_s=w.start_s + 30 * (i // 20)) for i, w in enumerate(first)]
    assert burn_alerts(close, 60.0, 0.99)[0].answer == "quiet"


def test_windows_longer_than_the_short_one_cannot_fire_it() -> None:
    page = burn_alerts(made([10] * 300, [0] * 300, 600.0).windows, 600.0, 0.999)[0]
    assert page.peak is None
    assert page.reason == "windows of 10min cannot show 5min"


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=150), st.sampled_from([0.99, 0.999]))
def test_burns_agree_with_a_plain_loop(bad: list[int], objective: float) -> None:
    windows = made([5] * len(bad), bad, 60.0).windows
    page = burn_alerts(windows, 60.0, objective)[0]
    on = []
    for i in range(len(bad)):  # what lies before the first window counts as good
        hour, five = sum(bad[max(0, i - 59) : i + 1]) / 300, sum(bad[max(0, i - 4) : i + 1]) / 25
        if min(hour, five) / (1 - objective) >= 14.4 - 1e-9:
            on.append(60.0 * (i + 1))
    told = [t for begin, end in page.fired for t in np.arange(begin, end + 1, 60.0)]
    assert told == pytest.approx(on)


def test_independent_failures_keep_the_exact_interval() -> None:
    """Spread evenly they scatter less than a binomial: the interval is scipy's own."""
    found = burn(constant().windows[:200], 0.999, WINDOW_S)
    assert found is not None
    oracle = stats.binomtest(40, 10_000).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((oracle.low / 0.001, oracle.high / 0.001))


def test_requests_of_one_outage_are_few_proofs() -> None:
    """60 windows of 60 requests, six of them lost whole: the windows count, not the requests."""
    bad = [60 if i % 10 == 3 else 0 for i in range(60)]
    deff = window_effect(bad, [60] * 60)
    # chi2 = (6 x 54^2 + 54 x 6^2) / 5.4 = 3,600 over 59 degrees
    assert deff == pytest.approx(3600 / 59)
    ends = clustered_bounds(bad, [60] * 60)
    oracle = stats.binomtest(6, 59).proportion_ci(0.95, method="exact")
    assert (ends.low, ends.high) == pytest.approx((oracle.low, oracle.high), rel=0.03)


# -- coverage ----------------------------------------------------------------------------------


def _outage_series(rng: np.random.Generator, num: int, enter: float, leave: float):  # type: ignore[no-untyped-def]
    """A two-state chain over windows: down a share enter / (enter + leave) of the time."""
    state, found = rng.random() < enter / (enter + leave), np.empty(num, dtype=bool)
    for i, u in enumerate(rng.random(num)):
        found[i] = state
        state = (u >= leave) if state else (u < enter)
    return found


def test_coverage_of_availability_with_outages() -> None:
    """Truth 1 - 0.03 of the windows, outages of 4 windows in the mean, about 15 a run; requests and
    windows and mean each hold it in 90 % of 100 runs, which Clopper-Pearson on requests does not.
    """
    rng = np.random.default_rng(21)
    hits = dict.fromkeys(("requests", "windows", "mean"), 0)
    naive = 0
    for _ in range(100):
        down = _outage_series(rng, 2000, 0.03 / 0.97 / 4, 1 / 4)
        windows = made([20] * 2000, np.where(down, 20, 0).tolist()).windows
        for kind in hits:
            a = availability(kind, windows, 0.95)
            assert a.low is not None
            assert a.high is not None
            hits[kind] += a.low <= 0.97 <= a.high
        k = 20 * int(down.sum())
        plain = stats.beta.ppf([0.025, 0.975], [k, k + 1], [40_001 - k, 40_000 - k])
        naive += plain[0] <= 0.03 <= plain[1]
    assert all(n / 100 >= 0.90 for n in hits.values()), hits
    assert naive / 100 < 0.5


def test_coverage_of_a_mean_over_days() -> None:
    """20 days, each with a level of its own: drawing days holds the mean in 90 % of 100 runs."""
    rng = np.random.default_rng(22)
    hits = 0
    for _ in range(100):
        level = np.repeat(rng.beta(2, 198, 20), 48)  # mean 1 % bad, half-hour windows
        bad = rng.binomial(50, level)
        windows = made([50] * 960, bad.tolist(), 1800.0).windows
        ends = mean_interval(windows)
        assert ends.low is not None
        assert ends.high is not None
        hits += ends.low <= 0.99 <= ends.high
    assert hits / 100 >= 0.90


def test_coverage_of_a_burn_rate() -> None:
    """One hour, 60 windows of 30, failures independent at 3 %: exact, so at least 95 % (400 runs;
    a true 95 % falls below 92 % in one seed of 200)."""
    rng = np.random.default_rng(23)
    hits = 0
    for _ in range(400):
        found = burn(made([30] * 60, rng.binomial(30, 0.03, 60).tolist(), 60.0).windows, 0.99, 60.0)
        assert found is not None
        hits += found.low <= 3.0 <= found.high
    assert hits / 400 >= 0.92


# -- credits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "credit"),
    [(1.0, 0), (0.999, 0), (0.9989, 0.10), (0.99, 0.10), (0.98, 0.25), (0.95, 0.25), (0.94, 1.0)],
)
def test_steps(share: float, credit: float) -> None:
    assert Sla.model_validate(BEDROCK).credit(share) == credit


def test_a_credit_follows_the_agreement_s_own_definition() -> None:
    """0.4 % errors all month: due by R and A, nothing by W."""
    for kind, due in (("requests", 0.10), ("mean", 0.10), ("windows", 0.0)):
        found = credit_due(Sla.model_validate(BEDROCK | {"definition": kind}), constant())
        assert found.credit == due
        assert found.least is not None
        assert found.most is not None
        assert found.least <= due <= found.most
    assert "10% of the bill is due" in credit_due(Sla.model_validate(BEDROCK), constant()).sentence


def test_its_windows_are_made_of_ours() -> None:
    uptime = made([4] * 10, [4, 0, 0, 0, 0, 0, 0, 0, 0, 0], 60.0)
    joined = join_windows(uptime.windows, 60.0, 300.0)
    assert joined is not None
    assert [(w.start_s, w.num_valid, w.num_bad) for w in joined] == [(0, 20, 4), (300, 20, 0)]
    assert join_windows(uptime.windows, 120.0, 300.0) is None
    assert join_windows(uptime.windows, 600.0, 300.0) is None
    late = credit_due(Sla.model_validate(BEDROCK), made([4] * 10, [0] * 10, 420.0))
    assert late.credit is None
    assert "do not make up its own of 5min" in late.sentence


def test_the_library_s_agreement_is_read_into_the_run(tmp_path) -> None:  # type: ignore[no-untyped-def]
    loaded = load_scenario("probe", env={})
    limit = loaded.document.slo.uptime
    assert limit is not None
    assert isinstance(limit.sla, Sla)
    assert [(s.below, s.credit) for s in limit.sla.steps] == [(0.999, 0.1), (0.99, 0.25), (0.95, 1)]
    path = tmp_path / "scenario.resolved.yaml"
    path.write_text(loaded.resolved_yaml(), encoding="utf-8")
    assert load_resolved(path).document == loaded.document


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}\n", "own.yaml: schema: missing"),
        ("schema: harness/sla/v1\nobjectiv: 99%\n", "line 2 of own.yaml: objectiv: unknown key"),
    ],
)
def test_a_wrong_agreement_names_its_line(tmp_path, text: str, told: str) -> None:  # type: ignore[no-untyped-def]
    own = tmp_path / "own.yaml"
    own.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        load_scenario("probe", env={}, overrides=[f"slo.uptime.sla={own}"])
    assert told in error.value.render()


# -- redundancy --------------------------------------------------------------------------------


def test_replicas_to_the_digit() -> None:
    for needed, n, told in ((4, 5, 99.902), (4, 6, 99.998), (10, 11, 99.48), (10, 12, 99.979)):
        places = len(str(told).partition(".")[2])
        assert round(100 * fleet(n, needed, 0.99).availability, places) == told
    assert fleet(5, 4, 0.99).cost_ratio == 1.25


@given(st.integers(1, 12), st.integers(0, 6), st.floats(0.5, 0.9999))
def test_a_fleet_is_scipys_binomial(needed: int, spare: int, each: float) -> None:
    n = needed + spare
    assert fleet(n, needed, each).availability == pytest.approx(
        stats.binom.sf(needed - 1, n, each), abs=1e-12
    )


def test_the_least_fleet_is_the_first_that_does() -> None:
    found = least_fleet(4, 0.99, 0.9999)
    assert found is not None
    assert found.n == 6
    assert fleet(5, 4, 0.99).availability < 0.9999
    assert least_fleet(1, 0.0, 0.99) is None


def test_regions_to_the_digit() -> None:
    assert regions_down(0.001, 2, 0.0) == pytest.approx(1e-6)
    assert regions_down(0.001, 2, 0.05) == pytest.approx(5.09e-5, rel=1e-3)
    assert regions_down(0.001, 1, 0.05) == 0.001


def test_regions_need_a_common_cause() -> None:
    data = {"objective": "99%", "redundancy": {"regions": 2}}
    with pytest.raises(ValueError, match="common_cause"):
        UptimeLimit.model_validate(data)
    data["redundancy"] = {"replicas_needed": 4, "availability": "99%", "regions": 2,
                          "common_cause": "5%"}  # fmt: skip
    facts = uptime_facts(constant(), UptimeLimit.model_validate(data))
    assert facts.spare is not None
    assert [f.n for f in facts.spare.fleets] == [4, 5, 6, 7]
    row = facts.to_json()
    assert row["redundancy"]["regions_down_ratio"] == pytest.approx(
        regions_down(1 - 0.99**4, 2, 0.05)
    )
    assert all(math.isfinite(f["availability"]) for f in row["redundancy"]["fleets"])


def test_nothing_measured_shows_nothing(rows: ModuleType) -> None:
    empty = analyse_point(rows.requests([]), rows.clients(10), rows.meta(10.0))
    assert "shows nothing about uptime" in what_it_shows(pooled_uptime([empty]))
