"""The commands `cryoferry watch`, `status`, `retry`, `doctor` and `config`."""

from __future__ import annotations

from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from configuration import ConfigError, Configuration, Setting, state_folder
from preprocess.commands.options import takes_alignment_options
from preprocess.exposure.chosen import ChosenAlignment

if TYPE_CHECKING:
    from rich.console import Console

    from agents.journal.journal import Journal
    from agents.journal.rows import ExposureRow

WATCHING, WORKING = "What is watched", "How it works"

Source = Annotated[Path, typer.Argument(metavar="SOURCE", help="The microscope's folder; nothing is written to it.")]
To = Annotated[str, typer.Option("--to", metavar="URL", help="The receiver: https://…, or http:// on this machine.")]
MaybeTo = Annotated[str | None, typer.Option("--to", metavar="URL", help="The receiver.")]
SessionName = Annotated[str, typer.Option(metavar="NAME", help="The session; one project on the receiver.")]
MaybeSession = Annotated[str | None, typer.Option(metavar="NAME", help="The session.")]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File that holds the token; otherwise CRYOFERRY_TOKEN.")
]
Ca = Annotated[Path | None, typer.Option(metavar="FILE", help="PEM file of the authority to trust.")]
Work = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The agent's own folder; by default this user's state folder / session."),
]
LayoutName = Annotated[
    Literal["auto", "epu", "serialem", "flat"],
    typer.Option(help="Who wrote the folder; auto tells by each file's name.", rich_help_panel=WATCHING),
]
SettleSeconds = Annotated[
    float, typer.Option(min=0.1, help="Unchanged for this long: finished.", rich_help_panel=WATCHING)
]
GiveUpSeconds = Annotated[
    float, typer.Option(min=1, help="Unchanged for this long, yet not whole: set aside.", rich_help_panel=WATCHING)
]
ScanSeconds = Annotated[float, typer.Option(min=0.1, help="Time between two scans.", rich_help_panel=WATCHING)]
Workers = Annotated[
    int, typer.Option(min=0, metavar="N", help="Alignments at once; 0: one for each GPU.", rich_help_panel=WORKING)
]
AlignTimeout = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="End an alignment after this.", rich_help_panel=WORKING)
]
KeepOutputs = Annotated[
    bool, typer.Option("--keep-outputs", help="Keep what was sent in the work folder.", rich_help_panel=WORKING)
]
Reserve = Annotated[
    int, typer.Option(min=0, help="Leave this much space on the work folder's disk.", rich_help_panel=WORKING)
]
Connections = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Chunks sent at once; by default as many as pay.", rich_help_panel=WORKING),
]
Limit = Annotated[
    str,
    typer.Option(
        metavar="TIMETABLE",
        help="Send at most so fast: `40MB/s`, or `08:00-18:00 40MB/s; 200Mbit/s`.",
        rich_help_panel=WORKING,
    ),
]
IdleSeconds = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="End when nothing was left to do for this.", rich_help_panel=WORKING),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def _absolute(chosen: ChosenAlignment) -> ChosenAlignment:
    """Return the choices with a gain reference that is found from every folder."""
    gain = chosen.settings.gain
    if gain.path is None:
        return chosen
    return replace(chosen, settings=replace(chosen.settings, gain=replace(gain, path=gain.path.resolve())))


@takes_alignment_options
def watch(
    source: Source,
    to: To,
    session: SessionName,
    alignment: ChosenAlignment,
    token_file: TokenFile = None,
    ca: Ca = None,
    work: Work = None,
    layout: LayoutName = "auto",
    settle_seconds: SettleSeconds = 30.0,
    give_up_seconds: GiveUpSeconds = 600.0,
    scan_seconds: ScanSeconds = 5.0,
    workers: Workers = 0,
    align_timeout: AlignTimeout = 1800.0,
    keep_outputs: KeepOutputs = False,
    work_reserve_bytes: Reserve = 1 << 30,
    connections: Connections = None,
    limit: Limit = "unlimited",
    exit_when_idle: IdleSeconds = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Watch a folder: align each finished movie, send its micrograph, and go on until stopped.

    It can be killed at any instant and continues where it was. What cannot be processed is set aside with its reason:
    see `cryoferry status` and `cryoferry retry`.
    """
    from agents.commands import watch_run
    from agents.daemon import WatchSettings
    from agents.layouts import LAYOUTS
    from transfer.client import ReceiverClient
    from transfer.credentials import read_token
    from transfer.pace.pacing import pacer_of
    from transfer.wire.names import check_session_name

    check_session_name(session)
    chosen, source = _absolute(alignment), source.absolute()
    if dry_run:
        watch_run.dry_run(source, LAYOUTS[layout], gain=chosen.settings.gain.path, as_json=json)
        return
    settings = WatchSettings(
        source=source,
        work=(work or state_folder() / session).absolute(),
        session=session,
        layout=LAYOUTS[layout],
        chosen=chosen,
        settle_s=settle_seconds,
        give_up_s=give_up_seconds,
        scan_s=scan_seconds,
        align_timeout_s=align_timeout,
        keep_outputs=keep_outputs,
        work_reserve_bytes=work_reserve_bytes,
        connections=connections,
        pacer=pacer_of(limit),
        exit_when_idle_s=exit_when_idle,
    )
    with ReceiverClient(to, read_token(token_file), ca=ca) as client:
        aligners = watch_run.local_workers(workers, chosen.settings.device)
        code = watch_run.run_agent(settings, client, aligners, token_file=token_file, as_json=json)
    raise typer.Exit(code)


def status(
    work: Work = None,
    session: MaybeSession = None,
    to: MaybeTo = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    json: Json = False,
) -> None:
    """Show what became of each exposure, here and, if it can be reached, on the receiver."""
    from agents.commands.progress import as_json, troubles
    from agents.commands.retry_plan import find_work_folder
    from agents.journal.journal import Journal
    from agents.work_folder import is_in_use

    folder = find_work_folder(work, session)
    journal = Journal(folder, create=False)
    try:
        exposures = journal.exposures()
        held_up, running = troubles(journal), is_in_use(folder)
        registered, unread = _registrations(journal, to, token_file, ca)
    finally:
        journal.close()
    of = [registered.get((str(e.exposure_id), e.revision), {}) for e in exposures]
    if json:
        for exposure, registrars in zip(exposures, of, strict=True):
            typer.echo(dumps({**as_json(exposure), "changed_at": exposure.changed_at, "registered": registrars}))
        typer.echo(dumps({"agent_runs": running, "troubles": held_up, "receiver": unread or "read"}))
        return
    _show_status(exposures, of)
    console = _console()
    console.print(f"The agent {'runs' if running else 'does not run'}; work folder {folder}", markup=False)
    for line in (*held_up, *([f"registered is not known: {unread}"] if unread else [])):
        console.print(line, style="yellow", markup=False)


def _registrations(
    journal: Journal, to: str | None, token_file: Path | None, ca: Path | None
) -> tuple[dict[tuple[str, int], dict[str, str]], str]:
    """Return what is registered, and why that cannot be told."""
    from agents.commands.retry_plan import registrations
    from transfer.client import ReceiverClient
    from transfer.credentials import read_token
    from transfer.wire.errors import TransferError

    url, noted = to or journal.about("url") or "", journal.about("token_file")
    try:
        token = read_token(token_file or (Path(noted) if noted else None))
        with ReceiverClient(url, token, ca=ca, timeout_s=5.0) as client:
            return registrations(client, journal.about("session") or ""), ""
    except TransferError as error:
        return {}, f"{type(error).__name__}: {error}"


def _show_status(exposures: list[ExposureRow], registered: list[dict[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from agents.commands.progress import STYLES, since

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("exposure", "state", "registered", "motion", "since", "reason"):
        table.add_column(heading, justify="right" if heading in ("motion", "since") else "left", overflow="fold")
    for exposure, registrars in zip(exposures, registered, strict=True):
        revision = f" (revision {exposure.revision})" if exposure.revision > 1 else ""
        table.add_row(
            Text(exposure.movie + revision),
            Text(exposure.state.value, STYLES[exposure.state]),
            ", ".join(name if state == "registered" else f"{name}: {state}" for name, state in registrars.items()),
            "" if exposure.motion_angstrom is None else f"{exposure.motion_angstrom:.1f} Å",
            since(exposure.changed_at),
            Text(" ".join((exposure.reason, exposure.hint)).strip() or "; ".join(exposure.warnings)),
        )
    console = _console()
    console.width = max(console.width, 160) if not console.is_terminal else console.width
    console.print(table)


@takes_alignment_options
def retry(
    alignment: ChosenAlignment,
    exposures: Annotated[
        list[str] | None, typer.Argument(metavar="EXPOSURE…", help="Exposure ids, movies or their stems.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Everything that is set aside.")] = False,
    work: Work = None,
    session: MaybeSession = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Try exposures again that were set aside, or others with new settings, as their next revision.

    Options that are given change the agent's settings for these exposures alone. A running agent notices by itself;
    otherwise the next `cryoferry watch` does it.
    """
    from agents.commands.retry_plan import do_retry, find_work_folder, plan_retry
    from agents.journal.journal import Journal
    from agents.workers.jobs import changes

    if not exposures and not failed:
        raise ConfigError("nothing is named to be tried again", hint="Name exposures, or give --failed.")
    folder, console = find_work_folder(work, session), _console()
    journal = Journal(folder, create=False)
    try:
        planned = plan_retry(journal, folder, exposures or [], failed=failed, changed=changes(_absolute(alignment)))
        with journal.transaction():
            for plan in planned:
                after = plan.exposure if dry_run else do_retry(journal, plan)
                told = {"movie": after.movie, "exposure_id": str(after.exposure_id), "will": plan.action}
                if json:
                    typer.echo(dumps({**told, "revision": after.revision, "done": not dry_run}))
                console.print(f"{'would' if dry_run else 'will'} {plan.action} again: {after.movie}", markup=False)
    finally:
        journal.close()
    if not planned:
        console.print("nothing is set aside")


def doctor(
    to: MaybeTo = None,
    session: MaybeSession = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    work: Work = None,
    scipion: Annotated[Path | None, typer.Option(metavar="DIR", help="Scipion's environment to check.")] = None,
    json: Json = False,
) -> None:
    """Check device, disk, clock, receiver, token and Scipion's environment, and say what to do."""
    from rich.text import Text

    from agents.commands.checks import Patient, examine

    folder = work or state_folder() / (session or "")
    patient = Patient(work=folder, url=to, session=session, token_file=token_file, ca=ca, scipion=scipion)
    console, sound = _console(), True
    for finding in examine(patient):
        sound = sound and finding.verdict != "fail"
        if json:
            typer.echo(
                dumps(
                    {
                        "check": finding.check,
                        "verdict": finding.verdict,
                        "told": finding.told,
                        "what_to_do": finding.what_to_do,
                    }
                )
            )
            continue
        style = {"ok": "green", "warn": "yellow", "fail": "bold red"}[finding.verdict]
        console.print(Text.assemble((f"{finding.verdict:5}", style), f"{finding.check:12}", finding.told))
        if finding.what_to_do:
            console.print(Text(f"{'':17}{finding.what_to_do}", "dim"))
    raise typer.Exit(0 if sound else 1)


config = typer.Typer(no_args_is_help=True, add_completion=False, help="Show the configuration.")


@config.callback()
def _config() -> None:
    """Show the configuration and where each value comes from."""


@config.command()
def show(ctx: typer.Context, json: Json = False) -> None:
    """Show every option's value and where it comes from, as a configuration file; secrets are not shown.

    What nobody configured stands there as a comment, with its default.
    """
    root = ctx.find_root()
    configured = root.obj.sources() if isinstance(root.obj, Configuration) else {}
    for section, defaults in _options_of(root).items():
        settings = configured.get(section, {})
        if not json:
            typer.echo(f"[{section}]")
        for key in sorted(defaults, key=lambda name: name not in settings):
            setting = settings.get(key, Setting(defaults[key], "default"))
            shown = setting.shown(key)
            if json:
                line = {"section": section, "key": key, "value": shown, "source": setting.source}
                typer.echo(dumps(line, default=str))
            elif key in settings:
                typer.echo(f"{key} = {dumps(shown, default=str, ensure_ascii=False)}  # {setting.source}")
            else:
                typer.echo(f"# {key} = {'' if shown is None else dumps(shown, default=str, ensure_ascii=False)}")


def _options_of(root: Any) -> dict[str, dict[str, Any]]:
    """Return the default of every configurable option, by section."""
    sections: dict[str, dict[str, Any]] = {}
    for name in root.command.list_commands(root):
        command = root.command.get_command(root, name)
        leaves = {f"{name}.{sub}": leaf for sub, leaf in getattr(command, "commands", {}).items()} or {name: command}
        for section, leaf in leaves.items():
            options = {option.name: option.default for option in leaf.params if option.name not in ("help", "json")}
            if options:
                sections[section] = options
    return sections
