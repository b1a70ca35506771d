"""Memory of the compiled kernel: one record a request, one a replica, one of the deployment.

Records rather than columns: the kernel touches one request at a time, and a request is then two
cache lines. Fields ending in _units count parts of a token (`TOKEN_UNITS`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .model import TOKEN_UNITS, Deployment, StepModel
from .requests import Requests

RecordArray = npt.NDArray[np.void]
NONE = -1
READS, DECODES = 1, 2  # kinds of steps that have not run since the server had nothing to do
WAITING, PREFILLING, DECODING, FINISHED = range(4)  # a request's status
ROUND_ROBIN, STICKY, LEAST_LOADED, TWO_CHOICES, PREFIX_AWARE = range(5)
FREE, BATCH_FULL, KV_FULL, BUDGET_SPENT = range(4)  # why the first in line is not admitted

LIMITS = np.dtype([
    ("a0", "f8"), ("b", "f8"), ("a1", "f8"), ("c", "f8"), ("e", "f8"), ("d", "f8"),
    ("r", "f8"), ("g", "f8"), ("h", "f8"), ("idle_s", "f8"),
    ("max_batch", "i8"), ("budget", "i8"), ("gamma", "i8"), ("drafts_last", "i8"),
    ("is_watermark", "i8"), ("kv_units", "i8"), ("free_units", "i8"),
    ("half_block_units", "i8"), ("tau_units", "i8"),
    ("shared_tok", "i8"),  # size of a block with an id; 0: no prefix cache
    ("turn", "i8"),  # whose it is by round robin
])  # fmt: skip

REQUEST = np.dtype([
    ("enter_s", "f8"), ("scheduled_s", "f8"), ("first_s", "f8"), ("last_s", "f8"),
    ("n_in", "i8"), ("n_out", "i8"),
    ("num_done", "i8"),  # output tokens whose text is safe: kept through a preemption
    ("computed", "i8"),  # prompt tokens in the KV cache while prefilling
    ("end_units", "i8"),  # progress of the replica at which its last token comes
    ("base_units", "i8"),  # its KV minus the replica's progress, while decoding
    ("status", "i8"), ("preemptions", "i8"),
    ("heap_at", "i8"),  # its place in the replica's heap of ends
    ("cached_tok", "i8"),  # found in the prefix cache at its first admission
    ("num_shared", "i8"),  # blocks with ids that it holds
    ("num_offered", "i8"),  # blocks with ids that it has computed or found
    ("replica", "i8"),
    ("older", "i8"), ("newer", "i8"),  # neighbours among the running, in order of arrival
    ("behind", "i8"),  # next in line
])  # fmt: skip

REPLICA = np.dtype([
    ("now_s", "f8"),
    ("first", "i8"), ("last", "i8"),  # the line of those that never ran
    ("returned", "i8"),  # the preempted, before all of them
    ("table", "i8"),  # its row of blocks
    ("num_present", "i8"),  # in line or running
    ("pending_tok", "i8"),  # of prompts present, not computed yet
    ("idle_oldest", "i8"), ("idle_newest", "i8"), ("num_idle", "i8"),  # blocks that nobody holds
    ("newest", "i8"), ("num_running", "i8"), ("num_decoding", "i8"),
    ("prompt", "i8"),  # the one prompt that is partly computed
    ("progress_units", "i8"),  # what a sequence decoding since the start would have gained
    ("context_units", "i8"), ("used_units", "i8"), ("peak_units", "i8"),
    ("cold", "i8"),  # READS, DECODES or both
    ("after_tok", "i8"),  # of prompts, read since the last step that read none; at most a budget
    # the step that comes next, once planned
    ("is_planned", "i8"), ("most_steps", "i8"), ("first_step_s", "f8"), ("longer_s", "f8"),
    ("chunk", "i8"), ("growth_units", "i8"), ("gain_units", "i8"),
    ("num_finishing", "i8"), ("num_prefill", "i8"), ("blocked_by", "i8"),
    ("num_steps", "i8"), ("busy_s", "f8"), ("running_s", "f8"), ("prefill_tok", "i8"),
    ("preemptions", "i8"), ("output_units", "i8"), ("blocked_s", "f8", (4,)),
])  # fmt: skip

# A block with an id, on one replica.
BLOCK = np.dtype([
    ("is_cached", "i4"), ("num_holders", "i4"), ("older", "i4"), ("newer", "i4"),
])  # fmt: skip


def limits_record(model: StepModel, deployment: Deployment, requests: Requests) -> RecordArray:
    """[1]"""
    row = np.zeros(1, LIMITS)
    for name in ("a0", "b", "a1", "c", "e", "d", "r", "g", "h", "idle_s"):
        row[name] = getattr(model, name)
    row["max_batch"] = deployment.max_batch
    row["budget"] = deployment.max_batched_tokens
    row["gamma"] = deployment.gamma
    row["drafts_last"] = deployment.drafts == "last"
    row["is_watermark"] = deployment.memory == "watermark"
    for name in ("kv_units", "free_units", "half_block_units", "tau_units"):
        row[name] = getattr(deployment, name)
    if deployment.prefix_cache and requests.blocks is not None:
        row["shared_tok"] = requests.blocks.size_tok
    return row


def request_records(requests: Requests) -> RecordArray:
    """[n], nobody in line yet."""
    rows = np.zeros(len(requests), REQUEST)
    rows["enter_s"] = requests.arrival_s
    rows["n_in"], rows["n_out"] = requests.n_in, requests.n_out
    for name in ("scheduled_s", "first_s", "last_s"):
        rows[name] = np.nan
    for name in ("older", "newer", "behind", "heap_at", "replica"):
        rows[name] = NONE
    return rows


def replica_records(num_replicas: int) -> RecordArray:
    """[num_replicas], empty and idle at time minus infinity."""
    rows = np.zeros(num_replicas, REPLICA)
    rows["now_s"] = -np.inf
    rows["table"] = np.arange(num_replicas)
    for name in ("first", "last", "returned", "newest", "prompt", "idle_oldest", "idle_newest"):
        rows[name] = NONE
    return rows


def fits_ever(deployment: Deployment, requests: Requests) -> npt.NDArray[np.bool_]:
    """[n] Whether a request alone on a replica can be served to its end."""
    units = (requests.n_in + requests.n_out) * TOKEN_UNITS + deployment.half_block_units
    return np.asarray(units <= deployment.kv_units)
