"""The command `cryoferry doctor`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from agents.commands.shared import MaybeSession, MaybeTo, Work
from configuration import state_folder
from transfer.commands.shared import Ca, Json, TokenFile, stderr_console


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
    console, sound = stderr_console(), True
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
