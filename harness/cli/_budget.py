"""`stop.max_spend`: follows what a run spends, and ends it before it spends more.

The meter runs on estimates, a pulse a second: GPU time as it passes, requests by what they ask for
(tokens, minutes of audio, their own fee) at the upper end of a price that is a range, counted when
a request is sent, so that what is in flight is paid for already. A run whose spending it cannot
follow is refused before anything is sent. The exact bill is worked out from the records afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.units import significant

if TYPE_CHECKING:
    from harness.load import Pulse
    from harness.scenario import Materials, Point, Scenario


@dataclass(slots=True)
class Budget:
    """limit_usd: of the whole run.  spent_usd: so far, the running point included.

    usd_per_s, usd_per_req: of the running point.
    """

    limit_usd: float
    spent_usd: float = 0.0
    usd_per_s: float = 0.0
    usd_per_req: float = 0.0
    _before_usd: float = field(default=0.0, init=False)
    _begun_s: float | None = field(default=None, init=False)

    @property
    def is_spent(self) -> bool:
        return self.spent_usd >= self.limit_usd

    @property
    def told(self) -> str:
        spent, limit = significant(self.spent_usd), significant(self.limit_usd)
        return f"stop.max_spend: about {spent} of {limit} USD are spent"

    def begin(self, point: Point, materials: Materials) -> str:
        """Set the meter for a point; what is to be said of one that it does not count."""
        from harness.cli._expected import cost_of_point  # takes a second

        self._before_usd, self._begun_s = self.spent_usd, None
        found = cost_of_point(point, materials, at_most=True)
        assert found is not None, "a scenario with a limit has prices"
        self.usd_per_s, self.usd_per_req = found.usd_per_s or 0.0, found.usd_per_req or 0.0
        if found.usd_per_s is None and found.usd_per_req is None:
            return f"stop.max_spend does not count point {point.label}: {found.why}"
        return ""

    def see(self, pulse: Pulse, now_s: float | None = None) -> bool:
        """Book a pulse; whether the budget is spent. now_s: by the monotonic clock."""
        now_s = time.monotonic() if now_s is None else now_s
        self._begun_s = now_s if self._begun_s is None else self._begun_s
        own = self.usd_per_s * (now_s - self._begun_s) + self.usd_per_req * pulse.sent
        self.spent_usd = max(self.spent_usd, self._before_usd + own)
        return self.is_spent


def budget_of(document: Scenario, points: Sequence[Point], materials: Materials) -> Budget | None:
    """None where the scenario sets no limit. Raises UsageError where the limit cannot be kept."""
    stop = document.stop
    if stop is None or stop.max_spend is None:
        return None
    _require_followed(points, materials)
    return Budget(stop.max_spend)


def _require_followed(points: Sequence[Point], materials: Materials) -> None:
    """Every point of a target with a tariff has to be counted, and one such there has to be."""
    from harness.cli._expected import cost_of_point
    from harness.scenario.cost import sides

    seen: set[object] = set()
    has_tariff = not points
    for point in points:
        cost, key = point.document.cost, (point.target_name, point.traffic)
        if cost is None or key in seen:  # points of a sweep differ in their load, nearly always
            continue
        seen.add(key)
        if point.target_name not in sides(cost, point.document.targets):
            continue
        has_tariff, found = True, cost_of_point(point, materials)
        if found is not None and found.usd_per_s is None and found.usd_per_req is None:
            raise UsageError(
                "stop.max_spend cannot be kept", where=f"point {point.label}", why=found.why,
                do="give what is missing (lengths of its classes, a price of that unit), or leave"
                " out stop.max_spend",
            )  # fmt: skip
    if not has_tariff:
        raise UsageError(
            "stop.max_spend cannot be kept",
            why="cost names no tariff for any target of this run, so nothing would be counted",
            do="name it: --set cost.serverless.target=NAME, or give cost.on_demand",
        )
