"""A server's `/metrics` page as rows: the Prometheus text format and OpenMetrics.

Parsed by prometheus-client, imported on first use. Every finite sample is kept, whatever its name,
but two kinds: `_bucket` series are nine tenths of such a page and no analysis reads them (latency
is measured here, not taken from a server's histogram), and `_created` never changes. What remains
of a vLLM page is about 150 rows a second. Says nothing about what a name means.
"""

from __future__ import annotations

import math
from typing import NamedTuple

MAX_SAMPLES = 20_000
MAX_LABELS = 1_000  # characters; what a server puts there is not ours to bound otherwise
_DROPPED = ("_bucket", "_created")


class Sample(NamedTuple):
    """One number of a page. labels: `a="1",b="2"` in order of name. kind: counter, gauge,
    histogram, summary, info, unknown."""

    name: str
    labels: str
    value: float
    kind: str


class NotExposition(ValueError):
    """The text is no page of metrics."""


def parse_exposition(text: str, content_type: str = "") -> list[Sample]:
    """The samples of a page. Counters end in `_total` whether or not the page spelled it.

    Raises NotExposition where any line is neither a sample nor a comment, or there are too many.
    """
    is_open = content_type.lower().startswith("application/openmetrics-text")
    if is_open:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
    else:
        from prometheus_client.parser import text_string_to_metric_families as parse

        text = "\n".join(line for line in text.splitlines() if not _is_bucket(line))
    found: list[Sample] = []
    try:
        for family in parse(text):  # type: ignore[no-untyped-call]
            for sample in family.samples:
                if sample.name.endswith(_DROPPED) or not math.isfinite(sample.value):
                    continue
                found.append(
                    Sample(sample.name, _labels(sample.labels), float(sample.value), family.type)
                )
    except Exception as error:  # the parser raises ValueError, KeyError and IndexError on garbage
        raise NotExposition(str(error)[:120] or "no metrics") from None
    if len(found) > MAX_SAMPLES:
        raise NotExposition(f"{len(found):,} series, more than {MAX_SAMPLES:,}")
    return found


def _is_bucket(line: str) -> bool:
    """Left out before parsing, which is what costs: a page of vLLM has 2,000 such lines."""
    return line.partition("{")[0].endswith("_bucket") and not line.startswith("#")


def _labels(labels: dict[str, str]) -> str:
    text = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return text[:MAX_LABELS]
