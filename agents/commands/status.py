"""The command `cryoferry status`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from agents.commands.shared import MaybeSession, Work
from transfer.commands.shared import Ca, ClearText, Json, MaybeReceiverUrl, TokenFile, stderr_console, stdout_console

if TYPE_CHECKING:
    from agents.journal.journal import Journal
    from agents.journal.rows import ExposureRow
    from transfer.client import ReceiverClient


def status(
    work: Work = None,
    session: MaybeSession = None,
    to: MaybeReceiverUrl = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    json: Json = False,
) -> None:
    """Show the state of each exposure, here and on the receiver.

    Without --to, it asks the receiver that `cryoferry watch` sent to. `registered` stays empty when the receiver does
    not answer.
    """
    from agents.commands.exposure_text import as_json, troubles
    from agents.commands.find_work_folder import find_work_folder
    from agents.journal.journal import Journal
    from agents.work_folder import is_in_use

    folder = find_work_folder(work, session)
    journal = Journal(folder, create=False)
    try:
        exposures = journal.exposures()
        held_up, running = troubles(journal), is_in_use(folder)
        registered, unread = _registrations(journal, to, token_file, ca, clear_text=clear_text)
    finally:
        journal.close()
    of = [registered.get((str(e.published_id), e.revision), {}) for e in exposures]
    if json:
        for exposure, registrars in zip(exposures, of, strict=True):
            typer.echo(dumps({**as_json(exposure), "changed_at": exposure.changed_at, "registered": registrars}))
        typer.echo(dumps({"agent_runs": running, "troubles": held_up, "receiver": unread or "read"}))
        return
    _show_status(exposures, of)
    console = stderr_console()
    runs = "is running" if running else "is not running: start it with `cryoferry watch`"
    console.print(f"The agent {runs}. Work folder: {folder}", markup=False)
    for line in (*held_up, *([f"What is registered is not known: {unread}"] if unread else [])):
        console.print(line, style="yellow", markup=False)


def _registrations(
    journal: Journal, to: str | None, token_file: Path | None, ca: Path | None, *, clear_text: bool
) -> tuple[dict[tuple[str, int], dict[str, str]], str]:
    """Return what is registered, and the reason if that is not known."""
    url, noted, noted_ca = to or journal.about("url") or "", journal.about("token_file"), journal.about("ca")
    clear_text = clear_text or (to is None and journal.about("clear_text") is not None)
    ca = ca or (Path(noted_ca) if noted_ca else None)
    if not url:
        return {}, "no receiver is known: give --to URL"
    from transfer.client import ReceiverClient
    from transfer.credentials import read_token
    from transfer.wire.errors import TransferError

    try:
        token = read_token(token_file or (Path(noted) if noted else None))
        with ReceiverClient(url, token, ca=ca, clear_text=clear_text, timeout_s=5.0) as client:
            return _read_registrations(client, journal.about("session") or ""), ""
    except TransferError as error:
        return {}, f"{type(error).__name__}: {error}"


def _read_registrations(client: ReceiverClient, session: str) -> dict[tuple[str, int], dict[str, str]]:
    """Return the state of each registrar by (exposure id, revision), as the receiver has it.

    Raises
    ------
    TransferError
    """
    found: dict[tuple[str, int], dict[str, str]] = {}
    after: str | None = None
    while True:
        page = client.exposures(session, after)
        for exposure in page.exposures:
            key = (str(exposure.record.exposure_id), exposure.record.revision)
            found[key] = {entry.registrar: entry.state.value for entry in exposure.registrations}
        after = page.next
        if after is None:
            return found


def _show_status(exposures: list[ExposureRow], registered: list[dict[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from agents.commands.exposure_text import STYLES, reason_and_hint, since

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
            Text(reason_and_hint(exposure)),
        )
    stdout_console().print(table)
