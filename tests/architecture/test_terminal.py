"""What is printed goes through the functions that escape it, so that no command can forget to."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PRINTING = [
    *TOP.glob("transfer/commands/*.py"), *TOP.glob("agents/commands/*.py"), *TOP.glob("agents/demo/*.py"),
    *TOP.glob("api/commands/*.py"), TOP / "command_errors.py",
]  # fmt: skip


@pytest.mark.parametrize("file", PRINTING, ids=lambda file: str(file.relative_to(TOP)))
def test_commands_make_no_consoles_of_rich_and_echo_nothing_but_json(file: Path) -> None:
    for call in (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)):
        called = ast.unparse(call.func)
        assert called != "Console", f"line {call.lineno}: use PlainConsole"
        if called == "typer.echo":
            assert "dumps(" in ast.unparse(call), f"line {call.lineno}: use print_line"
