"""What a part of an uptime run had seen before its client was lost, killed or stopped.

`--resume` measures such a part again as a whole. What the lost client saw counts beside it: it may
be the outage that somebody stopped the run for. The time until the next client began was observed
by nobody and is neither up nor down. Pure; which attempts there were is told by the records.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from harness.analysis._evidence import Evidence
from harness.analysis.availability import uptime_windows
from harness.analysis.client_health import read_health
from harness.analysis.frame import FloatArray, read_frame
from harness.analysis.point_meta import PointMeta
from harness.analysis.steady_state import steady_state
from harness.analysis.summary import CutPart
from harness.analysis.validity import run_checks


def cut_part(
    requests: pa.Table, clients: pa.Table, meta: PointMeta, due_s: FloatArray | None
) -> CutPart:
    """meta: of the attempt, its window ending with the client's last sign of life.

    due_s: arrivals scheduled, from the window's start; None for a closed load, which has none. An
    attempt that is no valid measurement, but for being cut short, counts as not observed.
    """
    frame = read_frame(requests, meta.t0_ns, meta.t1_ns)
    lenient = meta.validity.model_copy(update={"min_requests": 0, "min_duration": 0.0})
    own = replace(meta, is_partial=False, num_scheduled=None, validity=lenient)
    health = read_health(clients, meta.t0_ns, meta.t1_ns)
    checks = run_checks(Evidence(frame, health, own, steady_state(frame, meta.kind, None)))
    why = next((check.sentence for check in checks if check.status == "invalid"), "")
    windows = () if why else uptime_windows(frame, meta.slo.uptime, due_s)
    return CutPart(meta.t0_ns, meta.window_s, windows, meta.wall_ns, why)
