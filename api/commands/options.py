"""What the receiver's commands share: options, times on the command line, and how a result is printed."""

from __future__ import annotations

import ipaddress
import json as jsonlib
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from transfer.terminal.lines import print_line

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
