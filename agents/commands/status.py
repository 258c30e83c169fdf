"""The command `cryoferry status`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from agents.commands.shared import MaybeSession, MaybeTo, Work
from transfer.commands.shared import Ca, Json, TokenFile, stderr_console

if TYPE_CHECKING:
    from agents.journal.journal import Journal
    from agents.journal.rows import ExposureRow


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
    console = stderr_console()
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
    console = stderr_console()
    console.width = max(console.width, 160) if not console.is_terminal else console.width
    console.print(table)
