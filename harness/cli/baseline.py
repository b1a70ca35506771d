"""`harness baseline`: the stored sessions that a gate may judge against."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli._options import Voice, out_root, voice_options

if TYPE_CHECKING:
    from harness.records import Session

_OUT = click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder of runs ($HARNESS_OUT)."
)


@click.group()
def command() -> None:
    """Stored baselines: saved by `--save-baseline NAME`, used by `--baseline NAME`.

    Sessions are only ever appended. What must not be used is put in quarantine, not deleted.
    """


@command.command("list")
@click.argument("name", required=False)
@_OUT
@voice_options
def list_(name: str | None, out: Path | None, voice: Voice) -> int:
    """Every baseline, or every session of NAME."""
    from harness.records import baseline_names, read_sessions

    root = out_root(out)
    if name is None:
        rows = [_summary(n, read_sessions(root, n)) for n in baseline_names(root)]
        lines = [
            f"{r['name']}: {r['in_use']} session{'s' if r['in_use'] != 1 else ''} in use,"
            f" {r['quarantined']} in quarantine, newest {r['newest']}"
            for r in rows
        ]
        voice.result("\n".join(lines) or f"no baseline below {root}", {"baselines": rows})
        return 0
    sessions = read_sessions(root, name)
    lines = [_line(s) for s in sessions]
    voice.result("\n".join(lines), {"name": name, "sessions": [_session(s) for s in sessions]})
    return 0


@command.command()
@click.argument("name")
@click.argument("run_id")
@click.option("--reason", metavar="TEXT", help="Why it must not be used.")
@click.option("--lift", is_flag=True, help="Let it back in.")
@_OUT
@voice_options
def quarantine(
    name: str, run_id: str, reason: str | None, lift: bool, out: Path | None, voice: Voice
) -> int:
    """Take the session of RUN_ID out of baseline NAME, or with --lift back in."""
    if lift == bool(reason):
        raise click.UsageError("say why: --reason TEXT; or --lift")
    from harness.records import set_quarantine

    now = datetime.now(UTC).isoformat(timespec="seconds")
    set_quarantine(out_root(out), name, run_id, reason or "", now)
    told = f"{run_id} is {'in use again' if lift else 'in quarantine'} in baseline {name}"
    voice.result(told, {"name": name, "run_id": run_id, "quarantine": reason or ""})
    return 0


@command.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The page to write.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of runs ($HARNESS_OUT).")
@voice_options
def report(name: str, output: Path | None, out: Path | None, voice: Voice) -> int:
    """A page with the history of each metric of NAME, one mark a session."""
    from harness.records import baseline_path, read_sessions, write_bytes

    root = out_root(out)
    sessions = read_sessions(root, name)
    from reports import render_html
    from reports.history import history_view

    path = output or baseline_path(root, name).with_suffix(".html")
    write_bytes(path, render_html(history_view(name, sessions)).encode())
    voice.result(f"report   {path}", {"report": str(path), "num_sessions": len(sessions)})
    return 0


def _summary(name: str, sessions: tuple[Session, ...]) -> dict[str, Any]:
    used = [s for s in sessions if not s.quarantine]
    return {
        "name": name, "in_use": len(used), "quarantined": len(sessions) - len(used),
        "newest": sessions[-1].saved_utc if sessions else "never",
        "keys": sorted({s.key[:12] for s in sessions}),
    }  # fmt: skip


def _session(session: Session) -> dict[str, Any]:
    return {**session.to_json(), "quarantine": session.quarantine}


def _line(session: Session) -> str:
    runs = max((len(v) for v in session.values.values()), default=0)
    state = f"quarantine: {session.quarantine}" if session.quarantine else "in use"
    return (
        f"{session.saved_utc}  {session.run_id}  build {session.build}  scenario"
        f" {session.key[:12]}  {runs} runs  {state}"
    )
