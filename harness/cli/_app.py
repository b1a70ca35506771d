"""The group, and the one place where an exception becomes a message and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import click

from harness import __version__
from harness.errors import ExitCode, HarnessError

# verb -> its line in --help, so that the list needs no import
VERBS = {
    "run": "Run a scenario: measure, judge, report.",
    "worker": "Send a share of the load of a run on another host.",
    "gate": "Judge a stored gate again, or against another baseline.",
    "compare": "Set two stored runs side by side, with intervals.",
    "calibrate": "Measure how much two runs of the same thing differ here.",
    "baseline": "List stored baselines, or take a session out of use.",
    "plan": "Replicas and money: from a stored run, a forecast and a price sheet.",
    "report": "Render runs again from their records.",
    "claims": "Hold published statements against stored runs and prices.",
    "init": "Write a commented scenario from the library.",
    "validate": "Check scenarios; every fault with line and column.",
    "expand": "Show the points a run would make.",
    "schema": "Print the JSON Schema of scenarios.",
    "doctor": "Check this machine, an endpoint, and the client's own timing error.",
    "serve": "Start the reference engine or the scripted endpoint.",
}

EXIT_CODES = """\b
Exit codes:
  0 done, all verdicts pass      1 a gate, SLO or claim failed
  2 bad usage or scenario        3 inconclusive
  4 measurement invalid          5 target unreachable or refused us
  70 internal error              130 interrupted, partial results kept"""


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_DO = "free some space, or send it elsewhere; the records of a run are kept"


class LazyGroup(click.Group):
    """Imports a verb's module when it is asked for, never before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"harness.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f". Verbs: {', '.join(VERBS)}"
            ctx.fail(f"no verb '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)


def _show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"harness {__version__}{_commit()}")
        ctx.exit()


def _commit() -> str:
    """` (git abc1234)` when run from a checkout, else nothing."""
    import subprocess

    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    found = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short", "HEAD"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f" (git {found.stdout.strip()})" if found.returncode == 0 else ""


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version,
    help="Show the version with its git commit.",
)  # fmt: skip
def group() -> None:
    """Benchmark LLM inference: decisions with error bars, from verified measurements.

    \b
    Start here:
      harness run quickstart                             the reference engine, one minute
      harness run quickstart --url URL --model NAME      your endpoint
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run a verb and leave with its exit code; never with a traceback unless --debug."""
    args = list(sys.argv[1:] if argv is None else argv)
    # a shell starts background jobs with SIGINT ignored; ours must end on it all the same
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _as_interrupt)  # so that what we started ends with us
    code = _run(args)
    _flush()
    sys.exit(code)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _flush() -> None:
    """What cannot be written any more is dropped here, else Python itself would change the exit
    code when it tries once more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _mutter(text: str) -> None:
    from harness.cli._options import mutter

    mutter(text)


def _run(args: list[str]) -> int:
    is_debug = "--debug" in args
    try:
        result = group.main(args=args, prog_name="harness", standalone_mode=False)
        return int(result) if isinstance(result, int) else ExitCode.OK
    except HarnessError as error:
        if is_debug:
            traceback.print_exc()
        _mutter(error.render())
        return error.exit_code
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        _mutter("interrupted")
        return ExitCode.INTERRUPTED
    except SystemExit:
        # no verb exits by itself; click does, with 1, when a reader left (`harness --help | head`)
        return ExitCode.OK
    except OSError as error:
        if error.filename is None and error.errno in _UNWRITABLE:  # stdout: files name themselves
            _mutter(f"error: stdout cannot be written\n  why:   {error.strerror}\n  do:    {_DO}")
            return ExitCode.USAGE
        return _internal(error, is_debug)
    except Exception as error:
        return _internal(error, is_debug)


def _internal(error: Exception, is_debug: bool) -> int:
    if is_debug:
        traceback.print_exception(error)
    else:
        _mutter(_bug(error))
    return ExitCode.INTERNAL


def _bug(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return (
        f"internal error: {type(error).__name__}: {error}\n  where: {place}\n"
        "  why:   this is a bug in the harness, not in your target; it is not a verdict\n"
        "  do:    run again with --debug and report what it prints"
    )
