"""What points cost before anything is sent, for the verbs that tell it or hold a run to it."""

from __future__ import annotations

from harness.decisions.expected_cost import Asked, Expected, expected_cost
from harness.scenario import Materials, Point
from harness.scenario.budget import PointBudget, point_budget
from harness.scenario.cost import Cost, sides


def point_cost(cost: Cost, point: Point, size: PointBudget, *, at_most: bool = False) -> Expected:
    """Of one point, by the tariff of its target."""
    side = sides(cost, point.document.targets).get(point.target_name)
    model = str(getattr(point.target, "sent_model", getattr(point.target, "model", "auto")))
    asked = Asked(size.load_s, size.num_sent, size.each)
    return expected_cost(cost, side, model, asked, at_most=at_most)


def cost_of_point(point: Point, materials: Materials, *, at_most: bool = False) -> Expected | None:
    """The same, measured here; None without a cost block."""
    cost = point.document.cost
    if cost is None:
        return None
    return point_cost(cost, point, point_budget(point, materials), at_most=at_most)
