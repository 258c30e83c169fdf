"""The front door: the `cryoferry` command. It mounts each package's commands, importing them when they are called."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command


class Mounted(NamedTuple):
    """Where a command lives, and the line that `cryoferry --help` shows for it."""

    module: str
    attribute: str
    help: str
    panel: str


MICROSCOPE, RECEIVER, ANYWHERE = "Beside the microscope", "On the cloud VM", "Anywhere"

COMMANDS: dict[str, Mounted] = {
    "demo": Mounted("agents.demo", "demo", "See the whole path work, on this machine, in three minutes.", ANYWHERE),
    "watch": Mounted(
        "agents.commands", "watch", "Watch a folder: align each finished movie, send its micrograph.", MICROSCOPE
    ),
    "status": Mounted("agents.commands", "status", "Show what became of each exposure.", MICROSCOPE),
    "retry": Mounted(
        "agents.commands", "retry", "Try failed exposures again, or others with new settings.", MICROSCOPE
    ),
    "align": Mounted("preprocess.commands", "align", "Align movies of your own; needs no configuration.", ANYWHERE),
    "send": Mounted("transfer.commands", "send", "Send files to a receiver in parallel, checksummed chunks.", ANYWHERE),
    "session": Mounted("transfer.commands", "session", "Start, end or reopen a session on a receiver.", ANYWHERE),
    "serve": Mounted("api.commands", "serve", "Receive, commit and register in Scipion and RELION.", RECEIVER),
    "token": Mounted("api.commands", "token", "Make, list and revoke the tokens that agents use.", RECEIVER),
    "simulate": Mounted("preprocess.commands", "simulate", "Make movies with known motion.", ANYWHERE),
    "doctor": Mounted("agents.commands", "doctor", "Check device, disk, clock, receiver, token, Scipion.", ANYWHERE),
    "config": Mounted("agents.commands", "config", "Show the configuration and where each value comes from.", ANYWHERE),
}


def _load(name: str) -> Any:
    mounted = COMMANDS[name]
    target = getattr(importlib.import_module(mounted.module), mounted.attribute)
    if isinstance(target, typer.Typer):
        command = get_command(target)
    else:
        app = typer.Typer(add_completion=False)
        app.command(name)(target)
        command = get_command(app)
    command.name = name
    return command


def main() -> None:
    """Run the `cryoferry` command."""
    raise SystemExit("front door under construction")
