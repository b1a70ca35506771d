"""`harness plan`: what a measured deployment means in replicas and in money."""

from __future__ import annotations

import importlib

import click

# verb -> its line in --help and its module, so that the list needs no import
PLANS = {
    "replicas": "Replicas for a forecast within the SLO, from the calibrated twin.",
    "crossover": "Serverless or on-demand: the traffic at which they cost the same.",
    "prices": "Print and check a price sheet: age, source, doubts.",
}


class _LazyPlans(click.Group):
    """Imports a plan's module when it is asked for, never before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(PLANS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PLANS:
            return None
        command = importlib.import_module(f"harness.cli._plan_{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Plans"):
            formatter.write_dl(list(PLANS.items()))


@click.group(cls=_LazyPlans)
def command() -> None:
    """Plans made from stored runs. Nothing is sent.

    \b
      harness plan replicas latest --mean 12/s             from a twin-sweep's run
      harness plan crossover latest --prices SHEET         serverless or on-demand?
      harness plan prices                                  the sheets that ship
      harness plan prices my-prices.yaml                   your own, checked
    """
