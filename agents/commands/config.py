"""The command `cryoferry config`."""

from __future__ import annotations

from json import dumps
from typing import Any

import typer

from configuration import Configuration, Setting
from transfer.commands.shared import Json

config = typer.Typer(no_args_is_help=True, add_completion=False, help="Show the configuration.")


@config.callback()
def _config() -> None:
    """Show the configuration and where each value comes from."""


@config.command()
def show(ctx: typer.Context, json: Json = False) -> None:
    """Show every option's value and where it comes from, as a configuration file; secrets are not shown.

    What nobody configured stands there as a comment, with its default.
    """
    root = ctx.find_root()
    configured = root.obj.sources() if isinstance(root.obj, Configuration) else {}
    for section, defaults in _options_of(root).items():
        settings = configured.get(section, {})
        if not json:
            typer.echo(f"[{section}]")
        for key in sorted(defaults, key=lambda name: name not in settings):
            setting = settings.get(key, Setting(defaults[key], "default"))
            shown = setting.shown(key)
            if json:
                line = {"section": section, "key": key, "value": shown, "source": setting.source}
                typer.echo(dumps(line, default=str))
            elif key in settings:
                typer.echo(f"{key} = {dumps(shown, default=str, ensure_ascii=False)}  # {setting.source}")
            else:
                typer.echo(f"# {key} = {'' if shown is None else dumps(shown, default=str, ensure_ascii=False)}")


def _options_of(root: Any) -> dict[str, dict[str, Any]]:
    """Return the default of every configurable option, by section."""
    sections: dict[str, dict[str, Any]] = {}
    for name in root.command.list_commands(root):
        command = root.command.get_command(root, name)
        leaves = {f"{name}.{sub}": leaf for sub, leaf in getattr(command, "commands", {}).items()} or {name: command}
        for section, leaf in leaves.items():
            options = {option.name: option.default for option in leaf.params if option.name not in ("help", "json")}
            if options:
                sections[section] = options
    return sections
