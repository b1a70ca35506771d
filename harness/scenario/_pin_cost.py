"""Opens what a `cost` block names: the sheet, which is read into the document, and the forecast."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import ScenarioError
from harness.scenario import document as doc
from harness.scenario._faults import Wrong
from harness.scenario._files import FileFault
from harness.scenario._paths import put
from harness.scenario._tree import Where
from harness.scenario.cost import ForecastTraffic, OnDemandSide, ServerlessSide
from harness.scenario.forecast import Forecast, find_forecast, load_forecast
from harness.scenario.prices import PriceSheet, Serverless, load_prices


def pin_cost(
    document: doc.Scenario, cost: doc.Cost, data: dict[str, Any], folders: Sequence[Path]
) -> list[Wrong]:
    """Check sheet, rows and forecast; write the sheet itself, and the forecast's place, to data."""
    wrong: list[Wrong] = []
    try:
        given = cost.prices
        sheet = given if isinstance(given, PriceSheet) else load_prices(given, folders)
    except ScenarioError as error:
        return [Wrong(("cost", "prices"), _told(error, cost.prices))]
    put(data, ("cost", "prices"), sheet.model_dump(mode="json", by_alias=True, exclude_none=True))
    if cost.on_demand is not None:
        wrong += _gpu(cost.on_demand, sheet)
    if cost.serverless is not None:
        wrong += _row(document, cost.serverless, sheet)
    if cost.forecast is not None:
        try:
            read_forecast(cost.forecast, folders)
            put(data, ("cost", "forecast", "file"), find_forecast(cost.forecast.file, folders))
        except FileFault as error:
            where: Where = ("cost", "forecast", "file")
            wrong.append(Wrong(where, str(error)))
    return wrong


def read_forecast(block: ForecastTraffic, folders: Sequence[Path]) -> Forecast:
    """The file's rates at the block's mean, before a volume is known in requests. FileFault."""
    found = load_forecast(
        block.file, column=block.column, window_s=block.window, search_paths=folders
    )
    return found.at_mean(block.mean) if block.mean is not None else found


def _gpu(side: OnDemandSide, sheet: PriceSheet) -> list[Wrong]:
    """Row, discount and egress that the fleet needs of the sheet."""
    at, row = ("cost", "on_demand"), sheet.on_demand.get(side.gpu)
    if row is None:
        message = (
            f"sheet {sheet.name} has no GPU '{side.gpu}'{_nearest(side.gpu, list(sheet.on_demand))}"
        )
        return [Wrong((*at, "gpu"), message)]
    wrong = []
    if not row.price.low > 0:
        message = f"costs nothing in sheet {sheet.name}: always the cheaper one, nothing to compare"
        wrong.append(Wrong((*at, "gpu"), message))
    off = row.commitment_discount if side.commitment_discount is None else side.commitment_discount
    if side.scaling == "committed" and not off > 0:
        message = (
            f"is committed, and sheet {sheet.name} gives no discount; commitment_discount: 30%"
        )
        wrong.append(Wrong((*at, "scaling"), message))
    if off >= 1:
        message = "is all of the price: a committed replica costs nothing, nothing to compare"
        wrong.append(Wrong((*at, "commitment_discount"), message))
    if side.egress_per_request is not None and sheet.egress is None:
        message = f"sheet {sheet.name} has no egress price; give it one, such as egress: 0.09USD/GB"
        wrong.append(Wrong((*at, "egress_per_request"), message))
    return wrong


def _row(document: doc.Scenario, block: ServerlessSide, sheet: PriceSheet) -> list[Wrong]:
    """The row is that of `model`, else of the target's own model."""
    target = document.targets.get(block.target or "")
    own = getattr(target, "sent_model", getattr(target, "model", "auto"))
    model = block.model or str(own)
    name = sheet.row(model)
    if name is not None:
        row = sheet.serverless[name]
        where = ("cost", "serverless", "model" if block.model is not None else "target")
        if message := _unpriced(document, sheet.name, name, row):
            return [Wrong(where, message)]
        parts = (row, row.fine_tuned) if row.fine_tuned is not None else (row,)
        prices = [p for r in parts for p in (r.input, r.output, r.audio, r.request) if p]
        if not any(p.high > 0 for p in prices):
            message = f"row {name} asks nothing: always the cheaper one, nothing to compare"
            return [Wrong(("cost", "serverless", "model"), message)]
        return []
    if block.model is None and model == "auto":
        message = f"missing; the target's model is found at run time; {sheet.nearest_row('')}"
    else:
        message = f"sheet {sheet.name} has no row '{model}'; {sheet.nearest_row(model)}"
    return [Wrong(("cost", "serverless", "model"), message)]


def _unpriced(document: doc.Scenario, sheet: str, name: str, row: Serverless) -> str:
    """Why the row can bill none of what a class sends; empty where it can."""
    asks_tokens = row.input is not None or row.output is not None
    is_audio = [isinstance(c.workload, doc.AudioWorkload) for c in document.traffic]
    if row.request is not None or (asks_tokens and not all(is_audio)):
        return ""
    if all(is_audio) and (asks_tokens or row.audio is not None):
        return ""  # by the minute, or by tokens that the server tells
    return _no_tokens(sheet, name, row)


def _no_tokens(sheet: str, name: str, row: Serverless) -> str:
    units = {"audio": "audio_min", "image": "image", "request": "request"}
    used = [unit for field, unit in units.items() if getattr(row, field) is not None]
    first = f"100k{used[0]}" if used[0] == "audio_min" else f"100000{used[0]}"
    return (
        f"row {name} asks by the {' and '.join(used)}, and this traffic has tokens; its bill and"
        f" break-even: harness plan prices {sheet} --volume {name}={first}/month"
    )


def _told(error: ScenarioError, given: object) -> str:
    """The sheet's first fault, with its line."""
    fault = error.faults[0]
    if fault.path == "(file)":
        return fault.message
    place = f"line {fault.line} of {given}" if fault.line else str(given)
    more = f" (and {len(error.faults) - 1} more: harness plan prices {given})"
    return f"{place}: {fault.path} {fault.message}{more * (len(error.faults) > 1)}"


def _nearest(name: str, legal: list[str]) -> str:
    near = difflib.get_close_matches(name, legal, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; it has {', '.join(legal) or 'none'}"
