"""`cryoferry status` where the agent works: what its journal says, and what the receiver has of that."""

from __future__ import annotations

from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from agents.commands.exposure_filter import ExposureFilter, checked_states
from agents.commands.exposure_lines import (
    ExposureLine,
    left_out_text,
    one_line,
    print_lines,
    print_text,
    shortened_path,
)
from agents.commands.exposure_text import STYLES, as_json, since, troubles
from agents.commands.receiver_access import MOST_SINGLE_REQUESTS, ReceiverAccess, Registrars, read_registrations
from agents.finding.skipped_note import SKIPPED, Skipped, from_note
from agents.journal.reader import JournalReader, ListedExposure, SentMovies
from agents.journal.states import PAUSED, SET_ASIDE, State
from agents.work_folder import disk_trouble, is_in_use
from transfer.commands.shared import stderr_console, stdout_console
from transfer.terminal.lines import print_line

if TYPE_CHECKING:
    from rich.console import Console

    from transfer.wire.accounting import AgentAccount, SessionAccount
    from transfer.wire.protocol import Session

NEWEST_SET_ASIDE = 5
_ARRIVED = (State.COMMITTED, State.RELEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStatus:
    """What the journal of a work folder says at one moment.

    Attributes
    ----------
    skipped
        What the last scan left out of the source.
    newest_set_aside
        The newest few that are failed or held, the newest change last.
    exposures
        Those that the user wants listed, the newest change last.
    left_out
        How many older ones fit too, and are not listed.
    """

    folder: Path
    session: str
    source: str
    receiver: ReceiverAccess
    runs: bool
    paused: bool
    troubles: list[str]
    counts: dict[State, int]
    account: AgentAccount
    sent: SentMovies
    skipped: Skipped
    oldest_waiting: ListedExposure | None
    newest_set_aside: list[ListedExposure]
    exposures: list[ListedExposure]
    left_out: int


def read_local_status(folder: Path, receiver: ReceiverAccess, wanted: ExposureFilter, most: int | None) -> LocalStatus:
    """Read a journal.

    Parameters
    ----------
    most
        How many exposures are listed at most; None: all that fit.

    Raises
    ------
    ConfigError
        There is no state of a name that the user gave.
    JournalError
    """
    states = {*checked_states(wanted.states, State), *(SET_ASIDE if wanted.failed else ())}
    with JournalReader(folder) as journal:
        exposures, left_out = journal.listed(
            states=states or tuple(State),
            since=wanted.since,
            is_wanted=wanted.fits(),
            exposure_id=wanted.exposure_id(),
            most=most,
        )
        return LocalStatus(
            folder=folder,
            session=journal.about("session") or "",
            source=journal.about("source") or "",
            receiver=receiver.or_noted(journal),
            runs=is_in_use(folder),
            paused=journal.about(PAUSED) is not None,
            troubles=troubles(journal) + _of_own_disk(folder),
            counts=journal.counts(),
            account=journal.account(),
            sent=journal.sent(),
            skipped=from_note(journal.about(SKIPPED)),
            oldest_waiting=journal.oldest_waiting(),
            newest_set_aside=journal.listed(states=tuple(SET_ASIDE), most=NEWEST_SET_ASIDE)[0],
            exposures=exposures,
            left_out=left_out,
        )


def _of_own_disk(folder: Path) -> list[str]:
    """Return what is wrong with the work folder's disk now: an agent that cannot write its journal cannot note it."""
    trouble = disk_trouble(folder)
    return [f"work folder: {trouble}"] if trouble else []


class Registrations:
    """What the receiver says about the session and about the exposures that are listed.

    Attributes
    ----------
    session
        The session; None: it was not asked for, or the receiver did not answer.
    unread
        Why something is not known; empty: all is known.
    """

    def __init__(self, here: LocalStatus, *, with_session: bool, however_many: bool) -> None:
        from uuid import UUID

        self.session: Session | None = None
        self.unread = ""
        self._found: dict[tuple[UUID, int], Registrars] = {}
        self._id = UUID
        asked = {self._key(exposure) for exposure in here.exposures if exposure.state in _ARRIVED}
        if len(asked) > MOST_SINGLE_REQUESTS and not however_many:
            self.unread = f"not asked about more than {MOST_SINGLE_REQUESTS} exposures: give --registered to ask anyway"
            asked.clear()
        if not (asked or with_session):
            return
        if not here.receiver.url:
            self.unread = "no receiver is known: give --to URL"
        else:
            self._ask(here, asked, with_session=with_session)

    def _ask(self, here: LocalStatus, asked: set[tuple[Any, int]], *, with_session: bool) -> None:
        from transfer.wire.errors import TransferError

        try:
            with here.receiver.client() as client:
                if with_session:
                    self.session = client.session(here.session)
                if asked:
                    self._found = read_registrations(client, here.session, asked)
        except TransferError as error:
            self.unread = f"{type(error).__name__}: {error}"

    def _key(self, exposure: ListedExposure) -> tuple[Any, int]:
        return self._id(exposure.published_id), exposure.revision

    def of(self, exposure: ListedExposure) -> Registrars:
        """Return the state of an exposure with each registrar, as far as it is known."""
        return self._found.get(self._key(exposure), {})


def compared_account(own: AgentAccount, session: Session | None) -> SessionAccount | None:
    """Return the receiver's account; it is an alarm if this journal, read before, has sent more than the receiver has.

    The receiver itself cannot know it once it was restored from an older copy, and no agent has reported since.
    """
    account = None if session is None else session.account
    if session is None or account is None or own.sent <= session.exposure_count + account.deleted:
        return account
    there = session.exposure_count + account.deleted
    alarm = (
        f"this work folder has sent {own.sent:,} exposures, and the receiver has only {there:,} of them:"
        " start `cryoferry watch` again, it sends what is missing"
    )
    return account.model_copy(update={"alarms": (*account.alarms, alarm)})


def print_json(here: LocalStatus, *, however_many: bool) -> None:
    """Print one object for each listed exposure, and a last one about the whole."""
    receiver = Registrations(here, with_session=True, however_many=however_many)
    for exposure in here.exposures:
        typer.echo(dumps({**_as_json(exposure), "registered": receiver.of(exposure)}))
    session, sent, waiting = receiver.session, here.sent, here.oldest_waiting
    account = compared_account(here.account, session)
    whole = {
        "session": here.session,
        "source": here.source,
        "work": str(here.folder),
        "agent_runs": here.runs,
        "paused": here.paused,
        "troubles": here.troubles,
        "counts": {state.value: count for state, count in here.counts.items()},
        "movies_sent": sent.movies,
        "bytes_sent": sent.size_bytes,
        "movies_sent_last_hour": sent.movies_last_hour,
        "bytes_sent_last_hour": sent.bytes_last_hour,
        "movies_per_hour": sent.per_hour(),
        "first_found_at": sent.first_found_at,
        "skipped": here.skipped.as_json(),
        "oldest_waiting": waiting and _as_json(waiting),
        "newest_set_aside": [_as_json(exposure) for exposure in here.newest_set_aside],
        "receiver": receiver.unread or "read",
        "receiver_url": here.receiver.url,
        "session_state": session and session.state.value,
        "exposure_count": session and session.exposure_count,
        "registered_count": session and session.registered_count,
        "failed_count": session and session.failed_count,
        "account": account and account.as_json(),
        "agent_account": here.account.model_dump(mode="json"),
        "waiting": session and [one.model_dump(mode="json") for one in session.waiting or ()],
        "listed": len(here.exposures),
        "left_out": here.left_out,
    }
    typer.echo(dumps(whole))


def _as_json(exposure: ListedExposure) -> dict[str, Any]:
    return {**as_json(exposure), "changed_at": exposure.changed_at}


def print_list(here: LocalStatus, wanted: ExposureFilter, *, full: bool, however_many: bool) -> None:
    """Print the listed exposures on stdout; on stderr, what is left out or not known."""
    console = stderr_console()
    if not here.exposures:
        words = wanted.in_words()
        console.print(f"No exposure is {words}." if words else "No movie was found yet.", markup=False)
        return
    receiver = Registrations(here, with_session=False, however_many=however_many)
    print_lines([_line(each, receiver.of(each)) for each in here.exposures], stdout_console(), full=full)
    if here.left_out:
        console.print(left_out_text(here.left_out), markup=False)
    if receiver.unread:
        console.print(f"What is registered is not known: {receiver.unread}", style="yellow", markup=False)


def _line(exposure: ListedExposure, registrars: Registrars) -> ExposureLine:
    revision = f" (revision {exposure.revision})" if exposure.revision > 1 else ""
    return ExposureLine(
        state=exposure.state.value,
        style=STYLES[exposure.state],
        since=since(exposure.changed_at),
        motion="" if exposure.motion_angstrom is None else f"{exposure.motion_angstrom:.1f} Å",
        registered=registered_text(registrars),
        movie=exposure.movie + revision,
        reason=exposure.reason or "; ".join(exposure.warnings),
        hint=exposure.hint,
    )


def registered_text(registrars: Registrars) -> str:
    """Return with which registrars an exposure is registered, and the state with the others."""
    return ", ".join(name if state == "registered" else f"{name}: {state}" for name, state in registrars.items())


def print_totals(here: LocalStatus, again: str) -> None:
    """Print the totals on stdout, first those of the journal.

    Parameters
    ----------
    again
        The command that shows this work folder.
    """
    console = stdout_console()
    print_text(console, f"Session {here.session or '?'}, from {here.source or '?'}")
    runs = "The agent is running." if here.runs else "The agent is not running: start it with `cryoferry watch`."
    print_text(console, runs, "" if here.runs else "yellow")
    print_text(console, f"Work folder: {here.folder}")
    for line in here.troubles:
        print_text(console, line, "yellow")
    print_line()
    _print_counts(here.counts)
    print_line()
    _print_rates(here, console)
    receiver = Registrations(here, with_session=True, however_many=False)
    if receiver.session is None:
        print_text(console, f"{'receiver':10}{receiver.unread}", "yellow")
    else:
        print_text(console, f"{'receiver':10}{here.receiver.url}, session {session_state(receiver.session)}")
        print_text(console, session_counts(receiver.session), indent=10)
        for line in waiting_lines(receiver.session):
            print_text(console, line, "yellow", indent=10)
    print_account(here.account, compared_account(here.account, receiver.session))
    _print_set_aside(here, again)


def _print_counts(counts: dict[State, int]) -> None:
    from rich.text import Text

    console = stdout_console()
    widths = {state: max(len(state.value), len(f"{count:,}")) for state, count in counts.items()}
    console.print(Text("  ").join(Text(state.value.rjust(widths[state]), STYLES[state]) for state in counts))
    console.print(Text("  ".join(f"{count:,}".rjust(widths[state]) for state, count in counts.items())))


def _print_rates(here: LocalStatus, console: Console) -> None:
    from rich.filesize import decimal

    sent, waiting = here.sent, here.oldest_waiting
    if sent.first_found_at is None:
        print_line("No movie was found yet.")
    else:
        print_line(f"{'sent':10}{sent.movies_last_hour:,} movies ({decimal(sent.bytes_last_hour)}) in the last hour")
        per_hour = sent.per_hour()
        rate = "" if per_hour is None else f": {per_hour:,.0f} an hour on average"
        started = since(sent.first_found_at)
        print_line(f"{'':10}{sent.movies:,} movies ({decimal(sent.size_bytes)}) since the start {started} ago{rate}")
    if waiting is not None:
        told = f"longest: {waiting.state.value} for {since(waiting.changed_at)}: "
        room = max(24, console.width - 10 - len(told))
        print_line(f"{'waiting':10}{told}{shortened_path(one_line(waiting.movie), room)}")
        if waiting.reason:
            print_text(console, waiting.reason, indent=10)
    if here.skipped.counts:
        print_text(console, f"{'skipped':10}{here.skipped.in_short()}")


def session_state(session: Session) -> str:
    """Return how far a session is on the receiver, in one word."""
    return "closed" if session.closed else session.state.value


def session_counts(session: Session) -> str:
    """Return how many exposures the receiver has, and how many of them each registrar."""
    parts = [f"{session.exposure_count:,} published"]
    for name in session.registrars:
        failed = (session.failed_count or {}).get(name, 0)
        registered = f"{name}: {session.registered_count.get(name, 0):,} registered"
        parts.append(registered + (f", {failed:,} failed" if failed else ""))
    return "; ".join(parts)


def print_account(own: AgentAccount | None, account: SessionAccount | None) -> None:
    """Print where every exposure is: by the receiver, or as far as an agent alone can tell."""
    console = stdout_console()
    if account is not None:
        print_text(console, f"{'exposures':10}{account.line()}")
    elif own is not None:
        print_text(console, f"{'exposures':10}{own.line()}; what is registered is not known")
    for alarm in account.alarms if account is not None else own.alarms if own is not None else ():
        print_text(console, f"{'':10}{alarm}", "bold red")


def waiting_lines(session: Session, *, now_s: float | None = None) -> list[str]:
    """Return why registrars cannot register the session's exposures at present, a line each."""
    return [
        f"{one.registrar} waits for {since(one.since.timestamp(), now_s=now_s)}: {one.reason}"
        for one in session.waiting or ()
    ]


def _print_set_aside(here: LocalStatus, again: str) -> None:
    count = sum(here.counts[state] for state in SET_ASIDE)
    if not count:
        return
    listed = here.newest_set_aside
    print_line()
    print_line(f"Failed and held: {count:,}" + (f"; the newest {len(listed)}:" if count > len(listed) else ":"))
    console = stdout_console()
    print_lines([_line(exposure, {}) for exposure in listed], console, full=False, headings=False)
    which = "All of them" if count > len(listed) else "What to do"
    print_line(f"{which}: {again} --failed{'' if count > len(listed) else ' --full'}")
