"""`cryoferry receiver`: what an operator does with the receiver's data folder."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.options import Data, DatabaseUrl, DryRun, Json, print_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.checking.folder_check import FileFinding
    from api.checking.whole_check import WholeCheck
    from api.database.engine import Database
    from api.store.storage import Storage

receiver = typer.Typer(
    help="Check the receiver's files against its database, and repair what is wrong.",
    no_args_is_help=True,
    add_completion=False,
)

MISMATCH = 6  # exit code
_ADVICE = {
    "missing": "with --repair its name becomes free, and agents and `cryoferry send` send it again",
    "changed": "with --repair it is moved to DATA/set-aside and its name becomes free, so that it is sent again",
    "unreadable": "nothing is changed: check the disk and its permissions, then check again",
    "extra": "with --repair it is moved to DATA/set-aside",
}


@receiver.callback()
def group() -> None:
    """Check the receiver's files against its database, and repair what is wrong."""


@receiver.command("check")
def check(
    data: Data,
    database: DatabaseUrl = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every file and compare its digest, not only its size and time stamp.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Move changed and extra files to DATA/set-aside, and have lost files sent again."
        ),
    ] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Compare the files on the disk with the database, both ways. The receiver may run meanwhile.

    A committed file is missing, changed or unreadable; a file that the database does not name is extra. The exposures
    of each session are added up, and compared with the registrars' outbox and with the files that these write. Exit
    code 6 if anything is not as it should be.
    """
    from api.checking.turns import background_turns
    from api.checking.whole_check import WholeCheck

    logging.getLogger("api").addHandler(logging.NullHandler())  # each finding is printed once, as a result
    with _opened(data.absolute(), database) as (opened, storage):
        whole = WholeCheck(
            opened, storage, background_turns(data.absolute()).take, deep=deep, notes=not dry_run, repairs=repair
        )
        done = _actions(opened, storage, repair=repair, dry_run=dry_run)
        for finding in _findings(whole):
            _show(finding, done(finding), json)
        doubtful = _check_exposures(data.absolute(), opened, repair=repair, dry_run=dry_run, json=json)
    _warn_of_readers(data.absolute(), database)
    counts = whole.counts
    line = (
        f"{counts.files} committed files: {counts.missing} missing, {counts.changed} changed,"
        f" {counts.unreadable} unreadable; {counts.extra} extra files; {doubtful} findings about exposures"
    )
    print_result(json, line, **asdict(counts), exposures_in_doubt=doubtful, deep=deep, repaired=repair and not dry_run)
    if counts.problems or doubtful:
        raise typer.Exit(MISMATCH)


def _check_exposures(data: Path, database: Database, *, repair: bool, dry_run: bool, json: bool) -> int:
    """Check the exposures of all sessions, and print what is wrong; return how many findings there are."""
    from api.checking import exposure_check
    from api.checking.turns import background_turns

    count = 0
    for session in exposure_check.check_sessions(database, data, background_turns(data).take, datetime.now(UTC)):
        for finding in session.findings:
            count += 1
            repaired = repair and not dry_run and exposure_check.repair(database, finding)
            line = f"exposures: {finding.line()}" + ("; done" if repaired else "")
            members = {"session": finding.session, "detail": finding.detail, "exposures": finding.names}
            print_result(json, line, finding="exposures", **members, action=finding.advice, repaired=repaired)
        if session.findings:
            told = session.account.line()
            line = f"session {session.name}: {told}"
            print_result(json, line, finding="account", session=session.name, account=session.account.as_json())
    return count


def _warn_of_readers(data: Path, url: str | None) -> None:
    from api.database.engine import sqlite_file
    from api.settings import ReceiverSettings
    from api.store.readable_by_others import readable_by_others

    for warning in readable_by_others(data, sqlite_file(ReceiverSettings(data=data, database=url).database_url)):
        logging.getLogger("cryoferry").warning("%s", warning)


@contextmanager
def _opened(data: Path, url: str | None) -> Iterator[tuple[Database, Storage]]:
    """Open the database and the data folder of a receiver, which runs or not; nothing is made.

    Raises
    ------
    BadOption
        It is not the data folder of a receiver.
    """
    from api.database.engine import Database
    from api.errors import BadOption
    from api.settings import SQLITE_NAME, ReceiverSettings
    from api.store.folder_identity import prepare_database
    from api.store.storage import Storage

    settings = ReceiverSettings(data=data, database=url)
    if not ((data / "sessions").is_dir() if url else (data / SQLITE_NAME).is_file()):
        raise BadOption(
            f"{data} is not the data folder of a receiver; nothing was checked",
            hint="Give --data (and --database) as `cryoferry serve` has them.",
        )
    database = Database(settings.database_url)
    try:
        prepare_database(database, data)
        yield database, Storage(data, 0)
    finally:
        database.close()


def _actions(
    database: Database, storage: Storage, *, repair: bool, dry_run: bool
) -> Callable[[FileFinding], tuple[str, bool]]:
    """Return what acts on a finding: a function that returns what is to be done or was done, and which of the two."""
    from api.checking.repair import REPAIRED
    from api.checking.repair import repair as repaired

    moment = datetime.now(UTC)

    def act(finding: FileFinding) -> tuple[str, bool]:
        if not repair or dry_run or finding.kind not in REPAIRED:
            return _ADVICE[finding.kind.value], False
        done = repaired(database, storage, finding, moment)
        return done or "nothing to do: it has changed since it was checked", done is not None

    return act


def _show(finding: FileFinding, done: tuple[str, bool], json: bool) -> None:
    name = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in finding.location)
    action, is_repaired = done
    members: dict[str, Any] = {"finding": finding.kind.value, "path": name, "detail": finding.detail}
    if finding.file is not None:
        members |= {"session": finding.file.session, "file": finding.file.path, "revision": finding.file.revision}
    line = f"{finding.kind.value}: {name}: {finding.detail}; {action}"
    print_result(json, line, **members, action=action, repaired=is_repaired)


def _findings(whole: WholeCheck) -> Iterator[FileFinding]:
    """Yield all findings, and show on a terminal how far the check is."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from transfer.terminal.console import PlainConsole

    console = PlainConsole(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    both = sys.stdout.isatty()  # results in a pipe must not be redirected to stderr
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True, redirect_stdout=both
    ) as bar:
        task = bar.add_task("checking committed files", total=whole.total_files())
        for finding in whole.committed():
            bar.update(task, completed=whole.counts.files)
            yield finding
        bar.update(task, description="looking for extra files", completed=whole.counts.files)
        yield from whole.extra()
