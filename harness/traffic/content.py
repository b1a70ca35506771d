"""What a row of a schedule says: messages of the asked length, the same for the same seed.

Text depends on the class, the stage and the row's content_id, never on the load level or on other
rows. Unique prompts carry SALT_MARK, which the sender replaces; shared openings carry the run's
own salt instead, so that requests share them and two runs do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.scenario import document as doc

from ._batches import Batches, draw_batches
from ._speech import RATE_HZ, SAMPLE_BYTES, samples_bytes, sound, wav_head
from .distributions import draw_counts
from .exact import ExactFitter
from .fitting import Fitter, LineFitter
from .salt import run_salt
from .schedule import Schedule
from .seeds import generator
from .span import Span
from .token_plan import TokenPlan
from .vocabulary import SALT_MARK, instruction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.scenario import Materials, Point

_OPENING = f"{SALT_MARK}\n\n"
_ORDERS = {  # how a prompt ends where its class names no requests
    "tools": "Call one of the functions.",
    "json_schema": "Answer with one JSON object on the topics above.",
}


@dataclass(frozen=True, slots=True)
class Content:
    """One request, before a dialect turns it into a body.

    messages: (role, text) in order, a system message not among them; empty for completions, whose
    text is `prompt`.  max_tokens: None where the answer is not limited.
    fields: what the workload adds to the body: tools, response_format, dimensions.
    salted: SALT_MARK stands once in the text (of embeddings: once in each) and has to be replaced
    by a salt.  inputs: the texts to embed.  sound: what is to be transcribed, wav_head: what stands
    before it in its file; with either there are no messages.
    """

    class_index: int
    system: str | None
    messages: tuple[tuple[str, str], ...]
    prompt: str | None
    max_tokens: int | None
    salted: bool
    sampling: doc.Sampling
    fields: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    wav_head: bytes = b""
    sound: Span | None = None

    @property
    def wav(self) -> bytes:
        """The whole recording; empty where there is none."""
        return self.wav_head + self.sound.read() if self.sound is not None else b""


class ContentMaker:
    """Makes the content of any row of one point.

    run_id: opens shared prefixes; without it two runs would share them in the server's cache.
    salt_words: hand these to `salt`, so that every salt has the length that prompts allow for.
    """

    def __init__(
        self,
        point: Point,
        schedule: Schedule,
        materials: Materials,
        token_plan: TokenPlan,
        run_id: str = "",
    ) -> None:
        self._point, self._schedule, self._materials = point, schedule, materials
        self._fixed_tok = token_plan.fixed_tok
        self._fitter = _fitter(token_plan, materials)
        self._embedding_plan = token_plan.of("embeddings")
        self._embedding_fitter = self._fitter
        if self._embedding_plan.kind != "tokenizer" and self._embedding_plan is not token_plan:
            self._embedding_fitter = _fitter(self._embedding_plan, materials)
        self.salt_words: Sequence[str] = self._fitter.salt_words
        self._run_opening = run_salt(run_id, self.salt_words) + "\n\n"
        self._prefixes: dict[tuple[int, int], str] = {}
        self._fields: dict[int, Mapping[str, Any]] = {}
        self._batches: dict[tuple[int, int], Batches] = {}
        self._sounds: dict[int, bytes] = {}  # by class

    def make(self, stage_index: int, row: int) -> Content:
        """The content of one row; equal arguments give equal texts."""
        stage = self._schedule.stages[stage_index]
        index = int(stage.class_id[row])
        traffic = self._point.traffic[index]
        asked_in, asked_out = int(stage.asked_in[row]), int(stage.asked_out[row])
        content_id, group = int(stage.content_id[row]), int(stage.prefix_group[row])
        system: str | None = None
        max_tokens = asked_out if asked_out > 0 else None
        fields: Mapping[str, Any] = {}
        match traffic.workload:
            case doc.EmbeddingsWorkload() as work:
                inputs = self._texts(work, index, stage_index, content_id)
                told = ("dimensions", "encoding_format")
                asked = {k: v for k in told if (v := getattr(work, k)) is not None}
                return Content(
                    index, None, (), None, None, True, traffic.sampling, asked, inputs
                )  # fmt: skip
            case doc.AudioWorkload() as work:
                spoken: dict[str, Any] = {"response_format": work.response_format}
                spoken |= {} if work.language is None else {"language": work.language}
                heard = self._sound(work, index, stage_index, row)
                head = b"" if work.clip is None else wav_head(heard.num_bytes)
                return Content(
                    index, None, (), None, None, work.clip is not None, traffic.sampling, spoken,
                    wav_head=head, sound=heard,
                )  # fmt: skip
            case doc.ChatWorkload():
                rng = self._rng(traffic.name, stage_index, str(content_id))
                system, text = self._chat(traffic.workload, index, group, asked_in, asked_out, rng)
                messages: tuple[tuple[str, str], ...] = (("user", text),)
                salted = True
            case doc.ToolsWorkload() | doc.JsonSchemaWorkload() as task:
                rng = self._rng(traffic.name, stage_index, str(content_id))
                messages = (("user", self._task(task, index, group, asked_in, rng)),)
                salted, max_tokens = True, task.max_tokens
                fields = self._task_fields(index, task)
            case doc.TraceWorkload():
                text = self._trace(traffic, index, content_id, group, asked_in, asked_out)
                messages, salted = (("user", text),), SALT_MARK in text
            case doc.DatasetWorkload():
                system, messages = self._dataset(traffic, index, content_id, group)
                salted = traffic.workload.salt
        prompt: str | None = None
        if traffic.api == "completions":
            prompt = "\n\n".join([*([system] if system else []), *(text for _, text in messages)])
            system, messages = None, ()
        return Content(
            index, system, messages, prompt, max_tokens, salted, traffic.sampling, fields
        )  # fmt: skip

    def _texts(
        self, work: doc.EmbeddingsWorkload, index: int, stage_index: int, k: int
    ) -> tuple[str, ...]:
        """The texts of the k-th request of a class, each of its own length and with the salt."""
        name, stage = self._point.traffic[index].name, self._schedule.stages[stage_index]
        if (stage_index, index) not in self._batches:
            self._batches[stage_index, index] = draw_batches(
                work, self._point.seed, name, stage_index,
                int(np.count_nonzero(stage.class_id == index)), self._materials.tables,
            )  # fmt: skip
        rng = self._rng(name, stage_index, str(k))
        extra_tok = self._embedding_plan.fixed_tok
        return tuple(
            self._embedding_fitter.fit(rng, _OPENING, "", tok - extra_tok)
            for tok in self._batches[stage_index, index].lengths(k)
        )

    def _sound(self, work: doc.AudioWorkload, index: int, stage_index: int, row: int) -> Span:
        """A file as it is, or a clip of the row's length from a place of its own in the sound."""
        stage = self._schedule.stages[stage_index]
        k = int(stage.content_id[row])
        if work.clip is None:
            file = self._materials.audio[work.files[k]].wav
            return Span(file, 0, len(file))
        name = self._point.traffic[index].name
        if index not in self._sounds:
            self._sounds[index] = samples_bytes(sound(self._rng(name, 0, "sound")))
        bank = self._sounds[index]
        rng = self._rng(name, stage_index, str(k))
        start = int(rng.integers(len(bank) // SAMPLE_BYTES)) * SAMPLE_BYTES
        num_samples = int(stage.audio_ms[row]) * RATE_HZ // 1000
        return Span(bank, start, num_samples * SAMPLE_BYTES)

    def _chat(
        self,
        workload: doc.ChatWorkload,
        index: int,
        group: int,
        asked_in: int,
        asked_out: int,
        rng: np.random.Generator,
    ) -> tuple[str | None, str]:
        """System message (None where none is asked) and user text; asked_in counts both."""
        wanted = asked_in - self._template_tok(index)
        opening = self._prefix(index, group) + _OPENING
        if workload.system_tokens is None:
            return None, self._prompt(rng, opening, asked_out, wanted)
        # the shared opening and the salt stand where the prompt begins: in the system message
        system_tok = int(draw_counts(workload.system_tokens, rng, 1, self._materials.tables)[0])
        if group >= 0:
            system_tok += round(self._fitter.cost_tok(self._prefix(index, group)))
        system = self._fitter.fit(rng, opening, "", min(system_tok, max(1, wanted - 1)))
        left = wanted - self._fitter.cost_tok(system)
        return system, self._prompt(rng, "", asked_out, left)

    def _prompt(
        self, rng: np.random.Generator, opening: str, asked_out: int, wanted_tok: float
    ) -> str:
        """Words between the opening and an instruction; none where room is short."""
        closing = "\n\n" + instruction(asked_out, self._fitter.tok_per_word)
        if wanted_tok < self._fitter.cost_tok(opening + closing) + self._fitter.tok_per_word:
            closing = ""
        return self._fitter.fit(rng, opening, closing, wanted_tok)

    def _task(
        self,
        task: doc.TaskWorkload,
        index: int,
        group: int,
        asked_in: int,
        rng: np.random.Generator,
    ) -> str:
        """Words where a length is asked, then one of the requests, which is never left out."""
        opening = self._prefix(index, group) + _OPENING
        closing = (
            task.prompts[int(rng.integers(len(task.prompts)))]
            if task.prompts
            else _ORDERS[task.kind]
        )
        if asked_in < 1:
            return opening + closing
        wanted = asked_in - self._template_tok(index)
        return self._fitter.fit(rng, opening, "\n\n" + closing, wanted)

    def _task_fields(self, index: int, task: doc.TaskWorkload) -> Mapping[str, Any]:
        """Made once a class: the same for all its requests."""
        if index not in self._fields:
            self._fields[index] = _fields(task, self._materials)
        return self._fields[index]

    def _trace(
        self,
        traffic: doc.TrafficClass,
        index: int,
        row: int,
        group: int,
        asked_in: int,
        asked_out: int,
    ) -> str:
        """Blocks of the trace's own prefixes where it tells them, unique words where not."""
        assert isinstance(traffic.workload, doc.TraceWorkload)
        trace = self._materials.traces[traffic.workload.file]
        wanted = asked_in - self._template_tok(index)
        rng = self._rng(traffic.name, 0, f"row-{row}")
        if trace.hash_ids is None:
            opening = self._prefix(index, group) + _OPENING
            return self._prompt(rng, opening, asked_out, wanted)
        closing = "\n\n" + instruction(asked_out, self._fitter.tok_per_word)
        room = wanted - self._fitter.cost_tok(self._run_opening + closing)
        # whole blocks that fit; what is left of the last one is this row's own text
        whole = max(0, int(room // trace.block_tok))
        shared = [self._block(b, trace.block_tok) for b in trace.hash_ids[row][:whole]]
        opening = self._run_opening + "".join(f"{block} " for block in shared)
        return self._prompt(rng, opening, asked_out, wanted)

    def _block(self, block_id: int, block_tok: int) -> str:
        """The text of one shared block: equal ids give equal texts in the whole run."""
        rng = self._rng("", 0, f"block-{block_id}")
        return " ".join(self._fitter.words(rng, block_tok))

    def _dataset(
        self, traffic: doc.TrafficClass, index: int, row: int, group: int
    ) -> tuple[str | None, tuple[tuple[str, str], ...]]:
        """The row as it stands, opened by a shared prefix or a salt where the class asks so."""
        assert isinstance(traffic.workload, doc.DatasetWorkload)
        given = self._materials.datasets[traffic.workload.file][row]
        messages = tuple(given.messages or (("user", given.prompt or ""),))
        opening = self._prefix(index, group) + (_OPENING if traffic.workload.salt else "")
        (role, text), *others = messages
        return None, ((role, opening + text), *others)

    def _prefix(self, index: int, group: int) -> str:
        """The shared opening of a group, kept once made; empty for none."""
        if group < 0:
            return ""
        if (index, group) not in self._prefixes:
            traffic = self._point.traffic[index]
            assert traffic.prefix is not None
            rng = self._rng(traffic.name, 0, f"prefix-{group}")
            self._prefixes[index, group] = self._fitter.fit(
                rng, self._run_opening, "\n\n", traffic.prefix.tokens
            )
        return self._prefixes[index, group]

    def _template_tok(self, index: int) -> float:
        return self._fixed_tok if self._point.traffic[index].api == "chat" else 0.0

    def _rng(self, class_name: str, stage: int, field: str) -> np.random.Generator:
        return generator(self._point.seed, "content", class_name, stage, field)


def _fitter(plan: TokenPlan, materials: Materials) -> Fitter:
    if plan.kind != "tokenizer":
        return LineFitter(plan, materials.words)
    file = plan.tokenizer_json or materials.tokenizer_json
    if file is None:
        raise ValueError("a TokenPlan of kind tokenizer needs a tokenizer")
    return ExactFitter(file, materials.words)


def _fields(task: doc.TaskWorkload, materials: Materials) -> dict[str, Any]:
    """What the class adds to every body."""
    if isinstance(task, doc.JsonSchemaWorkload):
        described = {"name": "answer", "strict": True, "schema": materials.tasks[task.schema_file]}
        return {"response_format": {"type": "json_schema", "json_schema": described}}
    choice: Any = task.tool_choice
    if choice not in ("auto", "required", "none"):
        choice = {"type": "function", "function": {"name": choice}}
    fields = {"tools": list(materials.tasks[task.tools_file]), "tool_choice": choice}
    if task.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = task.parallel_tool_calls
    return fields
