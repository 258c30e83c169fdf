"""The command `cryoferry doctor`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from agents.commands.shared import MaybeSession, Work
from configuration import state_folder
from transfer.commands.shared import Ca, ClearText, Json, MaybeReceiverUrl, TokenFile, stdout_console


def doctor(
    to: MaybeReceiverUrl = None,
    session: MaybeSession = None,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    work: Work = None,
    scipion: Annotated[Path | None, typer.Option(metavar="DIR", help="Also check this Scipion environment.")] = None,
    json: Json = False,
) -> None:
    """Check this machine, the receiver, the token and Scipion, and say what to do.

    It checks the CPU and the GPU, the work folder and its disk, and with --to the receiver, both clocks, the token and
    the versions. Exit code 1 if a check fails; a warning is no failure.
    """
    from rich.text import Text

    from agents.commands.checks import examine
    from agents.commands.finding import Machine

    folder = work or state_folder() / (session or "")
    machine = Machine(
        work=folder, url=to, session=session, token_file=token_file, ca=ca, clear_text=clear_text, scipion=scipion
    )
    console, sound = stdout_console(), True
    for finding in examine(machine):
        sound = sound and finding.verdict != "fail"
        if json:
            typer.echo(
                dumps(
                    {
                        "check": finding.check,
                        "verdict": finding.verdict,
                        "text": finding.text,
                        "what_to_do": finding.what_to_do,
                    }
                )
            )
            continue
        style = {"ok": "green", "warn": "yellow", "fail": "bold red"}[finding.verdict]
        console.print(Text.assemble((f"{finding.verdict:5}", style), f"{finding.check:13}", finding.text))
        if finding.what_to_do:
            console.print(Text(f"{'':18}{finding.what_to_do}", "dim"))
    raise typer.Exit(0 if sound else 1)
