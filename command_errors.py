"""What a user and a program learn about an error that a command ended with, a wrong command line included."""

from __future__ import annotations

import errno
import json
import sys
from contextlib import suppress
from typing import Any, NamedTuple

import typer

from configuration import Invocation


class ErrorReport(NamedTuple):
    """What a user and a program learn about an error."""

    kind: str
    message: str
    hint: str
    exit_code: int

    def as_object(self) -> dict[str, Any]:
        """Return it as the JSON object of `--json`."""
        error = {"type": self.kind, "message": self.message, "hint": self.hint, "exit_code": self.exit_code}
        return {"error": error}


def _is_of_the_disk(error: Exception) -> bool:
    """Return whether SQLite reports that it cannot read or write its file: a matter of the disk, not of a program."""
    sqlite3 = sys.modules.get("sqlite3")
    if sqlite3 is None or not isinstance(error, sqlite3.DatabaseError):
        return False
    names = ("IOERR", "READONLY", "CORRUPT", "NOTADB", "CANTOPEN", "FULL")
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {getattr(sqlite3, f"SQLITE_{name}") for name in names}


def _report_of(error: Exception) -> ErrorReport:
    """Return what to say about an error that a command ended with."""
    exit_code, hint = getattr(error, "exit_code", 1), getattr(error, "hint", "")
    message = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        message = f"{error.filename or 'the output'} cannot be written: {error.strerror}"
        exit_code, hint = 7, "Free space on that disk, then run the same command again."
    elif (limit := _limit_of_machine(error)) is not None:
        message, hint = limit
        exit_code = 7
    elif isinstance(error, OSError) and not hasattr(error, "exit_code"):
        what = error.strerror or type(error).__name__
        message = f"{error.filename}: {what}" if error.filename else message
        hint = "Check that path and its permissions, then run the same command again."
    elif _is_of_the_disk(getattr(error, "orig", error)):  # SQLAlchemy's errors have the driver's in `orig`
        message = f"the journal or the database cannot be used: {getattr(error, 'orig', error)}; the command ended"
        exit_code = 7
        hint = "Check the disk of the work folder or the data folder, then run the same command again."
    elif not hasattr(error, "exit_code"):
        message = f"{type(error).__name__}: {message}"
        hint = "This is a bug. Please report it, with what `cryoferry --verbose …` prints." + hint
    return ErrorReport(type(error).__name__, message, hint, int(exit_code))


def _limit_of_machine(error: Exception) -> tuple[str, str] | None:
    """Return what the machine denied the command, and what to do; None: it denied nothing."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EFBIG and isinstance(error, OSError):
        what = f"{error.filename or 'a file'} cannot be written: {error.strerror}"
        return what, "Raise the limit of file sizes (`ulimit -f`), then run the same command again."
    if number in (errno.EMFILE, errno.ENFILE):
        return "too many files are open", "Raise the limit (`ulimit -n`), then run the same command again."
    from transfer.machine_limits import denial_of

    return denial_of(error)


def _usage_report(error: typer.TyperException, of_run: Any) -> ErrorReport:
    """Return what to say about a command line, or a configured value, that cannot be understood."""
    context, param = getattr(error, "ctx", None) or of_run, getattr(error, "param", None)
    hint = f"`{context.command_path if context else 'cryoferry'} --help` explains what it takes."
    message = error.message
    if type(error).__name__ == "NoArgsIsHelpError":
        message = "a command is missing"
    elif type(error).__name__ == "MissingParameter":
        message = f"missing: {', '.join(_missing(context, param))}"
    elif type(error).__name__ == "NoSuchOption":
        message, near = f"there is no option {error.option_name}", _nearest_option(context, error.option_name)  # type: ignore[attr-defined]
        hint = f"Did you mean {near}? {hint}" if near else hint
    elif type(error).__name__ == "BadOptionUsage":
        message = f"{error.option_name} needs a value"  # type: ignore[attr-defined]
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


def print_error(error: Exception, invocation: Invocation, *, as_json: bool) -> int:
    """Print what went wrong, for people and with `--json` for programs; return the exit code."""
    report = _usage_report(error, invocation.context) if isinstance(error, typer.TyperException) else _report_of(error)
    places = [place for place in invocation.places_of(report.message) if place not in report.message]
    if places:
        report = report._replace(message=f"{report.message} (from {', '.join(places)})")
    from rich.text import Text

    from transfer.terminal.console import PlainConsole
    from transfer.wire.printable import printable

    console = PlainConsole(stderr=True, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), printable(report.message)))
    if report.hint:
        console.print(Text.assemble(("what to do: ", "bold"), printable(report.hint)))
    if as_json:
        with suppress(OSError):  # stdout itself cannot be written; the text on stderr says so
            typer.echo(json.dumps(report.as_object()))
    return report.exit_code
