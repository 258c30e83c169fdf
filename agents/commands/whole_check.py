"""`cryoferry status --check`: whether every movie of a session is where it should be; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any

import typer

from agents.commands.discrepancy import Discrepancy
from agents.commands.exposure_lines import print_text
from agents.commands.receiver_access import ReceiverAccess
from agents.commands.sent_check import SentCheck, check_sent
from agents.commands.source_check import SourceCheck, check_source
from agents.finding.finding_rules import FINDING_RULES, rules_from_note
from agents.journal.reader import JournalReader
from agents.work_folder import is_in_use
from preprocess.escaped_names import unescaped
from transfer.commands.shared import stdout_console
from transfer.wire.errors import SourceUnreadable, TransferError

SOMETHING_IS_MISSING = 6
_NO_RULES = (
    "not compared: the agent that worked here was of another version, and did not note which files are movies;"
    " start `cryoferry watch` once"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """What was compared; `source_unread` and `receiver_unread` say why something was not."""

    folder: Path
    session: str
    source: SourceCheck | None
    source_unread: str
    receiver: SentCheck | None
    receiver_unread: str
    found: tuple[Discrepancy, ...]

    @property
    def alarms(self) -> int:
        return sum(one.is_alarm for one in self.found)


def check_and_print(folder: Path, receiver: ReceiverAccess, *, as_json: bool) -> int:
    """Compare the source, the journal and the receiver; print what was found, and return the command's exit code.

    Raises
    ------
    JournalError
    """
    with JournalReader(folder) as journal:
        session, source = journal.about("session") or "", Path(unescaped(journal.about("source") or ""))
        rules, access = rules_from_note(journal.about(FINDING_RULES)), receiver.or_noted(journal)
        own = journal.account()
    files, files_unread, unreadable = None, _NO_RULES, 0
    if rules is not None:
        try:
            files, files_unread = check_source(folder, source, rules), ""
        except SourceUnreadable as error:
            files_unread, unreadable = f"{error}. {error.hint}", error.exit_code
    sent, sent_unread, alarms = _of_receiver(folder, session, access)
    counters = [_account_alarm(text) for text in (*own.alarms, *(alarm for alarm in alarms if alarm not in own.alarms))]
    checked = _Checked(
        folder=folder,
        session=session,
        source=files,
        source_unread=files_unread,
        receiver=sent,
        receiver_unread=sent_unread,
        found=(*(files.found if files else ()), *(sent.found if sent else ()), *counters),
    )
    if as_json:
        _print_json(checked)
    else:
        _print_lines(checked, source)
    return SOMETHING_IS_MISSING if checked.alarms else unreadable


def _of_receiver(folder: Path, session: str, access: ReceiverAccess) -> tuple[SentCheck | None, str, tuple[str, ...]]:
    """Return what the receiver has, why that is not known, and what does not add up there."""
    if not access.url:
        return None, "not compared: no receiver is known: give --to URL", ()
    try:
        with access.client() as client:
            sent = check_sent(folder, session, client)
            account = client.session(session).account
    except TransferError as error:
        return None, f"not compared: {type(error).__name__}: {error}", ()
    return sent, "", () if account is None else account.alarms


def _account_alarm(text: str) -> Discrepancy:
    what, _, advice = text.partition(": run ")
    advice = f"run {advice}" if advice else "run `cryoferry receiver check` on the receiver"
    return Discrepancy(kind="does-not-add-up", text=what, what_to_do=advice, count=1)


def _print_json(checked: _Checked) -> None:
    """Print one object for each kind of discrepancy, and a last one about the whole."""
    for one in checked.found:
        typer.echo(dumps(one.as_json()))
    files, sent = checked.source, checked.receiver
    whole: dict[str, Any] = {
        "session": checked.session,
        "work": str(checked.folder),
        "agent_runs": is_in_use(checked.folder),
        "alarms": checked.alarms,
        "source": checked.source_unread or "read",
        "movies": files and files.movies,
        "entered": files and files.entered,
        "gone_after_release": files and files.gone_after_release,
        "skipped": files and files.skipped.as_json(),
        "receiver": checked.receiver_unread or "read",
        "sent": sent and sent.sent,
        "published": sent and sent.published,
        "deleted": sent and sent.deleted,
    }
    typer.echo(dumps(whole))


def _print_lines(checked: _Checked, source: Path) -> None:
    console = stdout_console()
    files, sent = checked.source, checked.receiver
    print_text(console, f"Session {checked.session}, from {source}")
    print_text(console, f"Work folder: {checked.folder}")
    if files is None:
        print_text(console, f"{'source':10}{checked.source_unread}", "yellow")
    else:
        gone = (
            f", deleted or moved after they were sent: {files.gone_after_release:,}" if files.gone_after_release else ""
        )
        print_text(console, f"{'source':10}movies: {files.movies:,}, in the journal: {files.entered:,}{gone}")
        if files.skipped.counts:
            print_text(console, f"{'skipped':10}{files.skipped.in_short()}")
    if sent is None:
        print_text(console, f"{'receiver':10}{checked.receiver_unread}", "yellow")
    else:
        deleted = f", deleted there on purpose: {sent.deleted:,}" if sent.deleted else ""
        print_text(console, f"{'receiver':10}sent: {sent.sent:,}, listed there: {sent.published:,}{deleted}")
    for one in checked.found:
        print_text(console, one.line(), "bold red" if one.is_alarm else "yellow")
    if not checked.alarms:
        print_text(console, "Nothing is missing." if files and sent else "Nothing is missing of what was compared.")
