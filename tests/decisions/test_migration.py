"""A migration by hand: usage, prices, ratio; presets and the ids that are sent."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from harness.analysis.frame import Frame, read_frame
from harness.decisions.billed import Billed, billed_of, both_told
from harness.decisions.migration import SideUsage, side_by_side
from harness.errors import ScenarioError
from harness.scenario import load_resolved, load_scenario
from harness.scenario.document import OpenAITarget
from harness.scenario.prices import load_prices
from harness.scenario.providers import PROVIDERS, load_provider, told_model
from reports._migration import migration_table

SENT = "accounts/fireworks/models/llama-v3p3-70b-instruct"
GUIDE = load_prices("fireworks-guide")
OWN = """\
schema: harness/prices/v1
name: own
as_of: 2026-11-20
source: here
serverless:
  gpt-4o: {input: 2.00USD/Mtok, output: 8.00USD/Mtok}
"""


def target(name: str, **overrides: str) -> OpenAITarget:
    given = [f"targets.to.{key}={value}" for key, value in overrides.items()]
    found = load_scenario("migration", env={}, overrides=given).document.targets[name]
    assert isinstance(found, OpenAITarget)
    return found


def test_cost_of_the_same_traffic(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    sheets = [GUIDE, load_prices(path)]
    # 100 requests of 1,000 in and 100 out: $2.00 x .1 + $8 x .01 = $0.28 against .11 x .90 = $0.099
    one = Billed(100, 100_000, 0, 10_000)
    base = SideUsage("from", "gpt-4o", "gpt-4o", (one,) * 6)
    other = SideUsage("to", "gpt-4o", SENT, (one,) * 6)
    found = side_by_side(base, other, sheets)
    assert found.base.usd == pytest.approx(6 * 0.28)
    assert found.other.usd == pytest.approx(6 * 0.099)
    assert found.base.usd_per_1000_requests == pytest.approx(2.8)
    assert found.other.usd_per_mtok == pytest.approx(0.90)
    assert found.ratio == pytest.approx(0.099 / 0.28)
    assert (found.low, found.high) == (pytest.approx(found.ratio), pytest.approx(found.ratio))
    # half of the input cached, at half its price: .05 x .9 + .05 x .45 + .01 x .9
    cached = SideUsage("to", "gpt-4o", SENT, (Billed(100, 100_000, 50_000, 10_000),) * 3)
    cheaper = side_by_side(SideUsage("from", "a", SENT, (one,) * 3), cached, sheets)
    assert cheaper.ratio == pytest.approx(0.0765 / 0.099)
    assert cheaper.low is None  # three pairs carry no interval


def test_without_a_price_nothing_is_said_of_cost() -> None:
    one = Billed(10, 1000, 0, 100)
    found = side_by_side(
        SideUsage("from", "x", "x", (one,)), SideUsage("to", "x", SENT, (one,)), [GUIDE]
    )
    assert (found.base.usd, found.ratio, found.num_pairs) == (None, None, 0)
    assert found.other.usd is not None


def test_cost_is_that_of_the_requests_both_answered(tmp_path: Path, rows: ModuleType) -> None:
    """Of ten requests the candidate fails the two long ones; its answers are half as long. The
    baseline's 8 x (100 in, 50 out) against 8 x (100, 25), at $2 and $8 against $1 and $4."""
    path = tmp_path / "own.yaml"
    path.write_text(OWN + "  new: {input: 1.00USD/Mtok, output: 4.00USD/Mtok}\n", encoding="utf-8")

    def frame(out: int, failed: tuple[int, ...]) -> Frame:
        table = [
            rows.row(float(k), [k + 0.1], ordinal=k, n_in=None if k in failed else 100,
                     n_out=None if k in failed else 500 if k >= 8 else out,
                     error="timeout_total" if k in failed else "")
            for k in range(10)
        ]  # fmt: skip
        meta = rows.meta(10.0)
        return read_frame(rows.requests(table), meta.t0_ns, meta.t1_ns)

    frames = (frame(50, ()), frame(25, (8, 9)))
    both = both_told(*frames)
    usages = [billed_of(f, told) for f, told in zip(frames, both, strict=True)]
    assert usages == [Billed(8, 800, 0, 400), Billed(8, 800, 0, 200)]
    sheets = [load_prices(path)]
    base = SideUsage("a", "gpt-4o", "gpt-4o", (usages[0],), 10, 10)
    found = side_by_side(base, SideUsage("b", "gpt-4o", "new", (usages[1],), 10, 8), sheets)
    # (800 x 1 + 200 x 4) / (800 x 2 + 400 x 8) = 1,600 / 4,800; by price alone a half
    assert found.ratio == pytest.approx(1 / 3)
    assert found.price_ratio == pytest.approx(0.5)
    assert found.length_ratio == pytest.approx(0.5)
    assert found.notes == (
        "The baseline answered 10 of 10 requests, the candidate 8 of 10; cost is that of the 8 that"
        " both answered.",
        "The candidate's answers hold 0.500 times the tokens: that is other work, and part of the"
        " difference. For the baseline's own tokens the candidate asks 0.500 times as much: the"
        " rest is length.",
    )
    unknown = side_by_side(base, SideUsage("b", "x", "x", (usages[0],), 10, 10), sheets)
    assert unknown.notes[-1].startswith("No sheet has a price for x, so the cost of b is not known")
    table = migration_table(unknown)
    assert [cell.text for cell in table.rows[-1].cells][1:] == ["", "not known"]
    nothing = side_by_side(base, SideUsage("b", "new", "new", (Billed(0, 0, 0, 0),), 10, 0), sheets)
    assert (nothing.ratio, nothing.num_pairs) == (None, 0)


@pytest.mark.parametrize("name", PROVIDERS.names())
def test_presets_that_ship_are_valid(name: str) -> None:
    found = load_provider(name)
    assert found.name == name
    assert found.url.startswith(("https://", "http://localhost"))
    assert (found.api_key_env is None) == found.url.startswith("http://localhost")


def test_a_preset_fills_what_the_target_leaves_open() -> None:
    to = target("to")
    assert (to.url, to.api_key_env) == (
        "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"
    )  # fmt: skip
    assert (to.model, to.sent_model) == ("gpt-4o", SENT)
    assert told_model(to, SENT) == f"gpt-4o, sent as {SENT}"
    old = target("from")
    assert (old.sent_model, told_model(old, "gpt-4o")) == ("gpt-4o", "gpt-4o")
    own = target("to", models="{gpt-4o: mine}")
    assert own.sent_model == "mine"
    assert own.models["whisper-1"].endswith("whisper-v3")


def test_a_key_goes_to_its_own_host_only() -> None:
    assert target("to", url="http://elsewhere/v1").api_key_env is None


def test_the_resolved_document_needs_no_preset_file(tmp_path: Path) -> None:
    loaded = load_scenario("migration", env={})
    path = tmp_path / "scenario.resolved.yaml"
    path.write_text(loaded.resolved_yaml(), encoding="utf-8")
    assert load_resolved(path).document == loaded.document
    assert "# preset fireworks" in loaded.annotated_yaml()


def test_an_unknown_preset_is_a_fault_with_its_line() -> None:
    with pytest.raises(ScenarioError) as error:
        target("to", preset="firework")
    assert "targets.to.preset" in error.value.render()
    assert "did you mean 'fireworks'?" in error.value.render()
