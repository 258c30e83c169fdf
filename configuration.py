"""The configuration: one TOML file, a section for each command, and environment variables that win over it.

    [align]
    pixel_size = 0.822

    [watch]                      # inherits what it knows from [align] and [send]
    session = "lysozyme-3"       # also for status, retry and doctor, like to, token_file, ca and work

    [session.start]              # a command inside a group: a nested table

`CRYOFERRY_WATCH__SESSION=…` says the same as `session` in `[watch]`, `CRYOFERRY_SESSION__START__…` as a key in
`[session.start]`. An unknown section or key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

INHERITS: Mapping[str, tuple[str, ...]] = {
    "watch": ("align", "send"),
    "ctf": ("align",),
    "status": ("watch", "send"),
    "retry": ("watch", "send"),
    "doctor": ("watch", "send"),
    "session.start": ("watch", "send"),
    "session.end": ("watch", "send"),
    "session.reopen": ("watch", "send"),
    "session.export": ("watch", "send"),
    "threshold.list": ("watch", "send"),
    "threshold.set": ("watch", "send"),
    "threshold.remove": ("watch", "send"),
    "verdict.accept": ("watch", "send"),
    "verdict.reject": ("watch", "send"),
    "verdict.clear": ("watch", "send"),
    "token.create": ("serve",),
    "token.list": ("serve",),
    "token.revoke": ("serve",),
    "receiver.check": ("serve",),
}
"""Sections that use the keys of other sections, the first one first, where they have no value of their own."""

_WHERE = frozenset({"to", "session", "token_file", "ca", "clear_text", "work", "data", "database"})
"""All that the other commands use of [watch], [send] and [serve]: where agent and receiver are, not how they work."""
_MICROSCOPE = frozenset({"voltage", "cs", "amplitude_contrast", "phase_shift", "defocus_range", "device", "threads"})
"""All that [ctf] uses of [align]: not the pixel size, which is that of movies and not of the micrographs."""

_PREFIX = "CRYOFERRY_"
_SECRET_KEY = re.compile(r"(token|secret|password)$")
_TELLING_CHARACTERS = 3
"""A shorter value occurs in messages by chance."""
_URL_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")


class ConfigError(Exception):
    """The configuration is wrong."""

    exit_code: ClassVar[int] = 2
    hint: str = "Correct it. `cryoferry config show` lists every value, and where it comes from."

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail)
        if hint is not None:
            self.hint = hint


class ConfiguredValue(NamedTuple):
    """A configured value (TOML's own type, or the environment's string), and where it comes from."""

    value: Any
    source: str
    """The file, or `$` and the name of the environment variable."""
    section: str = ""
    """The section that holds it, which another may have inherited it from."""

    def place(self, key: str) -> str:
        """Return where the value comes from, for a message."""
        if self.source.startswith("$"):
            return f"the environment variable {self.source[1:]}"
        return f"`{written(key)}` in [{self.section}] of {self.source}"

    def shown(self, key: str) -> Any:
        """Return the value as it may be printed: a secret is `***`."""
        if _SECRET_KEY.search(key):
            return "***"
        return _URL_PASSWORD.sub(r"\1:***@", self.value) if isinstance(self.value, str) else self.value


Sections = dict[str, dict[str, ConfiguredValue]]


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every configured value, by section (`watch`, `session.start`) and key (the option's parameter name)."""

    path: Path | None
    sections: Sections

    def sources(self) -> Sections:
        """Return {section: {key: (value, source)}}."""
        return self.sections

    def default_map(self, repeatable: Collection[tuple[str, str]] = ()) -> dict[str, Any]:
        """Return click's `default_map`: {command: {parameter: value}}, nested for commands inside a group.

        A text for one of the `repeatable` (section, key) becomes a list; commas stand between its values.
        """
        tree: dict[str, Any] = {}
        for section, settings in self.sections.items():
            branch = tree
            for part in section.split("."):
                branch = branch.setdefault(part, {})
            for key, setting in settings.items():
                is_text_for_list = isinstance(setting.value, str) and (section, key) in repeatable
                branch[key] = _values(setting.value) if is_text_for_list else setting.value
        return tree


@dataclass(slots=True)
class Invocation:
    """One run of the command, as `obj` of the command line's context: what is configured, and which command runs.

    Attributes
    ----------
    configuration
        What was configured for the command that runs; for `config`, for all commands.
    all_commands
        Returns every command by its section: this imports them all.
    context
        The context of the command that runs, once it runs.
    """

    configuration: Configuration
    all_commands: Callable[[], Mapping[str, Any]]
    context: Any = None

    def setting(self, context: Any, key: str) -> ConfiguredValue | None:
        """Return where an option's value comes from, or None: from a flag, or from its default."""
        source = context.get_parameter_source(key)
        if source is None or source.name != "DEFAULT_MAP":
            return None
        return self.configuration.sections.get(section_of(context), {}).get(key)

    def in_use(self) -> list[tuple[str, Any, str]]:
        """Return each option that is not left to its default: its key, its value (a secret is `***`), its source."""
        found = []
        for option in self.context.command.params if self.context is not None else ():
            source = self.context.get_parameter_source(option.name)
            setting = self.setting(self.context, option.name)
            if source is None or source.name not in ("COMMANDLINE", "DEFAULT_MAP") or option.name == "json":
                continue
            flag = option.opts[0] if option.opts[0].startswith("--") else "the command line"
            place = setting.place(option.name) if setting else flag
            shown = ConfiguredValue(self.context.params[option.name], place).shown(option.name)
            found.append((option.name, shown, place))
        return found

    def places_of(self, message: str) -> list[str]:
        """Return where those options stand in the configuration that a message names, by their flag or value."""
        if self.context is None:
            return []
        found = []
        for option in self.context.command.params:
            setting = self.setting(self.context, option.name)
            if setting is not None and _is_named(message, option.opts, setting.value):
                found.append(setting.place(option.name))
        return found


def _values(text: str) -> list[str]:
    return [value.strip() for value in text.split(",") if value.strip()]


def section_of(context: Any) -> str:
    """Return the section of the command that a context belongs to: `align`, `session.start`."""
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return ".".join(names)


def _is_named(message: str, flags: Collection[str], value: Any) -> bool:
    by_flag = any(re.search(rf"{re.escape(flag)}(?![\w-])", message) for flag in flags if flag.startswith("--"))
    return by_flag or (isinstance(value, str) and len(value) >= _TELLING_CHARACTERS and value in message)


def load_configuration(
    path: Path | None,
    environ: Mapping[str, str],
    known: Mapping[str, Collection[str]],
    *,
    sections: Collection[str] | None = None,
) -> Configuration:
    """Read the configuration file and the environment.

    Parameters
    ----------
    path
        The TOML file; None: $CRYOFERRY_CONFIG, else ./cryoferry.toml, else ~/.config/cryoferry/config.toml, if there.
    environ
        Environment variables; those named `CRYOFERRY_SECTION__KEY` are read.
    known
        The keys that each section may hold. Only the sections that are configured or wanted are
        looked up, so that the mapping may import a command when it is asked for its options.
    sections
        The sections to return, such as those of the command that runs; None: all.

    Raises
    ------
    ConfigError
        The file cannot be read or parsed, or a section or key is unknown.
    """
    file = _find(path, environ)
    of_file = _read(file, known) if file else {}
    of_environment = _from_environment(environ, known)
    wanted = (known if sections is None else sections) if of_file or of_environment else ()
    resolved: Sections = {}
    for section in wanted:
        merged: dict[str, ConfiguredValue] = {}
        for layer in (of_file, of_environment):  # the environment wins over the file, inherited or not
            for origin in (*reversed(INHERITS.get(section, ())), section):
                merged |= {
                    key: value for key, value in layer.get(origin, {}).items() if _passes(key, origin, section, known)
                }
        if merged:
            resolved[section] = merged
    return Configuration(file, resolved)


def _passes(key: str, origin: str, section: str, known: Mapping[str, Collection[str]]) -> bool:
    """Return whether a key of one section also counts in another."""
    used = _MICROSCOPE if section == "ctf" else _WHERE
    return key in known[section] and (section in {origin, "watch"} or key in used)


def _find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is None and environ.get("CRYOFERRY_CONFIG"):
        path = Path(environ["CRYOFERRY_CONFIG"])
    if path is not None:
        return path
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".config")
    candidates = (Path("cryoferry.toml"), home / "cryoferry" / "config.toml")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _read(file: Path, known: Mapping[str, Collection[str]]) -> Sections:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:  # its text ends in "(at line 3, column 7)"
        hint = 'Correct the file. In TOML a text needs quotes: session = "lysozyme".'
        raise ConfigError(f"{file}: {error}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise ConfigError(
            f"the configuration file {file} cannot be read: {error.strerror}",
            hint="Check the path, which --config or the variable CRYOFERRY_CONFIG gives, and its permissions.",
        ) from error
    sections: Sections = {}
    for section, key, value in _walk(tables, (), file):
        name = _known_section(section, known, f"[{section}] in {file}")
        option = _known_key(name, key, known, f"`{key}` in [{section}] of {file}")
        sections.setdefault(name, {})[option] = ConfiguredValue(value, str(file), name)
    return sections


def _walk(table: Mapping[str, Any], above: tuple[str, ...], file: Path) -> Iterator[tuple[str, str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            if not value:
                continue
            yield from _walk(value, (*above, key), file)
        elif not above:
            raise ConfigError(
                f"`{key}` in {file} is outside of any section",
                hint="Put it under the name of its command, such as [align] or [watch].",
            )
        else:
            yield ".".join(above), key, value


def _from_environment(environ: Mapping[str, str], known: Mapping[str, Collection[str]]) -> Sections:
    sections: Sections = {}
    for variable, value in environ.items():
        *section, key = variable.removeprefix(_PREFIX).lower().split("__")
        if variable.startswith(_PREFIX) and section:
            where = f"the environment variable {variable}"
            name = _known_section(".".join(section), known, where)
            key = _known_key(name, key, known, where)
            sections.setdefault(name, {})[key] = ConfiguredValue(value, f"${variable}", name)
    return sections


def _known_section(name: str, known: Mapping[str, Collection[str]], where: str) -> str:
    if name in known:
        return name
    raise ConfigError(f"{where}: no section {name!r} is known", hint=_nearest(name, known))


def _known_key(section: str, key: str, known: Mapping[str, Collection[str]], where: str) -> str:
    name = written(key.replace("-", "_"))
    parameters = {written(parameter): parameter for parameter in known[section]}
    if name in parameters:
        return parameters[name]
    raise ConfigError(f"{where}: [{section}] has no key {name!r}", hint=_nearest(name, parameters))


def written(parameter: str) -> str:
    """Return the key of an option's parameter: `from` for `from_`, since Python allows no parameter `from`."""
    return parameter.removesuffix("_")


def _nearest(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    listed = ", ".join(sorted(names)) or "none"
    return f"Did you mean {near[0]!r}?" if near else f"Known: {listed}."


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder where this user's agents keep their work folders by default."""
    environ = os.environ if environ is None else environ
    home = Path(environ.get("HOME") or "~").expanduser()
    if local := environ.get("LOCALAPPDATA"):  # Windows
        return Path(local) / "cryoferry"
    return Path(environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "cryoferry"
