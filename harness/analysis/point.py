"""From the records of a point to its summary. Reads like the summary itself.

Pure: the tables come in, a PointSummary goes out. A stage of a point is analysed by the same
function with the stage's own window in its meta.
"""

from __future__ import annotations

import pyarrow as pa

from harness.analysis.summary import PointMeta, PointSummary


def analyse_point(requests: pa.Table, clients: pa.Table, meta: PointMeta) -> PointSummary:
    """Every estimate, check and curve of one window.

    requests: rows of the whole point (all phases, all stages: throughput and in-flight need those
    around the window).  clients: the load workers' one-second rows.
    """
    raise NotImplementedError
