"""Warnings as data: a code, a severity and arguments; one table turns a code into one sentence.

Console, JSON and the report's validity box all render the same notices, so they cannot disagree.
A sentence says what happened, why it matters and what to type next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["info", "warning", "invalid"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing the user should know. code: a key of SENTENCES. args fill its sentence."""

    code: str
    severity: Severity
    args: dict[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        return SENTENCES[self.code].format(**self.args)

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "severity": self.severity, "args": self.args}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Notice:
        return cls(row["code"], row["severity"], dict(row["args"]))


# Grouped by the room that raises them. Every code is raised by a test.
SENTENCES: dict[str, str] = {
    # the client's own check
    "client_near_ceiling": (
        "this run asks the client for {own} chunks/s, more than 60% of the {ceiling} chunks/s up to"
        " which it was clean just before: its own error may show; add --workers or lower the load"
    ),
    "client_not_clean": (
        "just before this run the client was not clean at the run's own load ({why}): its figures"
        " are in doubt; free its cores, add --workers or lower the load"
    ),
    # scenario
    "short_warmup": (
        "the warm-up of {warmup} is shorter than the recommended {recommended}: early requests may"
        " still see a cold target; set load.warmup"
    ),
    "search_reach": (
        "five windows at {rate} hold about {requests} requests, and {share} good cannot be shown"
        " with fewer than {needed} even if none misses: lengthen load.duration to {time} or more"
    ),
    "search_floor": (
        "a window at {rate} holds about {requests} requests and validity.min_requests asks for"
        " {least}: none there would be valid; lengthen load.duration to {time} or more"
    ),
    "search_rules": (
        "a search holds rates against slo.attainment alone, {share} of requests good, a failed one"
        " being none; not judged: {rules}"
    ),
    "too_few_requests": (
        "about {requests} measured requests cannot carry {quantile} (it needs {needed}): its rule"
        " will be inconclusive; lengthen load.duration"
    ),
    "too_few_windows": (
        "the load holds {planned} uptime windows of {window}; {objective} uptime takes {needed}"
        " without a bad one ({time}), {missing} more: its rule can only fail or stay inconclusive;"
        " lengthen load.duration or sweep.repeat"
    ),
    "gate_quantile": (
        "about {requests} requests cannot carry {quantile} for the gate's rule {rule} (it needs"
        " {needed}): the rule will be inconclusive; lengthen the runs, not their number"
    ),
    "gate_reach": (
        "{blocks} blocks cannot fail any of {rules} relative rules: the least p they reach together"
        " is {least}; raise gate.blocks, or ask fewer questions"
    ),
    "unknown_environment": (
        "the environment variable {name} is not one the harness knows; did you mean {nearest}?"
    ),
    "url_completed": (
        "target {target} has no path in its URL: /v1 was appended, requests go to {url}"
    ),
    "engine_sweep_dropped": (
        "{swept} is swept, which only the reference engine has: aimed at another server the"
        " scenario measures one point; run it once for each of that server's own settings"
    ),
    "dropped_rows": ("{rows} rows of {file} had failed there (no tokens) and are not replayed"),
    "long_rows": (
        "{rows} of the {total} rows of {file} are longer than {limit} input tokens and are left"
        " out: the load and its lengths are that much lighter than the trace's"
    ),
    "skipped_limit": "the limit on {metric} was skipped for class {name}: it cannot have it",
    # prices
    "stale_prices": (
        "the prices of {sheet} are of {as_of}, {days} days old (limit {limit}): every cost below is"
        " of that day; compare the vendor's page, then set as_of"
    ),
    "prices_from_tomorrow": (
        "the prices of {sheet} are dated {as_of}, which is still to come: correct as_of"
    ),
    # records
    "no_metrics": (
        "target {target} shows no metrics at {url} ({why}): its own queue, cache and token counts"
        " are not in this report; telemetry.prometheus.url names another page, or null"
    ),
    "partial_points": (
        "run {run}: points that were cut short are no evidence and are left out ({points}); harness"
        " run --resume {run} measures them again"
    ),
    "odd_token_counts": (
        "target {target} {why}: its prompt counts are not used, lengths are estimated at {chars}"
        " characters a token; name the model's tokenizer.json in tokens"
    ),
    "metrics_gaps": (
        "{failed} readings of {url} failed ({why}), {read} came: the target's own series have gaps"
    ),
}
