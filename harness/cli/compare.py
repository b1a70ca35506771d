"""`harness compare`: two stored runs side by side, metric by metric, with intervals."""

from __future__ import annotations

import click

from harness.cli._destination import destinations, out_option, require_format
from harness.cli._options import Voice, out_root, voice_options

FILES = {"html": "comparison.html", "markdown": "comparison.md", "json": "comparison.json"}
_FIELDS = ("scenario", "model", "hardware", "client", "engine_flags", "realised_lengths")


@click.command()
@click.argument("base")
@click.argument("candidate")
@click.option(
    "--allow", "allowed", multiple=True, type=click.Choice(_FIELDS),
    help="Compare although this field differs; repeatable. By default a difference is refused.",
)  # fmt: skip
@click.option(
    "--migration", is_flag=True,
    help="Two models on purpose: model, hardware, flags and lengths may differ; tells what each"
    " asked, sent and used.",
)  # fmt: skip
@click.option(
    "--prices", "sheets", multiple=True, metavar="SHEET",
    help="With --migration: what it cost; a price sheet that ships or a file. Repeatable.",
)  # fmt: skip
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(list(FILES)),
    help="Of --out; repeatable.",
)
@out_option("Write the comparison there instead of telling it.")
@voice_options
def command(
    base: str, candidate: str, allowed: tuple[str, ...], migration: bool, sheets: tuple[str, ...],
    formats: tuple[str, ...], output: str | None, voice: Voice,
) -> int:  # fmt: skip
    """Set CANDIDATE beside BASE: each RUN or RUN@TARGET, a directory, a name or `latest`.

    \b
      harness compare runs/A runs/B
      harness compare latest@baseline latest@candidate     the two arms of a gate
      harness compare latest@from latest@to --migration --prices SHEET
      harness compare runs/A runs/B --out page.html

    Repeats of one load within one run are paired blocks and carry verdicts; one run against one is
    inconclusive, and says why. It informs: exit 0 whatever the change, 4 where the two cannot be
    compared, naming each field that differs.
    """
    if formats and output is None:
        raise click.UsageError("--format and --out belong together")
    if output is not None:
        require_format(output, formats, FILES)
    if sheets and not migration:
        raise click.UsageError("--prices belongs to --migration")
    from harness.cli import _compare

    root = out_root()
    places = destinations(output, formats, FILES, ("html", "markdown")) if output else []
    sides = (_compare.open_side(base, root), _compare.open_side(candidate, root))
    if migration:
        allowed = tuple({*allowed, *_compare.OF_MIGRATION})
    comparison = _compare.compare_sides(*sides, allowed)
    if migration:
        comparison = _compare.with_costs(comparison, *sides, sheets)
    from harness.cli import _finish

    judgement = _compare.judgement_of(comparison, *sides)
    view = _finish.make_view(sides[1].run, sides[1].document, judgement, ())
    if output is not None:
        _finish.write_there(sides[1].run, view, judgement, places, voice)
        return 0
    if voice.as_json:
        voice.result("", view.data)
        return 0
    _finish.print_view(view, voice)
    return 0
