"""The command `cryoferry threshold`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from json import dumps
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.commands.shared import (
    Ca,
    ClearText,
    DryRun,
    Json,
    ReceiverUrl,
    SessionOption,
    TokenFile,
    connect,
    stderr_console,
)
from transfer.terminal.lines import print_line

if TYPE_CHECKING:
    from transfer.wire.verdict import SessionThresholds, Side

FigureName = Annotated[
    str, typer.Argument(metavar="FIGURE", help="Name of a figure of exposures, such as ctf_resolution_angstrom.")
]

threshold = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Show and change the thresholds that reject a session's exposures."
)


@threshold.command("list")
def list_(
    session: SessionOption,
    to: ReceiverUrl,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    json: Json = False,
) -> None:
    """Show the thresholds of a session, who set them, and how many exposures are rejected."""
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        _show(client.thresholds(session), json=json)


@threshold.command("set")
def set_(
    figure: FigureName,
    session: SessionOption,
    to: ReceiverUrl,
    above: Annotated[
        float | None, typer.Option(metavar="VALUE", help="Reject exposures whose figure is above this value.")
    ] = None,
    below: Annotated[
        float | None, typer.Option(metavar="VALUE", help="Reject exposures whose figure is below this value.")
    ] = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Reject exposures whose figure is above or below a value, also those that are there already.

    What a person said about an exposure holds all the same. An exposure without the figure is not judged by it.
    """
    from transfer.wire.figures import require_figure

    wanted = [(side, value) for side, value in zip(_sides(), (above, below), strict=True) if value is not None]
    if not wanted:
        raise typer.BadParameter("Say what is rejected: --above VALUE, --below VALUE, or both.")
    if not all(math.isfinite(value) for _, value in wanted):
        raise typer.BadParameter("A threshold is a finite number.")
    if above is not None and below is not None and above < below:
        raise typer.BadParameter(f"Every exposure is above {above:g} or below {below:g}: all would be rejected.")
    if dry_run:
        require_figure(figure)
        for side, value in wanted:
            would = {"would": "set", "session": session, "figure": figure, "side": side.value, "value": value}
            _say(would, f"would reject exposures of session {session} with {figure} {side} {value:g}", json=json)
        return
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        for side, value in wanted:
            thresholds = client.set_threshold(session, figure, side, value)
        _show(thresholds, json=json)


@threshold.command()
def remove(
    figure: FigureName,
    session: SessionOption,
    to: ReceiverUrl,
    above: Annotated[bool, typer.Option("--above", help="Remove only the threshold above which is rejected.")] = False,
    below: Annotated[bool, typer.Option("--below", help="Remove only the threshold below which is rejected.")] = False,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Remove the thresholds of a figure; what they rejected is accepted again."""
    both = above == below
    wanted = [side for side, chosen in zip(_sides(), (above, below), strict=True) if chosen or both]
    if dry_run:
        for side in wanted:
            would = {"would": "remove", "session": session, "figure": figure, "side": side.value}
            _say(would, f"would no longer reject exposures of session {session} for {figure} {side} a value", json=json)
        return
    with connect(to, token_file, ca, clear_text=clear_text) as client:
        for side in wanted:
            thresholds = client.remove_threshold(session, figure, side)
        _show(thresholds, json=json)


def _sides() -> tuple[Side, Side]:
    from transfer.wire.verdict import Side

    return Side.ABOVE, Side.BELOW


def _say(members: Mapping[str, object], line: str, *, json: bool) -> None:
    typer.echo(dumps(members)) if json else print_line(line)


def _show(found: SessionThresholds, *, json: bool) -> None:
    if json:
        typer.echo(dumps(found.model_dump(mode="json")))
        return
    for one in found.thresholds:
        who = f"token {one.token_id}" if one.token_id else "the receiver's settings"
        when = f"{one.set_at:%Y-%m-%d %H:%M:%S} UTC"
        print_line(f"{one.figure} {one.side} {one.value:g} is rejected: set by {who}, {when}")
    if not found.thresholds:
        print_line("no thresholds")
    print_line(f"{found.rejected_count} of {found.exposure_count} exposures are rejected")
    if not found.judged:
        stderr_console().print("The receiver is still judging the exposures by these thresholds.", markup=False)
