"""The command `cryoferry verdict`."""

from __future__ import annotations

from collections.abc import Iterator
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.commands.shared import Ca, ClearText, DryRun, Json, ReceiverUrl, SessionOption, TokenFile, connect
from transfer.terminal.lines import print_line

if TYPE_CHECKING:
    from transfer.client import ReceiverClient
    from transfer.wire.verdict import ExposureVerdict

Exposures = Annotated[
    list[str],
    typer.Argument(metavar="EXPOSURE…", help="Ids of exposures, or names of their micrographs (x.mrc)."),
]
CommentOption = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why, for other people.")]

verdict = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Accept or reject exposures of a session, whatever thresholds say."
)


@verdict.command()
def accept(
    exposures: Exposures,
    session: SessionOption,
    to: ReceiverUrl,
    comment: CommentOption = "",
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Accept exposures, whatever the thresholds say, until that is cleared."""
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        _say(client, session, exposures, accepted=True, comment=comment, dry_run=dry_run, json=json)


@verdict.command()
def reject(
    exposures: Exposures,
    session: SessionOption,
    to: ReceiverUrl,
    comment: CommentOption = "",
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Reject exposures, whatever the thresholds say, until that is cleared. Their files stay."""
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        _say(client, session, exposures, accepted=False, comment=comment, dry_run=dry_run, json=json)


@verdict.command()
def clear(
    exposures: Exposures,
    session: SessionOption,
    to: ReceiverUrl,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Withdraw what was said about exposures: the thresholds decide again."""
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        _say(client, session, exposures, accepted=None, comment="", dry_run=dry_run, json=json)


_WOULD = {True: "accept", False: "reject", None: "clear"}


def _say(
    client: ReceiverClient,
    session: str,
    exposures: list[str],
    *,
    accepted: bool | None,
    comment: str,
    dry_run: bool,
    json: bool,
) -> None:
    if dry_run:
        for name in exposures:
            would = {"would": _WOULD[accepted], "session": session, "exposure": name}
            line = f"would {_WOULD[accepted]} {name} of session {session}"
            typer.echo(dumps(would)) if json else print_line(line)
        return
    for said in _said(client, session, exposures, accepted=accepted, comment=comment):
        typer.echo(dumps(said.model_dump(mode="json"))) if json else print_line(_line(said))


def _said(
    client: ReceiverClient, session: str, exposures: list[str], *, accepted: bool | None, comment: str
) -> Iterator[ExposureVerdict]:
    from transfer.wire.verdict import MOST_VERDICTS

    for start in range(0, len(exposures), MOST_VERDICTS):
        some = exposures[start : start + MOST_VERDICTS]
        yield from client.say_verdicts(session, some, accepted=accepted, comment=comment)


def _line(said: ExposureVerdict) -> str:
    from transfer.wire.verdict import VerdictBy

    word = "accepted" if said.accepted else "rejected"
    beyond = ", ".join(f"{one.figure} {one.value:g} is {one.side} {one.threshold:g}" for one in said.exceeded)
    if said.by is VerdictBy.PERSON:
        return f"{said.micrograph_name}: {word} by a person" + (
            f", although {beyond}" if beyond and said.accepted else ""
        )
    return f"{said.micrograph_name}: {word} by the thresholds" + (f", {beyond}" if beyond else "")
