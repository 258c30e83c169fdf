"""What the receiver's commands share: options, times on the command line, and how a result is printed."""

from __future__ import annotations

import ipaddress
import json as jsonlib
import math
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.terminal.lines import print_line

if TYPE_CHECKING:
    from transfer.wire.verdict import Side, StartingThreshold

Data = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder that holds all files and the database of the receiver.")
]
DatabaseUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="PostgreSQL database to use. Default: SQLite in --data.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """Return a length of time that was written as a number and a unit: 90m, 12h, 30d, 2w.

    Raises
    ------
    typer.BadParameter
    """
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a time. Write a number and m, h, d or w: 90m, 12h, 30d, 2w.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def thresholds(texts: Sequence[str]) -> tuple[StartingThreshold, ...]:
    """Return thresholds of the command line: `ctf_resolution_angstrom > 8` rejects what is above 8.

    Raises
    ------
    typer.BadParameter
    UnknownFigure
    """
    from transfer.wire.figures import require_figure
    from transfer.wire.verdict import Side, StartingThreshold

    found: dict[tuple[str, Side], StartingThreshold] = {}
    for text in texts:
        match = re.fullmatch(r"\s*(\w+)\s*([<>])\s*(\S+)\s*", text)
        value = _finite(match[3]) if match else None
        if match is None or value is None:
            raise typer.BadParameter(
                f"{text!r} is not a threshold. Write a figure, < or >, and a number: 'ctf_resolution_angstrom > 8'."
            )
        require_figure(match[1])
        side = Side.ABOVE if match[2] == ">" else Side.BELOW
        found[match[1], side] = StartingThreshold(match[1], side, value)
    return tuple(found.values())


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def networks(texts: Sequence[str]) -> tuple[str, ...]:
    """Return addresses and networks of the command line, in their usual form.

    Raises
    ------
    typer.BadParameter
    """
    try:
        return tuple(str(ipaddress.ip_network(text.strip())) for text in texts)
    except ValueError as error:
        raise typer.BadParameter(f"{error}. Write an address or a network: 192.0.2.7 or 192.0.2.0/24.") from error


def print_result(as_json: bool, line: str, **members: Any) -> None:
    """Print a result on stdout: a line for people, or an object for programs."""
    typer.echo(jsonlib.dumps(members)) if as_json else print_line(line)
