"""The doctor's findings for people: tables of at most 80 columns, the same on a screen and in a
pipe. Words and figures are those of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from harness.analysis.client_check import NEAR_CEILING, CheckedLoad, ClientCheck
from harness.cli._finish import plain_console
from harness.cli._options import Voice
from harness.load.machine import MachineFacts
from harness.units import format_seconds
from reports._client_tables import (
    KINDS,
    QUANTILES,
    ceiling_sentence,
    cpu_text,
    error_sentence,
    load_text,
    quantile_texts,
    ratio_text,
    short,
)
from reports._text import percent

if TYPE_CHECKING:
    from harness.cli._doctor import Examined

WIDTH = 80
Rows = list[tuple[str, str]]


def render(
    machine: MachineFacts, target: Examined | None, check: ClientCheck, voice: Voice
) -> None:
    """Everything, on stdout."""
    console = plain_console(voice, WIDTH)
    console.print(_facts("This machine", machine_rows(machine)))
    if target is not None:
        console.print()
        console.print(_facts(f"The endpoint at {target.facts.base_url}", target_rows(target)))
    for load in check.loads:
        console.print()
        console.print(_errors(load))
    console.print()
    console.print(_costs(check))
    console.print()
    if check.own is not None:
        console.print(Text(error_sentence(check), style="bold"))
    console.print(Text(ceiling_sentence(check), style="bold"))
    console.print(Text(advice(check)))


def machine_rows(machine: MachineFacts) -> Rows:
    """Name and value of every fact."""
    limit = machine.num_descriptors
    ports = machine.num_ports
    return [
        ("cores", f"{machine.num_cpus_usable} usable of {machine.num_cpus}"),
        ("load average", f"{machine.load_average:.1f}"),
        ("CPU time stolen by other guests", percent(machine.steal_ratio)),
        ("open files a process", "unlimited" if limit is None else f"{limit:,}"),
        ("local ports to one address", "unknown" if ports is None else f"{ports:,}"),
        ("clock source", machine.clock_source),
        ("clock slew against the raw clock", f"{machine.slew_ppm:+.0f} ppm"),
        ("kernel receive stamps", "yes" if machine.kernel_stamps else "no: user stamps only"),
        (
            "a sleep of 1 ms ends late by",
            f"p50 {short(machine.timer_overshoot_p50_s)},"
            f" p99 {short(machine.timer_overshoot_p99_s)}",
        ),
    ]


def target_rows(target: Examined) -> Rows:
    """How far the endpoint is and what it takes."""
    shake, facts = target.handshake, target.facts
    usage = "in every chunk" if facts.has_continuous_usage else "at the end"
    rows = [
        ("model", facts.model),
        ("name lookup", format_seconds(shake.dns_s)),
        ("TCP connect; round trip (median of 5)",
         f"{format_seconds(shake.tcp_s)}; {format_seconds(facts.rtt_ns / 1e9)}"),
        ("TLS handshake", "none" if shake.tls_s is None
         else f"{format_seconds(shake.tls_s)} ({shake.tls_version})"),
        ("keeps connections", _yes(facts.keeps_connections)),
        ("reports usage", usage if facts.has_usage else "no: tokens would be estimated"),
    ]  # fmt: skip
    taken = [
        name
        for name, is_taken in (
            ("stream_options", facts.takes_stream_options),
            ("continuous_usage_stats", facts.takes_continuous_usage),
            ("ignore_eos", facts.takes_ignore_eos),
            ("min_tokens", facts.takes_min_tokens),
            ("max_completion_tokens", facts.uses_max_completion_tokens),
        )
        if is_taken
    ]
    rows.append(("accepts", ", ".join(taken) or "none of the optional fields"))
    if facts.dropped:
        rows.append(("refuses", ", ".join(facts.dropped)))
    return rows


def advice(check: ClientCheck) -> str:
    """What to do now."""
    ceiling = check.ceiling_chunks_per_s
    if ceiling is None:
        return "Free the cores of this machine, or run the load elsewhere; then check again."
    if check.own is not None:
        return (
            "Your load is near that: add --workers, or lower it."
            if check.is_near_ceiling
            else f"Your load is at most {NEAR_CEILING:.0%} of that: this client can carry it."
        )
    near = NEAR_CEILING * ceiling
    return f"Keep below {near:,.0f} chunks/s ({NEAR_CEILING:.0%}); a run above gets a notice."


def _facts(title: str, rows: Rows) -> Table:
    table = _table(title)
    table.show_header = False
    table.add_column("fact", style="dim")
    table.add_column("value", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _errors(load: CheckedLoad) -> Table:
    """Measured minus true at one load."""
    table = _table(f"{load_text(load)}: measured minus true")
    table.add_column("error of")
    table.add_column("n", justify="right")
    for kind in ("kernel", "user"):
        for position, quantile in enumerate(QUANTILES):
            head = kind if position == 0 else ""
            table.add_column(f"{head}\n{quantile}", justify="right", no_wrap=True)
    for kind, title in KINDS:
        kernel, user = getattr(load.kernel, kind), getattr(load.user, kind)
        count = f"{kernel.n:,}" if kernel else "0"
        table.add_row(
            title.removeprefix("chunk ").removeprefix("of these "),
            count,
            *quantile_texts(kernel),
            *quantile_texts(user),
        )
    return table


def _costs(check: ClientCheck) -> Table:
    table = _table(f"The client under load, {check.workers} load process"
                   f"{'es' if check.workers > 1 else ''}")  # fmt: skip
    for head in (
        "streams", "chunks/s\narrived", "CPU a\nchunk", "CPU", "send\nlag p99", "receive\nlag p99",
        "hub\nlag p99", "un-\ncertain",
    ):  # fmt: skip
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("clean")
    for load in check.loads:
        lags = (load.send_lag_p99_s, load.receive_lag_p99_s, load.hub_lag_p99_s)
        clean = Text("yes", "green") if load.is_clean else Text("no", "red")
        table.add_row(
            f"{load.streams:,}", f"{load.achieved_chunks_per_s:,.0f}", cpu_text(load),
            ratio_text(load.cpu_ratio), *map(short, lags), ratio_text(load.uncertain_ratio), clean,
        )  # fmt: skip
    return table


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        padding=(0, 1, 0, 0), header_style="dim",
    )  # fmt: skip


def _yes(value: bool) -> str:
    return "yes" if value else "no: each request opens its own"
