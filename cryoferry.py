"""The `cryoferry` command. It imports a command when that command is called, and prints errors the same way for all."""

from __future__ import annotations

import errno
import functools
import importlib
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as as_command

from configuration import ConfigError, Configuration, Invocation, load_configuration


class Mounted(NamedTuple):
    """Where a command is, and what `cryoferry --help` shows of it without importing it."""

    module: str
    """Holds the command under its name."""
    panel: str
    summary: str
    """The first sentence of the command's own help."""


START, MICROSCOPE, RECEIVER, ANYWHERE = "Begin here", "At the microscope", "On the cloud VM", "Anywhere"

COMMANDS: dict[str, Mounted] = {
    "demo": Mounted(
        "agents.demo.commands", START, "Show the whole path at work on this machine, within three minutes."
    ),
    "doctor": Mounted(
        "agents.commands.doctor", START, "Check this machine, the receiver, the token and Scipion, and say what to do."
    ),
    "config": Mounted("agents.commands.config", START, "Show the configuration, and where each value comes from."),
    "watch": Mounted(
        "agents.commands.watch",
        MICROSCOPE,
        "Watch a folder: align each finished movie and send its micrograph, until stopped.",
    ),
    "status": Mounted(
        "agents.commands.status", MICROSCOPE, "Show the state of each exposure, here and on the receiver."
    ),
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
    "session": Mounted("transfer.commands.session", ANYWHERE, "Start, end or reopen a session on a receiver."),
    "align": Mounted(
        "preprocess.commands.align", ANYWHERE, "Align movies: write motion-corrected, dose-weighted micrographs."
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
    ),
    "bench": Mounted("benchmarks.commands", ANYWHERE, "Measure cryoferry against other programs on this machine."),
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
        each.get_params = functools.partial(_readable_params, each.get_params)
        each.invoke = functools.partial(_invoke, each.invoke)
    return command


def _reflowed(text: str | None) -> str:
    """Return a help text with one line for each paragraph, for terminals of any width."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _with_subcommands(name: str, command: Any) -> dict[str, Any]:
    """Return a command and the commands inside it, by their section in the configuration file."""
    return {name: command} | {f"{name}.{sub}": leaf for sub, leaf in getattr(command, "commands", {}).items()}


def _invoke(invoke: Callable[[Any], Any], context: Any) -> Any:
    """Run a command; remember it, so that an error can name where its options come from."""
    if isinstance(invocation := context.find_root().obj, Invocation):
        invocation.context = context
    return invoke(context)


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
        Path | None, typer.Option(metavar="FILE", help="Configuration file; by default ./cryoferry.toml if it exists.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log everything, and show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Carry a cryo-EM session from the microscope to a live Scipion project in the cloud, while it is recorded.

    On a new machine, `cryoferry demo` shows everything at work, and `cryoferry doctor` says what is missing.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
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
    ctx.obj.configuration = configuration
    ctx.default_map = configuration.default_map(_repeatable(command) if command and sections else ())


class ErrorReport(NamedTuple):
    """What a user and a program learn about an error."""

    kind: str
    message: str
    hint: str
    exit_code: int

    def as_object(self) -> dict[str, Any]:
        """Return it as the JSON object of `--json`."""
        told = {"type": self.kind, "message": self.message, "hint": self.hint, "exit_code": self.exit_code}
        return {"error": told}


def _report_of(error: Exception) -> ErrorReport:
    """Return what to say about an error that a command ended with."""
    exit_code, hint = getattr(error, "exit_code", 1), getattr(error, "hint", "")
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        exit_code, hint = 7, "Free space on that disk, then run the same command again."
    elif isinstance(error, OSError) and not hasattr(error, "exit_code"):
        what = error.strerror or type(error).__name__
        message = f"{error.filename}: {what}" if error.filename else message
        hint = "Check that path and its permissions, then run the same command again."
    elif not hasattr(error, "exit_code"):
        message = f"{type(error).__name__}: {message}"
        hint = "This is a bug. Please report it, with what `cryoferry --verbose …` prints." + hint
    return ErrorReport(type(error).__name__, message, hint, int(exit_code))


def _usage_report(error: typer.TyperException) -> ErrorReport:
    """Return what to say about a command line, or a configured value, that cannot be understood."""
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    hint = f"`{context.command_path if context else 'cryoferry'} --help` explains what it takes."
    message = error.message
    if type(error).__name__ == "NoArgsIsHelpError":
        message = "a command is missing"
    elif type(error).__name__ == "MissingParameter":
        message = f"missing: {', '.join(_missing(context, param))}"
    elif type(error).__name__ == "NoSuchOption":
        message, near = f"there is no option {error.option_name}", _nearest_option(context, error.option_name)  # type: ignore[attr-defined]
        hint = f"Did you mean {near}? {hint}" if near else hint
    elif context is not None and param is not None:
        invocation = context.find_root().obj
        setting = invocation.setting(context, param.name) if isinstance(invocation, Invocation) else None
        place = setting.place(param.name) if setting else _flag(param)
        message = f"{place}: {_wrong_value(error) or message}"
    return ErrorReport(type(error).__name__, message, hint, error.exit_code)


def _flag(param: Any) -> str:
    return str(param.metavar or param.name) if param.param_type_name == "argument" else str(param.opts[0])


def _missing(context: Any, first: Any) -> list[str]:
    """Return every required option that is missing, as a user writes it."""
    given, configured = set(sys.argv), context.default_map or {}
    names = []
    for param in context.command.params:
        flags = [*param.opts, *param.secondary_opts]
        absent = param.param_type_name == "option" and param.required and not given.intersection(flags)
        if param is first or (absent and param.name not in configured):
            flag = _flag(param)
            names.append(f"{flag} {param.metavar}" if flag.startswith("--") and param.metavar else flag)
    return names


def _nearest_option(context: Any, name: str) -> str | None:
    from difflib import get_close_matches

    options = [flag for param in context.command.get_params(context) for flag in (*param.opts, *param.secondary_opts)]
    return next(iter(get_close_matches(name, options, n=1, cutoff=0.5)), None)


def _wrong_value(error: Exception) -> str | None:
    """Return in words what pydantic, which reads the values for typer, found wrong; None: the error says it."""
    errors = getattr(error.__cause__, "errors", None)
    if errors is None:
        return None
    (found, *_) = errors()
    value, kind, limits = found["input"], found["type"], found.get("ctx", {})
    wanted = {
        "greater_than_equal": f"is too small; the least is {limits.get('ge')}",
        "less_than_equal": f"is too large; the most is {limits.get('le')}",
        "literal_error": f"is none of {str(limits.get('expected')).replace(chr(39), '')}",
        "enum": f"is none of {str(limits.get('expected')).replace(chr(39), '')}",
        "float_parsing": "is not a number",
        "float_type": "is not a number",
        "finite_number": "is not a finite number",
        "int_parsing": "is not a whole number",
        "int_type": "is not a whole number",
        "int_from_float": "is not a whole number",
        "bool_parsing": "is neither true nor false",
        "bool_type": "is neither true nor false",
        "path_type": "is not a path; write it in quotes",
        "string_type": "is not a text; write it in quotes",
    }.get(kind)
    if kind == "value_error":
        return str(found["msg"]).removeprefix("Value error, ")
    return f"{value!r} {wanted}" if wanted else None


def _report(error: Exception, invocation: Invocation) -> int:
    """Print what went wrong, for people and with `--json` for programs; return the exit code."""
    report = _usage_report(error) if isinstance(error, typer.TyperException) else _report_of(error)
    places = invocation.places_of(report.message)
    if places and not isinstance(error, ConfigError):
        report = report._replace(message=f"{report.message} (from {', '.join(places)})")
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), report.message))
    if report.hint:
        console.print(Text.assemble(("what to do: ", "bold"), report.hint))
    if "--json" in sys.argv:
        typer.echo(json.dumps(report.as_object(), ensure_ascii=False))
    return report.exit_code


def main() -> None:
    """Run the `cryoferry` command."""
    command: Any = as_command(app)
    invocation = Invocation(Configuration(None, {}), _all_commands)
    try:
        code = command.main(prog_name="cryoferry", standalone_mode=False, obj=invocation) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if {"-v", "--verbose"} & set(sys.argv):
            logging.getLogger("cryoferry").exception("failed")
        code = _report(error, invocation)
    sys.exit(code)


if __name__ == "__main__":
    main()
