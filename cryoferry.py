"""The front door: the `cryoferry` command. It mounts each package's commands, importing them when they are called."""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup
from typer.main import get_command as as_command


class Mounted(NamedTuple):
    """Where a command lives, and the panel of `cryoferry --help` that shows it."""

    module: str
    attribute: str
    panel: str


START, MICROSCOPE, RECEIVER, ANYWHERE = "Begin here", "Beside the microscope", "On the cloud VM", "Anywhere"

COMMANDS: dict[str, Mounted] = {
    "demo": Mounted("agents.demo.commands", "demo", START),
    "doctor": Mounted("agents.commands", "doctor", START),
    "config": Mounted("agents.commands", "config", START),
    "watch": Mounted("agents.commands", "watch", MICROSCOPE),
    "status": Mounted("agents.commands", "status", MICROSCOPE),
    "retry": Mounted("agents.commands", "retry", MICROSCOPE),
    "serve": Mounted("api.commands", "serve", RECEIVER),
    "token": Mounted("api.commands", "token", RECEIVER),
    "session": Mounted("transfer.commands.send", "session", ANYWHERE),
    "align": Mounted("preprocess.commands.align", "align", ANYWHERE),
    "send": Mounted("transfer.commands.send", "send", ANYWHERE),
    "fetch": Mounted("transfer.commands.fetch", "fetch", ANYWHERE),
    "verify": Mounted("transfer.commands.fetch", "verify", ANYWHERE),
    "simulate": Mounted("preprocess.simulation.commands", "simulate", ANYWHERE),
    "bench": Mounted("benchmarks.commands", "bench", ANYWHERE),
}


class FrontDoor(TyperGroup):
    """The commands of `COMMANDS`, each imported when somebody asks for it."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own Context
        """Return the commands in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # typer's own Context
        """Import and return a command; None for an unknown name."""
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands.get(cmd_name)


def _load(name: str) -> Any:
    mounted = COMMANDS[name]
    target = getattr(importlib.import_module(mounted.module), mounted.attribute)
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False)
        target.command(name)(function)
    command: Any = as_command(target)
    command.name, command.rich_help_panel = name, mounted.panel
    return command


def _parameters() -> dict[str, set[str]]:
    """Return the configurable options of every command, by the command's section in the configuration file."""
    known: dict[str, set[str]] = {}
    for name in COMMANDS:
        command = _load(name)
        for section, leaf in [
            (name, command),
            *((f"{name}.{sub}", c) for sub, c in getattr(command, "commands", {}).items()),
        ]:
            known[section] = {
                parameter.name for parameter in leaf.params if parameter.name not in (None, "help", "json")
            }
    return known


app = typer.Typer(cls=FrontDoor, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cryoferry {importlib.metadata.version('cryoferry')}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 ok, 1 error, 2 usage or configuration, 3 some exposures failed, 4 source unreadable, "
    "5 temporary: try again, 6 integrity mismatch, 7 fatal: token or disk, 130 interrupted.\n\n"
    'Every option can stand in a file: section = command, key = option (\\[watch] session = "…"), or in the '
    "environment (CRYOFERRY_WATCH__SESSION). A flag wins over the environment, the environment over the file."
)
def root(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration file; by default ./cryoferry.toml if it exists.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log everything, and show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Carry a cryo-EM session from the microscope to a live Scipion project in the cloud, while it is being recorded.

    A new machine: `cryoferry demo` shows the whole path, `cryoferry doctor` what is missing.
    """
    from configuration import load_configuration

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("httpx", "httpcore", "numba", "watchdog", "alembic", "matplotlib", "PIL", "tifffile"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    configuration = load_configuration(config, os.environ, _parameters())
    ctx.obj = configuration
    ctx.default_map = configuration.default_map()


def _report(error: Exception) -> int:
    """Tell people, and programs with `--json`, what went wrong; return the exit code."""
    exit_code, hint = getattr(error, "exit_code", 1), getattr(error, "hint", "")
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        exit_code, hint = 7, "Free space on that disk, then run the same command again."
    elif not hasattr(error, "exit_code") and not isinstance(error, OSError):
        message = f"{type(error).__name__}: {message}"
        hint = "Please report it, with what `cryoferry --verbose …` prints." + hint
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        console.print(Text.assemble(("what to do: ", "bold"), hint))
    if "--json" in sys.argv:
        typer.echo(
            json.dumps(
                {"error": {"type": type(error).__name__, "message": message, "hint": hint, "exit_code": exit_code}}
            )
        )
    return int(exit_code)


def main() -> None:
    """Run the `cryoferry` command."""
    try:
        app()
    except Exception as error:
        if {"-v", "--verbose"} & set(sys.argv):
            logging.getLogger("cryoferry").exception("failed")
        sys.exit(_report(error))


if __name__ == "__main__":
    main()
