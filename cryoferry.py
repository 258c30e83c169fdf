"""The `cryoferry` command. It imports a command when that command is called."""

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as as_command

from command_errors import print_error
from configuration import ConfigError, Configuration, Invocation, load_configuration


class Mounted(NamedTuple):
    """Where a command is, and what `cryoferry --help` shows of it without importing it."""

    module: str
    """Holds the command under its name."""
    panel: str
    summary: str
    """The first sentence of the command's own help."""
    computes: bool = False
    """Whether it computes images, in this process or in those that it starts."""


START, MICROSCOPE, RECEIVER, ANYWHERE = "Begin here", "At the microscope", "On the cloud VM", "Anywhere"

COMMANDS: dict[str, Mounted] = {
    "demo": Mounted(
        "agents.demo.commands",
        START,
        "Show the whole path at work on this machine, within three minutes.",
        computes=True,
    ),
    "doctor": Mounted(
        "agents.commands.doctor", START, "Check this machine, the receiver, the token and Scipion, and say what to do."
    ),
    "config": Mounted("agents.commands.config", START, "Show the configuration, and where each value comes from."),
    "watch": Mounted(
        "agents.commands.watch",
        MICROSCOPE,
        "Watch a folder: align each finished movie and send its micrograph, until stopped.",
        computes=True,
    ),
    "status": Mounted("agents.commands.status", MICROSCOPE, "Show how far a session is, here and on the receiver."),
    "retry": Mounted(
        "agents.commands.retry",
        MICROSCOPE,
        "Process exposures again: failed ones, held ones, or others with new settings.",
    ),
    "serve": Mounted(
        "api.commands.serve",
        RECEIVER,
        "Receive files, store them durably, and register exposures in Scipion and RELION.",
    ),
    "token": Mounted(
        "api.commands.token", RECEIVER, "Make, list and revoke the tokens that agents, readers and admins use."
    ),
    "receiver": Mounted(
        "api.commands.receiver", RECEIVER, "Check the receiver's files against its database, and repair what is wrong."
    ),
    "session": Mounted("transfer.commands.session", ANYWHERE, "Start, end, reopen or export a session on a receiver."),
    "threshold": Mounted(
        "transfer.commands.threshold", ANYWHERE, "Show and change the thresholds that reject a session's exposures."
    ),
    "verdict": Mounted(
        "transfer.commands.verdict", ANYWHERE, "Accept or reject exposures of a session, whatever thresholds say."
    ),
    "align": Mounted(
        "preprocess.commands.align",
        ANYWHERE,
        "Align movies: write motion-corrected, dose-weighted micrographs.",
        computes=True,
    ),
    "ctf": Mounted(
        "preprocess.commands.ctf",
        ANYWHERE,
        "Estimate defocus and astigmatism of micrographs, and the resolution to which the CTF fits.",
        computes=True,
    ),
    "gain": Mounted(
        "preprocess.commands.gain",
        ANYWHERE,
        "Make a gain reference from a session's own movies, or convert one.",
        computes=True,
    ),
    "send": Mounted("transfer.commands.send", ANYWHERE, "Send files to a receiver; continue what was interrupted."),
    "fetch": Mounted(
        "transfer.commands.fetch", ANYWHERE, "Download committed files of a session; continue what was interrupted."
    ),
    "verify": Mounted(
        "transfer.commands.verify", ANYWHERE, "Compare files here with those on the receiver, by digest."
    ),
    "simulate": Mounted(
        "preprocess.simulation.commands",
        ANYWHERE,
        "Make movies with known motion, to try alignment without a microscope.",
        computes=True,
    ),
    "bench": Mounted(
        "benchmarks.commands", ANYWHERE, "Measure cryoferry against other programs on this machine.", computes=True
    ),
}


class AllCommands(TyperGroup):
    """The commands of `COMMANDS`, each imported when it is called; lists and completion show them unimported."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's own Context
        """Return the commands in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # typer's own Context
        """Return a command; one that was not called yet has no options."""
        if cmd_name in self.commands or cmd_name not in COMMANDS:
            return self.commands.get(cmd_name)
        mounted = COMMANDS[cmd_name]
        return TyperCommand(cmd_name, callback=_nothing, help=mounted.summary, rich_help_panel=mounted.panel)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Import the command that is called, and return it with its arguments."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = _load(args[0])
        else:
            self.commands.update({name: self.get_command(ctx, name) for name in COMMANDS})  # for "did you mean"
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the options, readable."""
        return _readable(super().get_params(ctx))

    def format_help(self, *arguments: Any) -> None:
        """Draw the help page."""
        _drawn(super().format_help, *arguments)


def _nothing() -> None:
    """Stand for a command that is not imported."""


@functools.cache
def _load(name: str) -> Any:
    """Import a command and return it."""
    mounted = COMMANDS[name]
    target = getattr(importlib.import_module(mounted.module), name)
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False)
        target.command(name)(function)
    command: Any = as_command(target)
    command.name, command.rich_help_panel = name, mounted.panel
    for each in _with_subcommands(name, command).values():
        each.help = _reflowed(each.help)
        each.format_help = functools.partial(_drawn, each.format_help)
        each.get_params = functools.partial(_readable_params, each.get_params)
        each.parse_args = functools.partial(_remembered, each.parse_args)
        each.invoke = functools.partial(_remembered, each.invoke)
    return command


def _drawn(format_help: Callable[..., None], *arguments: Any) -> None:
    """Draw a command's help page."""
    from transfer.terminal.help_pages import load_help_pages

    load_help_pages()
    format_help(*arguments)


def _reflowed(text: str | None) -> str:
    """Return a help text with one line for each paragraph, for terminals of any width."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _with_subcommands(name: str, command: Any) -> dict[str, Any]:
    """Return a command and the commands inside it, by their section in the configuration file."""
    return {name: command} | {f"{name}.{sub}": leaf for sub, leaf in getattr(command, "commands", {}).items()}


def _remembered(step: Callable[..., Any], context: Any, *arguments: Any) -> Any:
    """Read a command's options or run it; remember it, so that an error can name where its options come from."""
    if isinstance(invocation := context.find_root().obj, Invocation):
        invocation.context = context
    return step(context, *arguments)


def _readable_params(get_params: Callable[[Any], list[Any]], context: Any) -> list[Any]:
    return _readable(get_params(context))


_METAVARS = {"int": "N", "float": "NUMBER", "Path": "PATH"}


def _readable(params: list[Any]) -> list[Any]:
    """Return options whose help shows no Python types: nothing for a switch, `a|b` for choices, limits as words."""
    for param in params:
        if param.param_type_name == "argument":
            param.display_type_rich = _no_type
        elif param.metavar is None and param.is_flag:
            param.metavar = ""
        elif param.metavar is None and param.type_descriptor.is_choice:
            param.metavar = "|".join(str(getattr(c, "value", c)) for c in param.type_descriptor.choices)
        elif param.metavar is None:
            param.metavar = _METAVARS.get(param.bare_type(), "TEXT")
        minimum, maximum = getattr(param, "min", None), getattr(param, "max", None)
        limits = f"{minimum} to {maximum}" if minimum is not None and maximum is not None else ""
        param._get_number_range_help_str = functools.partial(str, limits)  # noqa: SLF001 - instead of x>=1
    return params


def _no_type(ctx: Any) -> None:
    """Stand for `<path>`: an argument's name and help say what it is."""


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
    return {
        section: {option.name for option in leaf.params if option.name not in (None, "help", "json")}
        for section, leaf in _with_subcommands(name, _load(name)).items()
    }


def _repeatable(name: str) -> set[tuple[str, str]]:
    """Return the options of a command, and of the commands inside it, that hold a list: section and key."""
    leaves = _with_subcommands(name, _load(name))
    return {(section, option.name) for section, leaf in leaves.items() for option in leaf.params if _is_list(option)}


def _is_list(option: Any) -> bool:
    return bool(getattr(option, "multiple", False)) or option.nargs == -1


def _all_commands() -> dict[str, Any]:
    """Import every command; return them by section, without the groups that only hold others."""
    found: dict[str, Any] = {}
    for name in COMMANDS:
        found |= _with_subcommands(name, _load(name))
    return {section: command for section, command in found.items() if not getattr(command, "commands", None)}


app = typer.Typer(cls=AllCommands, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"cryoferry {version('cryoferry')}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 ok, 1 error, 2 wrong usage or configuration, 3 some exposures failed, 4 a source cannot be "
    "read, 5 temporary: try again, 6 a file is not as it was sent, 7 fatal: token or disk, 130 interrupted.\n\n"
    'Every option can stand in a file: section = command, key = option (\\[watch] session = "…"), or in the '
    "environment (CRYOFERRY_WATCH__SESSION). A flag wins over the environment, the environment over the file."
)
def root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Configuration file. Default: the file that CRYOFERRY_CONFIG names, ./cryoferry.toml, or"
            " ~/.config/cryoferry/config.toml.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log everything, and show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Carry a cryo-EM session from the microscope to a live Scipion project in the cloud, while it is recorded.

    On a new machine, `cryoferry demo` shows everything at work, and `cryoferry doctor` says what is missing.
    """
    from transfer.terminal.log_lines import log_to_stderr

    log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    for noisy in ("httpx", "httpcore", "numba", "watchdog", "alembic", "matplotlib", "PIL", "tifffile"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    command = ctx.invoked_subcommand
    sections = None if command in (None, "config") else _options(command)
    try:
        configuration = load_configuration(config, os.environ, Options(), sections=sections)
    except ConfigError:
        if "--help" not in sys.argv:
            raise
        configuration = Configuration(None, {})  # a help page is needed most when the configuration is wrong
    if "--help" not in sys.argv:
        from preprocess.backends.compiled.chosen_kernels import refuse_unknown_choices

        if command is not None and COMMANDS[command].computes:
            from transfer.machine_limits import require_address_space

            require_address_space()
        refuse_unknown_choices()  # before a daemon starts its workers
    ctx.obj.configuration = configuration
    ctx.default_map = configuration.default_map(_repeatable(command) if command and sections else ())


def main() -> None:
    """Run the `cryoferry` command."""
    from transfer.terminal.streams import escape_outputs

    # Imports and options make many objects that stay: looking for garbage among them takes a tenth of the start.
    gc.set_threshold(20_000)
    _open_closed_outputs()
    escape_outputs()
    # Our own threads call BLAS; its threads would wait beside them. It reads this when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    command: Any = as_command(app)
    invocation = Invocation(Configuration(None, {}), _all_commands)
    try:
        code = command.main(prog_name="cryoferry", standalone_mode=False, obj=invocation) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        code = 1
    except Exception as error:
        if {"-v", "--verbose"} & set(sys.argv):
            logging.getLogger("cryoferry").exception("failed")
        code = print_error(error, invocation, as_json="--json" in sys.argv)
    _drop_output_that_cannot_be_written()
    gc.freeze()  # Python's end looks through all objects for garbage otherwise, though all memory goes back anyway
    sys.exit(code)


def _open_closed_outputs() -> None:
    """Discard what goes to an output that was closed before the command began (`>&-`)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def _drop_output_that_cannot_be_written() -> None:
    """Empty stdout's buffer: otherwise Python tries to write it once more at its end, and changes the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
