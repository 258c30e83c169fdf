"""The front door: the `cryoferry` command. It mounts each package's commands, importing them when they are called."""

from __future__ import annotations

import errno
import functools
import importlib
import importlib.metadata
import json
import logging
import os
import sys
from collections.abc import Collection, Iterator, Mapping
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
    "doctor": Mounted("agents.commands.doctor", "doctor", START),
    "config": Mounted("agents.commands.config", "config", START),
    "watch": Mounted("agents.commands.watch", "watch", MICROSCOPE),
    "status": Mounted("agents.commands.status", "status", MICROSCOPE),
    "retry": Mounted("agents.commands.retry", "retry", MICROSCOPE),
    "serve": Mounted("api.commands.serve", "serve", RECEIVER),
    "token": Mounted("api.commands.token", "token", RECEIVER),
    "session": Mounted("transfer.commands.session", "session", ANYWHERE),
    "align": Mounted("preprocess.commands.align", "align", ANYWHERE),
    "send": Mounted("transfer.commands.send", "send", ANYWHERE),
    "fetch": Mounted("transfer.commands.fetch", "fetch", ANYWHERE),
    "verify": Mounted("transfer.commands.verify", "verify", ANYWHERE),
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


@functools.cache
def _load(name: str) -> Any:
    """Import a command and return it."""
    mounted = COMMANDS[name]
    target = getattr(importlib.import_module(mounted.module), mounted.attribute)
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False)
        target.command(name)(function)
    command: Any = as_command(target)
    command.name, command.rich_help_panel = name, mounted.panel
    return command


class Options(Mapping[str, Collection[str]]):
    """The options that each section of the configuration may hold; a command is imported when it is asked for."""

    def __getitem__(self, section: str) -> Collection[str]:
        """Return the options of a section (`align`, `session.start`)."""
        name = section.split(".", maxsplit=1)[0]
        if name not in COMMANDS:
            raise KeyError(section)
        return _options(name)[section]

    def __iter__(self) -> Iterator[str]:
        """Yield the section of every command: this imports them all."""
        for name in COMMANDS:
            yield from _options(name)

    def __len__(self) -> int:
        """Return the number of sections."""
        return sum(1 for _ in self)


@functools.cache
def _options(name: str) -> Mapping[str, Collection[str]]:
    """Return the configurable options of a command, and of the commands inside it, by section."""
    command = _load(name)
    leaves = {name: command} | {f"{name}.{sub}": leaf for sub, leaf in getattr(command, "commands", {}).items()}
    return {
        section: {option.name for option in leaf.params if option.name not in (None, "help", "json")}
        for section, leaf in leaves.items()
    }


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
    command = ctx.invoked_subcommand
    sections = None if command in (None, "config") else _options(command)
    configuration = load_configuration(config, os.environ, Options(), sections=sections)
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
