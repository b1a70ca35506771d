"""`python -m engine_under_test serve --model tiny --port 0`: the engine behind an OpenAI API.

One line goes to stdout, `ready http://127.0.0.1:<port>/v1`; logs go to stderr. Bad input ends with
exit code 2 and a message of a few lines, never with a traceback.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .config import EngineConfig
from .errors import ConfigError, EngineError
from .model_config import DTYPE_BYTES
from .spec_options import add_options, spec_of

if TYPE_CHECKING:
    from .server.build import ModelSource

EXIT_USAGE = 2
ON_OFF = {"auto": None, "on": True, "off": False}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    args = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        serve(args)
    except EngineError as error:
        print(error.render(), file=sys.stderr)
        return EXIT_USAGE
    return 0


def serve(args: argparse.Namespace) -> None:
    """Load, listen, serve until stopped. Raises EngineError for everything a user can mend."""
    api_key = _api_key(args.api_key_env)
    if not _is_loopback(args.host) and not api_key:
        raise ConfigError(
            f"--host {args.host} opens the engine to other machines",
            why="without a key anyone who reaches it may use it",
            do="add --api-key-env NAME, or leave --host at 127.0.0.1",
        )
    # Imported late: torch takes seconds, and a wrong option should not.
    from .server.app import App
    from .server.build import ServerOptions, build, find_model
    from .server.serve import bind, run

    source = find_model(args.model)
    config = _config_of(args, source)
    options = ServerOptions(
        args.served_model_name,
        api_key,
        args.strict_api,
        args.fault_plan,
        args.adapters,
        touches_cache=True,
        is_process=_is_process(args),
    )
    try:
        sock = bind(args.host, args.port)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {args.host} port {args.port}",
            why=str(error.strerror or error),
            do="choose another --port; 0 takes a free one",
        ) from error
    with sock:
        run(App(build(source, config, options)), sock, exits_with_parent=args.exit_with_parent)


def _config_of(args: argparse.Namespace, source: ModelSource) -> EngineConfig:
    from .server.build import find_model

    return EngineConfig(
        model_dir=source.directory,
        shape=source.shape,
        num_layers=args.layers,
        seed=args.seed,
        dtype=args.dtype,
        device=args.device,
        attention=args.attention,
        quantization=args.quantization or source.quantization,
        overlap=ON_OFF[args.overlap],
        graphs=ON_OFF[args.graphs],
        max_model_len=args.max_model_len,
        block_size=args.block_size,
        num_blocks=args.num_blocks,
        kv_cache_bytes=args.kv_cache_bytes,
        max_num_seqs=args.max_num_seqs,
        max_num_batched_tokens=args.max_num_batched_tokens,
        enable_prefix_caching=not args.no_prefix_cache,
        max_waiting=args.max_waiting,
        num_threads=args.num_threads,
        merged_adapter=args.merge_adapter,
        max_loras=args.max_loras,
        max_lora_rank=args.max_lora_rank,
        spec=spec_of(args, source, find_model),
        pooling=args.pooling,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine_under_test", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("serve", help="serve one model over HTTP")
    default = EngineConfig(shape="debug")
    _add_model_options(command.add_argument_group("model"), default)
    _add_limits(command.add_argument_group("limits"), default)
    add_options(command)
    _add_server_options(command.add_argument_group("server"))
    return parser


def _add_model_options(model: argparse._ArgumentGroup, default: EngineConfig) -> None:
    model.add_argument(
        "--model",
        required=True,
        help="a shipped or packaged model, a named shape, a HF directory, or a GGUF file",
    )
    model.add_argument("--served-model-name", default="", metavar="NAME")
    model.add_argument("--dtype", choices=["auto", *DTYPE_BYTES], default=default.dtype)
    model.add_argument("--device", choices=["auto", "cpu", "cuda"], default=default.device)
    model.add_argument(
        "--attention",
        choices=["auto", "sdpa", "triton"],
        default=default.attention,
        help="auto (the default): Triton's kernels on a GPU, torch's on a CPU",
    )
    model.add_argument(
        "--quantization",
        choices=["fp8"],
        help="round the layers' weights to 8 bits at load; on a CPU to see what that costs",
    )
    model.add_argument(
        "--overlap",
        choices=[*ON_OFF],
        default="auto",
        help="begin a step before the one before it is booked; auto: on a GPU",
    )
    model.add_argument(
        "--graphs",
        choices=[*ON_OFF],
        default="auto",
        help="run decode steps as captured CUDA graphs; auto: on a GPU",
    )
    model.add_argument(
        "--pooling",
        choices=["last", "mean", "cls"],
        help="/v1/embeddings: of a prompt's last token, the mean of all, or its first token;"
        " default: as the model directory's modules.json says, else last",
    )
    model.add_argument("--layers", type=int, metavar="N", help="of a named shape: use N layers")
    model.add_argument("--seed", type=int, default=default.seed, help="of random weights and draws")

    model.add_argument(
        "--adapters", type=Path, metavar="DIR", help="LoRA adapters (PEFT), one a subfolder"
    )
    model.add_argument(
        "--merge-adapter", type=Path, metavar="DIR", help="add one adapter to the weights for good"
    )
    model.add_argument("--max-loras", type=int, default=default.max_loras, metavar="N")
    model.add_argument("--max-lora-rank", type=int, default=default.max_lora_rank, metavar="R")


def _add_limits(limits: argparse._ArgumentGroup, default: EngineConfig) -> None:
    limits.add_argument("--max-model-len", type=int, metavar="TOKENS")
    cache = limits.add_mutually_exclusive_group()
    cache.add_argument("--num-blocks", type=int, metavar="N")
    cache.add_argument(
        "--kv-cache-bytes",
        type=int,
        metavar="BYTES",
        help="taken from the system before the first request; on a CPU up to 512 MiB by default",
    )
    limits.add_argument("--block-size", type=int, default=default.block_size, metavar="TOKENS")
    limits.add_argument("--max-num-seqs", type=int, default=default.max_num_seqs, metavar="N")
    limits.add_argument(
        "--max-num-batched-tokens", type=int, default=default.max_num_batched_tokens, metavar="N"
    )
    limits.add_argument("--max-waiting", type=int, default=default.max_waiting, metavar="N")
    limits.add_argument("--no-prefix-cache", action="store_true")
    limits.add_argument("--num-threads", type=int, default=default.num_threads, metavar="N")


def _add_server_options(server: argparse._ArgumentGroup) -> None:
    server.add_argument("--host", default="127.0.0.1")
    server.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    server.add_argument(
        "--mode",
        choices=["auto", "thread", "process"],
        default="auto",
        help="step in a thread or in a process of its own; auto: in a process on a GPU",
    )
    server.add_argument("--api-key-env", metavar="NAME", help="variable that holds the API key")
    server.add_argument("--strict-api", action="store_true", help="unknown fields are errors")
    server.add_argument("--fault-plan", type=Path, metavar="FILE", help="be worse on purpose")
    server.add_argument(
        "--exit-with-parent", action="store_true", help="stop when the pipe at stdin closes"
    )


def _is_process(args: argparse.Namespace) -> bool:
    """auto: on a GPU, whose step leaves the processor time that serving should not contend for."""
    from .device import resolve_device

    return args.mode == "process" or (
        args.mode == "auto" and resolve_device(args.device).type != "cpu"
    )


def _api_key(variable: str | None) -> str:
    if variable is None:
        return ""
    key = os.environ.get(variable, "")
    if not key:
        raise ConfigError(
            f"the variable {variable} named by --api-key-env is empty or unset",
            do=f"export {variable}=... first",
        )
    return key


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
