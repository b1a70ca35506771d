"""What the engine counts about itself, as one frozen snapshot; no torch.

Counters (`num_*`) only grow; the rest are gauges of this moment or of the last step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .spec_gain import GainEstimate


@dataclass(frozen=True, slots=True)
class EngineStats:
    """One snapshot, taken between steps.

    prefix queries and hits count tokens, at a request's first admission only: a resume after
    preemption finds its own blocks and would flatter the hit rate.
    """

    num_running: int = 0
    num_waiting: int = 0
    kv_usage_ratio: float = 0.0
    num_blocks: int = 0
    num_prefix_query_tokens: int = 0
    num_prefix_hit_tokens: int = 0
    num_preemptions: int = 0
    num_prompt_tokens: int = 0  # computed or found in the prefix cache
    num_generation_tokens: int = 0
    num_drafts: int = 0  # verifications: a request and step
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0
    num_accepted_per_pos: tuple[int, ...] = ()
    spec_gain: GainEstimate = field(default_factory=GainEstimate)
    num_steps: int = 0
    last_step_s: float = 0.0
    last_scheduler_s: float = 0.0
    last_batch_tok: int = 0
    last_batch_seqs: int = 0
