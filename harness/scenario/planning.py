"""A measured scenario with another `cost` block: other prices, another fleet, another forecast.

What was sent stays what it was, so nothing outside `cost` may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import Fault, ScenarioError
from harness.scenario._check import check
from harness.scenario._flags import apply_overrides
from harness.scenario._paths import show
from harness.scenario._pin_cost import pin_cost
from harness.scenario._tree import Where
from harness.scenario.document import Scenario
from harness.scenario.resolved import as_written

_WHOSE = "only cost can be changed here: the rest was measured as it is"


def with_cost(
    document: Scenario, overrides: Sequence[str], folders: Sequence[Path] = (), run: str = ""
) -> Scenario:
    """overrides: `cost.on_demand.gpu=h100` and the like.  run: as the user named it, for messages.

    Raises ScenarioError with every fault.
    """
    data = as_written(document)
    foreign = [t for t in overrides if not t.strip().startswith(("cost.", "cost="))]
    faults = [Fault(text.partition("=")[0][:60], _WHOSE) for text in foreign]
    origins: dict[Where, str] = {}
    faults += apply_overrides(data, [t for t in overrides if t not in foreign], origins)
    checked = check(data)
    wrong = list(checked.wrong)
    if checked.document is not None and checked.document.cost is not None:
        wrong += pin_cost(checked.document, checked.document.cost, data, folders)
    faults += [Fault(show(data, w.where), w.message) for w in wrong]
    if faults:
        name = run or document.name
        raise ScenarioError(name, faults, kind="cost of", check="harness plan crossover")
    return Scenario.model_validate(data)
