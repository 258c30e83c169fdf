"""Options that several of this package's commands have; `transfer.commands.shared` holds those about the receiver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from preprocess.exposure.chosen import ChosenAlignment

MaybeTo = Annotated[str | None, typer.Option("--to", metavar="URL", help="The receiver.")]
MaybeSession = Annotated[str | None, typer.Option(metavar="NAME", help="The session.")]
Work = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The agent's own folder; by default this user's state folder / session."),
]


def with_absolute_gain(chosen: ChosenAlignment) -> ChosenAlignment:
    """Return the choices with a gain reference that is found from every folder."""
    gain = chosen.settings.gain
    if gain.path is None:
        return chosen
    return replace(chosen, settings=replace(chosen.settings, gain=replace(gain, path=gain.path.resolve())))
