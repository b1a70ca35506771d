"""`stop.max_spend`: follows what a run spends, and ends it before it spends more.

The meter runs on estimates, a pulse a second: GPU time as it passes, tokens by the lengths asked
for, counted when a request is sent, so that what is in flight is paid for already. The exact bill
is worked out from the records afterwards.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.scenario.budget import point_budget
from harness.scenario.cost import sides
from harness.units import significant

if TYPE_CHECKING:
    from harness.load import Pulse
    from harness.scenario import Materials, Point, Scenario


@dataclass(slots=True)
class Budget:
    """limit_usd: of the whole run.  spent_usd: so far, the running point included.

    usd_per_s, usd_per_req: of the running point; None: nobody knows.
    """

    limit_usd: float
    spent_usd: float = 0.0
    usd_per_s: float = 0.0
    usd_per_req: float | None = 0.0
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
        """Set the meter for a point; what is to be said where it cannot follow one."""
        self._before_usd, self.usd_per_s, self.usd_per_req = self.spent_usd, 0.0, 0.0
        from harness.decisions.expected_cost import Asked, expected_usd  # takes a second

        self._begun_s = None
        cost = point.document.cost
        side = sides(cost, point.document.targets).get(point.target_name) if cost else None
        if cost is None or side is None:
            return ""
        model = str(getattr(point.target, "sent_model", getattr(point.target, "model", "auto")))
        if side == "on_demand":
            self.usd_per_s = expected_usd(cost, side, model, Asked(1.0, None, None, None)) or 0.0
            return ""
        size = point_budget(point, materials)
        asked = Asked(None, size.num_sent, size.input_tok, size.output_tok)
        bill = expected_usd(cost, side, model, asked)
        if bill is None or not size.num_sent:
            self.usd_per_req = None
            return f"stop.max_spend cannot follow {point.label}: its lengths are not known before"
        self.usd_per_req = bill / size.num_sent
        return ""

    def see(self, pulse: Pulse, now_s: float | None = None) -> bool:
        """Book a pulse; whether the budget is spent. now_s: by the monotonic clock."""
        now_s = time.monotonic() if now_s is None else now_s
        self._begun_s = now_s if self._begun_s is None else self._begun_s
        own = self.usd_per_s * (now_s - self._begun_s) + (self.usd_per_req or 0.0) * pulse.sent
        self.spent_usd = max(self.spent_usd, self._before_usd + own)
        return self.is_spent


def budget_of(document: Scenario) -> Budget | None:
    """None where the scenario sets no limit."""
    stop = document.stop
    return Budget(stop.max_spend) if stop is not None and stop.max_spend is not None else None
