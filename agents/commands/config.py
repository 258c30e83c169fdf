"""The command `cryoferry config`."""

from __future__ import annotations

from json import dumps

import typer

from configuration import ConfiguredValue, Invocation, written
from transfer.commands.shared import Json
from transfer.terminal.lines import print_line

config = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Show the configuration, and where each value comes from."
)


@config.callback()
def _config() -> None:
    """Show the configuration, and where each value comes from."""


@config.command()
def show(ctx: typer.Context, json: Json = False) -> None:
    """Show the value of every option and where it comes from, as a configuration file; secrets are hidden.

    An option that is not configured is shown as a comment, with its default.
    """
    invocation: Invocation = ctx.find_root().obj
    for section, command in invocation.all_commands().items():
        defaults = {option.name: option.default for option in command.params if option.name not in ("help", "json")}
        settings = invocation.configuration.sections.get(section, {})
        if not json and defaults:
            print_line(f"[{section}]")
        for key in sorted(defaults, key=lambda name: name not in settings):
            setting = settings.get(key, ConfiguredValue(defaults[key], "default"))
            shown = setting.shown(key)
            if json:
                line = {"section": section, "key": written(key), "value": shown, "source": setting.source}
                typer.echo(dumps(line, default=str))
            elif key in settings:
                print_line(f"{written(key)} = {dumps(shown, default=str, ensure_ascii=False)}  # {setting.source}")
            else:
                print_line(
                    f"# {written(key)} = {'' if shown is None else dumps(shown, default=str, ensure_ascii=False)}"
                )
