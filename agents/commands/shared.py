"""Options that several of this package's commands have; `transfer.commands.shared` holds those about the receiver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from preprocess.exposure.chosen import ChosenAlignment

MaybeSession = Annotated[
    str | None, typer.Option("--session", metavar="NAME", help="Name of the session on the receiver.")
]
Work = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder for the agent's journal and outputs. Default: ~/.local/state/cryoferry/SESSION."
    ),
]


def with_absolute_gain(chosen: ChosenAlignment) -> ChosenAlignment:
    """Return the choices with a gain reference that is found from every folder."""
    gain = chosen.settings.gain
    if gain.path is None:
        return chosen
    return replace(chosen, settings=replace(chosen.settings, gain=replace(gain, path=gain.path.resolve())))
