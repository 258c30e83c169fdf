"""Runs an agent in this process: checks its settings, locks the work folder, reacts to signals."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

from rich.console import Console

from agents.commands.last_scan_line import last_scan_line
from agents.commands.progress import JsonLines, ProgressDisplay, summary
from agents.commands.restarts import Restarts
from agents.commands.session_account_news import SessionAccountNews
from agents.commands.signals import INTERRUPTED, listening
from agents.daemon import Agent
from agents.finding.finding_rules import FINDING_RULES, FindingRules
from agents.finding.source_access import SourceAccess
from agents.happenings import AgentEnded, Happenings
from agents.journal.changes import Change, NoteChanged
from agents.journal.journal import Journal
from agents.journal.opening import JOURNAL_ERRORS, NAME, JournalDamaged
from agents.journal.salvage import set_damaged_aside
from agents.journal.states import SET_ASIDE, State
from agents.retries import retry_one
from agents.share.reader import ShareReader
from agents.watch_settings import WatchSettings
from agents.work_folder import WorkLock, check_apart
from agents.workers.contract import AlignmentWorker
from agents.workers.gpus import permitted_gpus, shares_of_gpus
from agents.workers.jobs import to_json
from agents.workers.local_process import LocalProcessWorker
from configuration import ConfigError
from preprocess.escaped_names import escaped
from preprocess.kept_code import FALLBACK_VARIABLE
from transfer.client import ReceiverClient
from transfer.terminal.console import PlainConsole
from transfer.wire.accounting import AgentAccount
from transfer.wire.agent_status import LeaseWish
from transfer.wire.errors import SourceUnreadable
from transfer.wire.exposure_claim import LONGEST_SOURCE_NAME

log = logging.getLogger(__name__)

SOME_FAILED = 3


def local_workers(workers: int, device: str, work: Path) -> list[LocalProcessWorker]:
    """Return workers on this machine; no process runs yet.

    Parameters
    ----------
    work
        The work folder. Compiled code is kept in it where the user can write to none of the usual folders.
    workers
        How many; 0 means one for each GPU, or one when there is no GPU.
    device
        The option --device. With "auto", several workers share the GPUs that this process may use evenly.
    """
    gpus = permitted_gpus() if device == "auto" else []
    count = workers or max(1, len(gpus))
    kept = {FALLBACK_VARIABLE: str(work / "compiled")}
    return [LocalProcessWorker(kept | share) for share in shares_of_gpus(count, gpus)]


def real_source(access: SourceAccess, source: Path) -> str:
    """Return the source's path without links, after making sure that it can be read.

    Raises
    ------
    SourceUnreadable
    """
    try:
        return access.real_path()
    except NotADirectoryError as error:
        raise SourceUnreadable(
            f"{source} is a file, not a folder", hint="Give the folder that the microscope writes its movies to."
        ) from error
    except OSError as error:
        raise source_unreadable(source, error) from error


def source_unreadable(source: Path, error: OSError) -> SourceUnreadable:
    """Return the error that says why the source cannot be read."""
    hint = "Mount the microscope's share, or check the path and its permissions."
    if error.errno in (errno.EMFILE, errno.ENFILE):
        hint = "Raise the limit of open files (`ulimit -n`), or check the server of the share."
    return SourceUnreadable(f"the source {source} cannot be read: {error.strerror or error}", hint=hint)


def make_work_folder(work: Path) -> None:
    """Make the work folder, if it does not exist.

    Raises
    ------
    ConfigError
    """
    hint = "Give another folder with --work, or change the permissions."
    try:
        work.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"the work folder {work} cannot be made: a file has this name", hint=hint) from error
    except OSError as error:
        raise ConfigError(f"the work folder {work} cannot be made: {error.strerror}", hint=hint) from error
    if not os.access(work, os.W_OK):
        raise ConfigError(f"nothing can be written to the work folder {work}", hint=hint)


def lease_wish(*, beside: bool, take_over: bool, source_name: str) -> LeaseWish:
    """Return what the agent asks for, from the options --beside, --take-over and --source.

    Raises
    ------
    ConfigError
        The options contradict each other.
    """
    if len(source_name) > LONGEST_SOURCE_NAME:
        raise ConfigError(f"--source has {len(source_name)} characters; {LONGEST_SOURCE_NAME} are permitted")
    if beside and take_over:
        raise ConfigError("--beside and --take-over contradict each other", hint="Give one of them.")
    if beside and not source_name:
        raise ConfigError(
            "--beside needs --source NAME",
            hint="Give agents of one folder the same name, and agents of different folders different ones.",
        )
    if beside:
        return LeaseWish.BESIDE
    return LeaseWish.TAKE_OVER if take_over else LeaseWish.SINGLE


def run_agent(
    settings: WatchSettings,
    client: ReceiverClient,
    workers: Sequence[AlignmentWorker],
    *,
    reporting: ReceiverClient,
    remote_requests: bool,
    token_file: Path | None,
    ca: Path | None,
    clear_text: bool,
    in_use: Sequence[tuple[str, object, str]],
    as_json: bool,
) -> int:
    """Run an agent until it is stopped or idle; return the command's exit code.

    Parameters
    ----------
    reporting
        The receiver as the status report uses it.
    remote_requests
        Whether the agent does what people ask of it through the receiver.
    in_use
        The options that are not left to their defaults: key, value and source. They are printed at the start.

    Raises
    ------
    ConfigError, SourceUnreadable, TransferError, JournalError
    """
    began_s, stop = time.monotonic(), threading.Event()
    share = ShareReader(
        settings.source,
        settings.layout,
        follow_links=settings.follow_links,
        should_stop=stop.is_set,
        silence_s=settings.share_timeout_s,
    )
    console = PlainConsole(stderr=True)
    real_path, news = "", SessionAccountNews()
    own: AgentAccount | None = None
    compared = ""

    def prepare(journal: Journal, *, is_first: bool) -> None:
        url = str(client.url).rstrip("/")
        _claim(journal, settings, real_path)
        _note_receiver(journal, url, token_file, ca, clear_text=clear_text)
        if is_first:
            show_start(settings, url, in_use, console)

    def run(journal: Journal, happenings: Happenings) -> None:
        nonlocal own, compared
        display = ProgressDisplay(journal, console, live=console.is_terminal and not as_json)
        happenings.listen("progress", display)
        if as_json:
            happenings.listen("--json", JsonLines(sys.stdout.fileno()))
        with display.live():
            retry = partial(retry_one, journal, settings.work, look=share.identity) if remote_requests else None
            agent = Agent(
                settings, journal, client, workers, stop,
                share=share, reporting=reporting, retry=retry, on_account=news,
            )  # fmt: skip
            agent.run()
        own, compared = _account(journal), last_scan_line(agent.discovery)

    with listening(stop) as received, closing(share):
        try:
            real_path = real_source(share, settings.source)
        except SourceUnreadable:
            if received:  # no answer was waited for
                return INTERRUPTED if signal.SIGINT in received else 0
            raise
        check_apart(settings.work, Path(real_path))
        restarts = Restarts(settings.work, stop, lambda: bool(received))
        counts = None
        while counts is None:
            counts = _run_once(settings.work, restarts, prepare, run, news, began_s)
    with suppress(OSError):  # the terminal, or the reader of a pipe, may have gone
        console.print(summary(counts, time.monotonic() - began_s), markup=False, highlight=False)
        for line in filter(None, (news.at_end(own), compared)):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if signal.SIGINT in received:
        return INTERRUPTED
    return SOME_FAILED if not received and any(counts.get(state) for state in SET_ASIDE) else 0


def _run_once(
    work: Path,
    restarts: Restarts,
    prepare: Callable[..., None],
    run: Callable[[Journal, Happenings], None],
    news: SessionAccountNews,
    began_s: float,
) -> Mapping[State, int] | None:
    """Run an agent until it ends; return its counts then, or None if it has to begin again with a new journal.

    Raises
    ------
    ConfigError, TransferError, JournalError
    """
    happenings, lost = Happenings(), None
    opened = restarts.opened(partial(_opened, work, restarts, happenings))
    if opened is None:
        return {}
    lock, journal = opened
    with lock:
        try:
            prepare(journal, is_first=restarts.is_first)
            restarts.began()
            run(journal, happenings)
            counts = _counts(journal)
            seconds = time.monotonic() - began_s
            happenings.announce(AgentEnded(counts=counts, seconds=seconds, account=news.fresh()))
        except JournalDamaged as error:
            lost = error
            is_in_place = _is_in_place(journal)
        finally:
            happenings.close()
            journal.close()
    if lost is None:
        return counts
    return None if restarts.after(lost, is_in_place=is_in_place) else {}


def _opened(work: Path, restarts: Restarts, happenings: Happenings) -> tuple[WorkLock, Journal]:
    """Make and lock the work folder, and open its journal, a new one if need be.

    Raises
    ------
    ConfigError, OSError, JournalError, sqlite3.DatabaseError
    """
    make_work_folder(work)
    with ExitStack() as stack:
        lock = stack.enter_context(WorkLock(work))
        _salvage(work, restarts.damage)

        def announce(change: Change) -> None:
            if isinstance(change, NoteChanged):
                restarts.remember(change.key, change.value)
            happenings.announce(change)

        journal = Journal(work, announce=announce)
        stack.callback(journal.close)
        restarts.know(journal)
        stack.pop_all()
    return lock, journal


def _counts(journal: Journal) -> dict[State, int]:
    try:
        return journal.counts()
    except JOURNAL_ERRORS as error:  # the disk of the work folder has failed; the log said so
        log.warning("what became of the movies is not known now: the journal cannot be read (%s)", error)
        return {}


def _account(journal: Journal) -> AgentAccount | None:
    """Return where the exposures are; None: the journal cannot be read, which the log says."""
    try:
        return journal.account()
    except JOURNAL_ERRORS:
        return None


def _is_in_place(journal: Journal) -> bool:
    try:
        journal.check_place()
    except (JournalDamaged, OSError):
        return False
    return True


def _salvage(work: Path, damage: str) -> None:
    """Set a journal that cannot be used aside, and say so.

    Parameters
    ----------
    damage
        Why it cannot be used, if the agent found that while it used it.

    Raises
    ------
    ConfigError
    """
    try:
        happened = set_damaged_aside(work / NAME, known_damage=damage)
    except OSError as error:
        raise ConfigError(
            f"the journal {work / NAME} cannot be used, and cannot be renamed: {error.strerror}",
            hint="Rename it and the folder `exposures` beside it, then start the same command again.",
        ) from error
    if happened:
        log.warning(
            "%s. The agent begins with an empty journal: it asks the receiver which movies it has, and aligns and sends"
            " only the others. Nothing was deleted; remove what was kept once you do not need it",
            happened,
        )


def show_start(settings: WatchSettings, url: str, in_use: Sequence[tuple[str, object, str]], console: Console) -> None:
    """Print what is watched, where it is sent, and which settings are not the default."""
    lines = [
        f"Watching {settings.source}, layout {settings.layout.name}.",
        f"Sending to {url}, session {settings.session}. Work folder: {settings.work}.",
    ]
    # Their values stand above already; where they come from is worth a line unless it is the command line.
    said = ("source", "to", "session", "work")
    shown = [each for each in in_use if each[0] not in said or not each[2].startswith(("--", "the command line"))]
    if shown:
        lines.append("Settings in use (`cryoferry config show` lists all others, with their defaults):")
        lines += [f"  {key} = {value}  (from {place})" for key, value, place in shown]
    with suppress(OSError):  # the reader of a pipe may have gone
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _claim(journal: Journal, settings: WatchSettings, real_source: str) -> None:
    """Note what the work folder belongs to, and refuse that of another source or session."""
    if journal.about("session") is not None and journal.about("source_name") is None:
        journal.note(source_name="")  # an older version had no names of sources
    belongs_to = (
        ("source", escaped(real_source)),
        ("session", settings.session),
        ("source_name", settings.source_name),
    )
    for key, value in belongs_to:
        noted = journal.about(key)
        if key == "source_name" and noted not in (None, value):
            raise ConfigError(
                f"the work folder {settings.work} belongs to --source {noted!r}, not {value!r}",
                hint="Give the same --source as before, or another --work.",
            )
        if noted not in (None, value):
            raise ConfigError(
                f"the work folder {settings.work} belongs to {key} {noted}, not {value}",
                hint="Give each session a work folder of its own with --work.",
            )
    journal.note(
        source=escaped(real_source),
        session=settings.session,
        source_name=settings.source_name,
        settings=json.dumps(to_json(settings.chosen), sort_keys=True),
        **{FINDING_RULES: _rules(settings).as_note()},
    )


def _rules(settings: WatchSettings) -> FindingRules:
    return FindingRules(
        layout=settings.layout,
        follow_links=settings.follow_links,
        scan_s=settings.scan_s,
        silence_s=settings.share_timeout_s,
    )


def _note_receiver(journal: Journal, url: str, token_file: Path | None, ca: Path | None, *, clear_text: bool) -> None:
    """Note how the receiver is reached, for `cryoferry status`."""
    journal.note(
        url=url,
        token_file=None if token_file is None else escaped(str(token_file.resolve())),
        ca=None if ca is None else escaped(str(ca.resolve())),
        clear_text="yes" if clear_text else None,
    )
