"""One sequence on its way to the client: tokens in, final text out, exact counts kept.

Decides what may be shown (no half characters, no possible stop string), where the answer ends, and
which tokens the engine computed in vain after that.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from math import nan

from ..detokenizer import StopChecker
from ..request import FinishReason, Request, RequestOutput, TokenLogprob
from ..tokenizer import Tokenizer
from .tools import StopsOutsideCalls

UNRANKED = 0  # of a prompt's first token: nothing stands before it to foretell it


@dataclass(slots=True)
class Delta:
    """What one step adds to one choice. finish_reason is set once, on its last visible part."""

    text: str = ""
    logprobs: Seq[TokenLogprob] = ()
    finish_reason: str | None = None

    @property
    def is_empty(self) -> bool:
        return not self.text and self.finish_reason is None


class Sequence:
    """num_tokens counts up to the token that completed a stop string; later ones are wasted.

    index: the choice it becomes.  echo: text the answer begins with, before any token.
    stops: what ends its text.  has_calls: calls may stand in it, which no stop string cuts.
    is_echo_only: no token is shown or counted.  is_over: nothing visible follows.
    is_closed: the engine has let go of it too, so its timings are final.
    """

    def __init__(
        self,
        request: Request,
        index: int,
        tokenizer: Tokenizer,
        stops: list[str],
        echo: str = "",
        has_calls: bool = False,
    ) -> None:
        self.request = request
        self.index = index
        self.echo = echo
        self.is_echo_only = False
        self.logprobs: list[TokenLogprob] = []
        self.finish_reason: str | None = None
        self.stop_reason: str | int | None = None
        self.num_tokens = 0
        self.wasted_tokens = 0
        self.last_ns = 0  # of the last counted token, where a stop string ended the answer
        self.error = ""
        self.is_closed = False
        self._detokenizer = tokenizer.detokenizer()
        kind = StopsOutsideCalls if has_calls else StopChecker
        self._checker = kind(stops) if stops else None
        self._pieces: list[str] = []
        self._pending_logprobs: list[TokenLogprob] = []
        is_told = request.params.logprobs is not None or request.params.prompt_logprobs is not None
        # Every token is shown as it comes: nothing is looked for, put before or told beside it.
        self._is_plain = not (stops or echo or is_told)
        if request.params.prompt_logprobs is not None:
            self._pending_logprobs.append(TokenLogprob(request.prompt_ids[0], nan, UNRANKED))

    @property
    def text(self) -> str:
        """All that was shown."""
        return "".join(self._pieces)

    @property
    def is_over(self) -> bool:
        return self.finish_reason is not None

    @property
    def must_be_stopped(self) -> bool:
        """The answer is complete but the engine still works on it."""
        return self.is_over and not self.is_closed

    def push(self, output: RequestOutput, end_ns: int) -> Delta:
        """Take the output of a step that ended at end_ns; returns what may be shown now."""
        reason = output.finish_reason
        if reason is None and self._is_plain and not (self.finish_reason or self.is_echo_only):
            return self._extend(output.new_token_ids)
        self.is_closed = reason is not None
        if reason is FinishReason.ERROR:
            self.error = output.error or "the engine could not finish this request"
        if self.is_over:
            self.wasted_tokens += len(output.new_token_ids)
            return Delta()
        if output.prompt_logprobs is not None:
            self._pending_logprobs += output.prompt_logprobs
            return Delta()  # the prompt is shown with the first token
        text = self._take_tokens(output, end_ns)
        if reason is not None and not self.is_over:
            text += self._flush()
            if not self.is_over:
                self.finish_reason = str(reason)
        return self._delta(text)

    def _extend(self, token_ids: list[int]) -> Delta:
        """What push does in nearly every step of nearly every answer: more tokens, more text."""
        self.num_tokens += len(token_ids)
        if len(token_ids) == 1:
            text = self._detokenizer.push(token_ids[0])
        else:
            text = "".join(map(self._detokenizer.push, token_ids))
        self._pieces.append(text)
        return Delta(text)

    def cut(self) -> Delta:
        """End the answer here as if the model had stopped."""
        self.finish_reason = "stop"
        return self._delta("")

    def _take_tokens(self, output: RequestOutput, end_ns: int) -> str:
        text = ""
        if self.is_echo_only:
            self.wasted_tokens += len(output.new_token_ids)
            self.finish_reason = "length"
            return text
        ends_in_stop_token = output.finish_reason is FinishReason.STOP
        last = len(output.new_token_ids) - 1
        for n, token_id in enumerate(output.new_token_ids):
            self.num_tokens += 1
            if output.logprobs is not None:
                self._pending_logprobs.append(output.logprobs[n])
            if ends_in_stop_token and n == last:
                if token_id in self.request.params.stop_token_ids:
                    self.stop_reason = token_id
                break  # end-of-sequence and stop tokens are counted, never shown
            text += self._check(self._detokenizer.push(token_id))
            if self.is_over:
                self.last_ns = end_ns
                self.wasted_tokens += last - n
                break
        return text

    def _check(self, piece: str) -> str:
        if self._checker is None or self.num_tokens <= self.request.params.min_tokens:
            return piece
        match = self._checker.push(piece)
        if match.stop is not None:
            self.finish_reason, self.stop_reason = "stop", match.stop
        return match.text

    def _flush(self) -> str:
        text = self._check(self._detokenizer.flush())
        if self._checker is None or self.is_over:
            return text
        return text + self._checker.flush()

    def _delta(self, text: str) -> Delta:
        """Log-probabilities travel with the text their tokens became part of."""
        if not self._pieces:
            text = self.echo + text
        self._pieces.append(text)
        delta = Delta(text, (), self.finish_reason)
        if self._pending_logprobs and not delta.is_empty:
            delta.logprobs, self._pending_logprobs = self._pending_logprobs, []
            self.logprobs += delta.logprobs
        return delta
