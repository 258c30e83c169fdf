"""Prints results for people on stdout, one line each."""

from __future__ import annotations

import sys

import typer

from transfer.wire.printable import printable


def print_line(text: str = "") -> None:
    """Print a text on one line of stdout, with what could control a terminal escaped."""
    typer.echo(printable(text))


def print_styled(text: str) -> None:
    """Print a line of parts that are escaped already, and of colours as rich renders them."""
    typer.echo(text, file=getattr(sys.stdout, "rich_proxied_file", sys.stdout), color=True)
