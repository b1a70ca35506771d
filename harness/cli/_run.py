"""The steps of `harness run` after its job is known, each a function the verb reads out."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress

from harness.cli._endpoints import Endpoint, Endpoints
from harness.cli._interruption import Interruption
from harness.cli._job import GateWishes, Job, Team
from harness.cli._measure import measure_point
from harness.cli._options import Voice
from harness.errors import HarnessError, MeasurementError, TargetError, UsageError
from harness.load import Done, LoadProcess
from harness.records import Run, RunDirectory, RunStatus, provenance
from harness.scenario import Point
from harness.scenario.document import SearchSweep


def open_endpoints(job: Job, stack: ExitStack, voice: Voice) -> Endpoints:
    """Every target that a missing point needs."""
    return Endpoints(job.missing, job.materials, stack, voice)


def measure(
    job: Job,
    endpoints: Endpoints,
    team: Team,
    stack: ExitStack,
    voice: Voice,
    checks_client: bool | None = None,
) -> Run:
    """Drive the missing points one after the other; stop early when the user does.

    checks_client: whether the client is checked first; None: where the load is worth it.
    """
    if job.directory and job.missing:
        job.directory.reopen()
    directory = job.directory or RunDirectory.create(
        job.out,
        job.loaded.document.name,
        given_text=job.loaded.given_text,
        resolved_yaml=job.loaded.resolved_yaml(),
        provenance=provenance(),
    )
    directory.log.append(
        "run_resumed" if job.directory else "run_begun", run=directory.run_id,
        points=len(job.missing), notices=[n.sentence for n in job.notices],
    )  # fmt: skip
    try:
        status = _measure_missing(job, directory, endpoints, team, stack, voice, checks_client)
    except BaseException as error:
        directory.log.append("run_failed", error=getattr(error, "what", type(error).__name__))
        with suppress(HarnessError):  # a full disk: the first error tells it
            directory.finish("partial")
        voice.say(f"what was measured is kept: harness report {directory.path}")
        raise
    directory.log.append("run_ended", status=status)
    directory.finish(status)
    return Run.open(directory.path)


def _measure_missing(
    job: Job,
    directory: RunDirectory,
    endpoints: Endpoints,
    team: Team,
    stack: ExitStack,
    voice: Voice,
    checks_client: bool | None,
) -> RunStatus:
    """Point after point; the status of the run."""
    if not job.missing:
        return "complete"
    status: RunStatus = "complete"
    with Interruption() as interruption:
        load = stack.enter_context(
            LoadProcess(team.num_local, team.bind, remote_workers=team.num_remote, say=voice.say)
        )
        if team.num_remote:
            with interruption.reaching(load, voice.say):
                load.gather()
        _check_client(job, directory, load, team, checks_client, interruption, voice)
        if job.loaded.document.gate is not None:
            from harness.cli._gate_run import measure_gate  # statistics take a second to import

            return measure_gate(job, directory, endpoints, load, interruption, voice)
        if isinstance(job.loaded.document.sweep, SearchSweep):
            from harness.cli._search_run import measure_search

            return measure_search(job, directory, endpoints, load, interruption, voice)
        for position, point in enumerate(job.missing):
            if position:
                pause(job, interruption)
            done = measure_next(job, directory, point, endpoints, load, interruption, voice)
            if done is None:
                return "partial" if job.is_spent else "interrupted"
            if done.status != "complete":
                status = "interrupted" if done.status == "interrupted" else "partial"
            if status == "interrupted":
                break
    return status


def measure_next(
    job: Job,
    directory: RunDirectory,
    point: Point,
    endpoints: Endpoints,
    load: LoadProcess,
    interruption: Interruption,
    voice: Voice,
    *,
    is_fresh: bool = False,
) -> Done | None:
    """One point, and what is to be said of its end; None where the user, or a spent budget,
    stopped before it.

    is_fresh: an endpoint that is ours gets a process of its own.
    """
    if job.is_spent:
        voice.say(f"stopped before point {point.label}: {job.budget.told if job.budget else ''}")
        return None
    endpoint = endpoint_of(point, endpoints, interruption, is_fresh=is_fresh)
    if endpoint is None or interruption.is_asked:
        voice.say(f"stopped before point {point.label}")
        return None
    done = measure_point(
        load, directory, point, endpoint, job.materials, interruption, voice, budget=job.budget
    )
    if done.status != "complete" or done.reason:
        how = "ended" if done.status == "complete" else done.status
        voice.say(f"point {point.label}: {how}, {done.reason}")
    return done


def endpoint_of(
    point: Point, endpoints: Endpoints, interruption: Interruption, *, is_fresh: bool = False
) -> Endpoint | None:
    """None where the user wants to end. Starting an engine takes long: a signal is not made to
    wait for it. is_fresh: in a new process, the only one of ours, where it is ours."""
    try:
        with interruption.raising():
            if interruption.is_asked:
                return None
            return endpoints.fresh(point) if is_fresh else endpoints.of(point)
    except KeyboardInterrupt:
        return None


def _check_client(
    job: Job,
    directory: RunDirectory,
    load: LoadProcess,
    team: Team,
    is_wanted: bool | None,
    interruption: Interruption,
    voice: Voice,
) -> None:
    """This client's own error at the run's heaviest load, before the first point; stored in the
    run. A run that is continued keeps the check it has."""
    if is_wanted is False or interruption.is_asked:
        return
    # analysis takes a second to import: the load processes come up meanwhile
    from harness.cli import _client_check as client
    from harness.cli._client_loads import heaviest_load, with_headroom

    path = directory.path / client.CLIENT_CHECK
    own = heaviest_load(job.missing, job.materials)
    if own is None or not (is_wanted or (own.is_worth_checking and not path.exists())):
        return
    if team.num_remote:  # the scripted endpoint is on this host's loopback
        voice.say("the client is not checked: load processes run on other hosts (harness doctor)")
        return
    voice.say(
        f"checking this client at {own.chunks_per_s:,.0f} chunks/s against the scripted endpoint"
        " (--no-check-client skips it)"
    )
    try:
        check = client.check_client(
            with_headroom(own), client.BEFORE_RUN_S, load, interruption, intended=0
        )
    except KeyboardInterrupt:
        return  # the loop over the points stops before the first
    except (MeasurementError, TargetError, UsageError) as error:  # the run itself may still do
        voice.error(error)
        return
    directory.write_json(client.CLIENT_CHECK, check.to_json())
    voice.say(client.error_sentence(check))
    voice.notices(check.notices)


def pause(job: Job, interruption: Interruption) -> None:
    """sweep.cooldown: what one point left behind must not be met by the next."""
    sweep = job.loaded.document.sweep
    end_s = time.monotonic() + (sweep.cooldown if sweep else 0.0)
    while time.monotonic() < end_s and not interruption.is_asked:
        time.sleep(0.05)


def conclude(
    run: Run, job: Job, has_reports: bool, voice: Voice, wishes: GateWishes | None = None
) -> int:
    """Judge, write, print; the exit code."""
    # statistics and pictures take seconds to import: a refusal before any load need not wait
    from harness.cli import _finish
    from harness.cli._cost import answer_at_end
    from harness.cli._judge import judge

    if job.loaded.document.gate is not None:
        from harness.cli._gate_finish import conclude_gate

        return conclude_gate(run, job.loaded.document, has_reports, voice, job.notices, wishes)

    document = job.loaded.document
    judgement = judge(run, job.points)
    answer_at_end(run, document, judgement)
    view = _finish.make_view(run, document, judgement, job.notices)
    formats = document.output.reports if has_reports else ()
    with _finish.printed_anyway(run, view, judgement, voice):
        _finish.write_reports(run, view, judgement, formats)
        RunDirectory.open(run.path).log.append(
            "judged", outcome=judgement.outcome.value, exit_code=int(judgement.exit_code)
        )
        RunDirectory.open(run.path).refresh()
        _finish.append_step_summary(view, voice)
    if judgement.refusal is not None:
        voice.error(judgement.refusal)
    return int(judgement.exit_code)
