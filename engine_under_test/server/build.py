"""From settings to a server that has already generated a token: find, load, warm, wire together.

The one place that knows which names `--model` takes. Everything wrong with a model or a plan is
raised here, before a port is opened, as an EngineError that names the file.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ..async_engine import AsyncEngine
from ..config import EngineConfig
from ..core import EngineCore
from ..engine_process import Beginning, CoreFacts, GrammarOrders, ProcessDriver
from ..errors import ConfigError, ModelError
from ..faults import BadFaultPlan, FaultPlan, slow_steps
from ..metrics import EngineMetrics
from ..model_config import Quantization
from ..models import SHAPES
from ..models.packaged import PACKAGED, packaged_file
from ..models.sentence import vector_rule
from ..models.shapes import FP8_SHAPES
from ..step_loop import Core
from ..structured import GrammarCompiler
from ..tokenizer import Tokenizer
from ..warm_up import warm_up
from .adapters import AdapterStore
from .app import ServerState
from .body_parser import BodyParser
from .call_grammar import Marks
from .models import ServedModel

log = logging.getLogger(__name__)
SHIPPED = Path(__file__).parent.parent / "weights"
WARM_UP_PROMPT = "warm"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from: weights in a directory or GGUF file, or a shape."""

    name: str
    directory: Path | None = None
    shape: str | None = None
    quantization: Quantization | None = None  # where the name says so


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the server, not the engine, is told."""

    served_name: str = ""
    api_key: str = ""
    is_strict: bool = False
    fault_plan: Path | None = None
    adapters: Path | None = None  # the one folder that adapters may load from
    touches_cache: bool = False  # have all of the KV cache's memory before the first request
    is_process: bool = False  # step in a process of its own


def shipped_models() -> list[str]:
    """Names of the trained models in this package."""
    return sorted(d.name for d in SHIPPED.iterdir() if (d / "config.json").is_file())


def find_model(name: str) -> ModelSource:
    """Resolve --model. Raises ConfigError that lists what exists."""
    if name in shipped_models():
        return ModelSource(name, directory=SHIPPED / name)
    if name in SHAPES:
        return ModelSource(name, shape=name)
    if name in FP8_SHAPES:
        return ModelSource(name, shape=FP8_SHAPES[name], quantization="fp8")
    if name in PACKAGED:
        return ModelSource(name, directory=packaged_file(name))
    path = Path(name)
    if path.is_dir() or (path.is_file() and path.suffix == ".gguf"):
        return ModelSource(path.resolve().name.removesuffix(".gguf"), directory=path)
    raise ConfigError(
        f"there is no model '{name}'",
        why=f"shipped: {', '.join(shipped_models()) or 'none'}; "
        f"in packages: {', '.join(PACKAGED)}; shapes with random weights: "
        f"{', '.join([*SHAPES, *FP8_SHAPES])}",
        do="use one of these names, or the path of a Hugging Face model directory or GGUF file",
    )


def build(source: ModelSource, config: EngineConfig, options: ServerOptions) -> ServerState:
    """Load everything and generate once. Raises EngineError (ConfigError, ModelError)."""
    faults = _read_faults(options.fault_plan)
    vectors = vector_rule(source.directory, config.pooling)
    config = replace(config, pooling=vectors.pooling)
    tokenizer = _read_tokenizer(source.directory)
    load = Loading(source.directory, config, options.touches_cache, faults)
    engine: Core | ProcessDriver
    grammars: GrammarCompiler | GrammarOrders
    if options.is_process:
        engine = ProcessDriver(Beginning(load, tokenizer.to_json(), tuple(tokenizer.eos_ids)))
        core, grammars = engine.facts, GrammarOrders()
    else:
        engine = load()
        core = CoreFacts.of(engine)
        eos_ids = core.eos_ids or tokenizer.eos_ids
        grammars = GrammarCompiler(tokenizer.to_json(), core.model_config.vocab_size, eos_ids)
    fault_header = faults.header if faults else ""
    model = ServedModel(
        name=options.served_name or source.name,
        model_config=core.model_config,
        engine_config=config,
        dtype=core.dtype_name,
        max_model_len=core.max_model_len,
        num_blocks=core.stats.num_blocks,
        eos_ids=core.eos_ids,
        weights="random" if source.directory is None else "trained",
        weights_digest=core.weights_digest,
        created_s=int(time.time()),
        fault_header=fault_header,
        vectors=vectors,
    )
    if config.spec is not None and config.spec.synthetic_rates:
        log.warning("drafts are accepted by a coin: the text means nothing")
    metrics = EngineMetrics(model.name, fault_header, config.spec)
    return ServerState(
        engine=AsyncEngine(engine, metrics),
        tokenizer=tokenizer,
        model=model,
        metrics=metrics,
        parser=BodyParser(options.is_strict),
        grammars=grammars,
        marks=Marks.of(tokenizer),
        adapters=AdapterStore(model.name, core.model_config, config, options.adapters),
        api_key=options.api_key,
        faults=faults,
    )


@dataclass(frozen=True, slots=True)
class Loading:
    """Calling it makes a warm engine; it can be sent to another process first."""

    directory: Path | None
    config: EngineConfig
    touches_cache: bool
    faults: FaultPlan | None

    def __call__(self) -> EngineCore:
        core = EngineCore(self.config)
        if self.touches_cache:
            core.touch_cache()
        warm_up(core, _read_tokenizer(self.directory).encode(WARM_UP_PROMPT))
        core.step_hook = slow_steps(self.faults) if self.faults else None
        return core


def _read_faults(path: Path | None) -> FaultPlan | None:
    if path is None:
        return None
    try:
        plan = FaultPlan.from_file(path)
    except BadFaultPlan as error:
        raise ConfigError(str(error)) from error
    log.warning("a fault plan is on: %s", plan.header)
    return plan


def _read_tokenizer(directory: Path | None) -> Tokenizer:
    if directory is None:
        return Tokenizer.of_bytes()
    try:
        return Tokenizer.from_path(directory)
    except (FileNotFoundError, ValueError) as error:
        raise ModelError("the tokenizer cannot be read", where=str(error)) from error
