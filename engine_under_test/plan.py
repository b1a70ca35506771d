"""What a step is to compute, what came of it, and what all steps add up to. No torch.

The scheduler writes plans, the runner carries them out and may put drafts on trial in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .request import FloatArray, Request, RequestOutput, RequestStatus, TokenLogprob


class DraftLengths(Protocol):
    """How many drafts are worth a trial. May keep what it learns in request.acceptance_ratio."""

    def num_drafts(self, r: Request, num_seqs: int) -> int:
        """For r in a step of num_seqs sequences."""

    def observe(self, r: Request, max_drafts: int, num_drafts: int, num_accepted: int) -> None:
        """Of max_drafts that were granted, num_drafts were made and num_accepted accepted."""


@dataclass(slots=True)
class ScheduledSeq:
    """num_new tokens of one request, from position request.num_computed on.

    is_sampled: the chunk reaches the last known token, so the next one is drawn, where any is.
    max_drafts: drafts that may follow it; slots for them are allocated.  num_drafts: that do.
    """

    request: Request
    num_new: int
    is_sampled: bool
    max_drafts: int = 0
    num_drafts: int = 0

    def put_drafts(self, ids: list[int]) -> None:
        """Put drafts on trial behind the last known token, in place of those put before.

        ids: at most max_drafts, may be empty.
        """
        assert len(ids) <= self.max_drafts, "drafts without a slot"
        self.request.draft_ids = ids
        self.num_new += len(ids) - self.num_drafts
        self.num_drafts = len(ids)


@dataclass(slots=True)
class SchedulerOutput:
    """One step. released_ids: requests that lost their row since the last step, for any reason."""

    seqs: list[ScheduledSeq]
    released_ids: list[str]
    preempted_ids: list[str]
    failed: list[RequestOutput]

    @property
    def num_tokens(self) -> int:
        """Tokens of all requests, drafts on trial included."""
        return sum(seq.num_new for seq in self.seqs)


@dataclass(slots=True)
class SampledTokens:
    """What the runner drew, aligned with SchedulerOutput.seqs; [] where nothing was drawn.

    With d drafts a row holds 1..d+1 tokens: the accepted drafts and one more.
    logprobs: None, or for each row None or one entry a token.
    prompt_logprobs: those of prompts' own tokens, by request id; they may come before any token.
    embeddings: of the requests with pooling whose prompt ended here, by id; see RequestOutput.
    """

    token_ids: list[list[int]]
    logprobs: list[list[TokenLogprob] | None] | None = None
    prompt_logprobs: dict[str, list[TokenLogprob]] = field(default_factory=dict)
    embeddings: dict[str, FloatArray] = field(default_factory=dict)


def book_scores(
    out: SchedulerOutput, scored: Mapping[str, list[TokenLogprob]]
) -> list[RequestOutput]:
    """What prompts were found to score, as outputs without tokens. Before num_computed moves."""
    outputs = []
    for r in (seq.request for seq in out.seqs if seq.request.request_id in scored):
        if r.status is RequestStatus.RUNNING:
            rows = scored[r.request_id]
            r.num_scored = max(r.num_computed, r.num_scored) + len(rows)
            outputs.append(RequestOutput(r.request_id, [], prompt_logprobs=rows))
    return outputs


@dataclass(slots=True)
class SchedulerCounters:
    """Totals since the start; prefix tokens are counted at first admissions only.

    num_drafts counts verifications (a request and step), num_draft_tokens the tokens put on trial;
    accepted tokens count as judged, before an ending among them cuts the answer (as in vLLM).
    """

    num_prefix_query_tokens: int = 0
    num_prefix_hit_tokens: int = 0
    num_preemptions: int = 0
    num_prompt_tokens: int = 0
    num_generation_tokens: int = 0
    num_drafts: int = 0
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0
    accepted_lengths: list[int] = field(default_factory=list)  # see Timings

    def book_trials(self, drafted: list[int], accepted: list[int]) -> None:
        """What a step judged: of each verification the drafts, at least one, and those accepted."""
        self.num_drafts += len(drafted)
        self.num_draft_tokens += sum(drafted)
        self.num_accepted_tokens += sum(accepted)
        lengths, longest = self.accepted_lengths, max(drafted)
        lengths.extend([0] * (longest + 1 - len(lengths)))
        for num_accepted in accepted:
            lengths[num_accepted] += 1
