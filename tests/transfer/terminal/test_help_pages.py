"""Help pages are drawn without loading what they do not show, and look as typer draws them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = "import cryoferry, sys; sys.argv = ['cryoferry', *sys.argv[1:]]; cryoferry.main()"
AS_USUAL = "import typer.rich_utils; " + PAGE
LOADED = """
import sys
from transfer.terminal.help_pages import load_help_pages
load_help_pages()
print(*(name for name in ("typer.rich_utils", "rich.markdown", "markdown_it", "rich.traceback") if name in sys.modules))
import typer.rich_utils
made = typer.rich_utils.Markdown("**bold**")
import rich.markdown
print(type(made) is rich.markdown.Markdown, made.markup)
"""
NEEDS_MORE = """
import sys, types
from transfer.terminal import help_pages
help_pages._UNUSED = {"rich.markdown": "SomethingElse"}
help_pages.load_help_pages()
import typer.rich_utils, rich.markdown
print(typer.rich_utils.Markdown is rich.markdown.Markdown)
"""


def output(program: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("command", [(), ("session", "start")])
def test_pages_look_as_typer_draws_them(command: tuple[str, ...]) -> None:
    page = output(PAGE, *command, "--help")
    assert "╭─" in page
    assert page == output(AS_USUAL, *command, "--help")


def test_what_pages_do_not_show_is_loaded_when_it_is_used() -> None:
    assert output(LOADED).splitlines() == ["typer.rich_utils", "True **bold**"]


def test_a_typer_that_needs_more_gets_all() -> None:
    assert output(NEEDS_MORE).strip() == "True"
