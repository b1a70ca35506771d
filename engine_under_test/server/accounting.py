"""What an answer says about itself: usage as billing counts it, timings as the engine saw them.

usage is exact at every moment, so it also serves continuous usage. timings go out only to clients
that asked with `x-harness-timings: 1`; queue + prefill + decode is the engine time exactly.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

from ..request import Timings
from .sequence import Sequence


def usage(sequences: Seq[Sequence], *, at_start: bool = False) -> dict[str, Any]:
    """Token counts so far. A prompt shared by several choices counts once, as OpenAI bills it.

    at_start: before the first token of the answer.
    """
    # Sequences of one prompt share the list object, so its identity tells prompts apart; the first
    # sequence speaks for the prompt, for the others find its blocks in the cache.
    prompts: dict[int, Sequence] = {}
    for sequence in sequences:
        prompts.setdefault(id(sequence.request.prompt_ids), sequence)
    prompt = sum(s.request.num_prompt for s in prompts.values())
    completion = 0 if at_start else sum(s.num_tokens for s in sequences)
    cached = sum(s.request.timings.cached_tokens for s in prompts.values())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def timings(sequences: Seq[Sequence], written_ns: int, is_streaming: bool) -> dict[str, Any]:
    """Timings of the first choice; with several, `choices` holds those of each.

    written_ns: when the first token (streaming) or the whole answer was handed to the socket.
    """
    rows = [_of_one(s, written_ns, is_streaming) for s in sequences]
    return rows[0] if len(rows) == 1 else {**rows[0], "choices": rows}


def _of_one(sequence: Sequence, written_ns: int, is_streaming: bool) -> dict[str, Any]:
    t = sequence.request.timings
    # The engine ran past a stop string; the answer's last token is the one that completed it.
    last_ns = max(sequence.last_ns, t.first_ns) if sequence.last_ns else t.last_ns
    return {
        **request_timings(t, sequence.request.num_prompt, last_ns, written_ns, is_streaming),
        "output_tokens": sequence.num_tokens,
        "wasted_tokens": sequence.wasted_tokens,
        "drafted_tokens": t.drafted_tokens,
        "accepted_tokens": t.accepted_tokens,
        "accepted_per_pos": list(t.accepted_per_pos),
        # An estimate; null where nothing was compared. See spec_gain.py.
        "net_speedup": t.without_drafts_s / t.compared_s if t.compared_s else None,
    }


def request_timings(
    t: Timings, num_prompt: int, last_ns: int, written_ns: int, is_streaming: bool = False
) -> dict[str, Any]:
    """What every request has, tokens or not; the rest is as for timings()."""
    shown_ns = t.first_ns if is_streaming else last_ns
    return {
        "queue_ms": (t.scheduled_ns - t.admitted_ns) / 1e6,
        "prefill_ms": (t.first_ns - t.scheduled_ns) / 1e6,
        "decode_ms": (last_ns - t.first_ns) / 1e6,
        "preempted_ms": t.preempted_ns / 1e6,
        "frontend_ms": (t.admitted_ns - t.received_ns + max(written_ns - shown_ns, 0)) / 1e6,
        "prefill_steps": t.prefill_steps,
        "decode_steps": t.decode_steps,
        "preemptions": t.preemptions,
        "prompt_tokens": num_prompt,
        "cached_tokens": t.cached_tokens,
        "received_ns": t.received_ns,
        "admitted_ns": t.admitted_ns,
        "scheduled_ns": t.scheduled_ns,
        "first_ns": t.first_ns,
        "last_ns": last_ns,
    }
