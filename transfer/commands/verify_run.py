"""Names the files that `cryoferry verify` compares, prints each verdict and chooses the exit code."""

from __future__ import annotations

from json import dumps
from pathlib import Path

import typer

from transfer.commands.planned_files import plan
from transfer.download.comparing import Comparison

MISMATCH = 6  # exit code


def name_of(folder: Path) -> str:
    """Return the name that a file or folder has in the session."""
    return folder.resolve().name if folder.is_dir() else folder.name


def named_files(folder: Path, session: str, path_prefix: str, *, whole_session: bool) -> dict[str, Path]:
    """Return the files to compare, by their path in the session."""
    sources = sorted(folder.iterdir()) if whole_session and folder.is_dir() else [folder]
    visible = [source for source in sources if not source.name.startswith(".")]
    return {file.path: file.source for file in plan(visible, session, path_prefix, 1)}


def show_comparison(comparison: Comparison, json: bool) -> None:
    """Print the verdict about one file."""
    if json:
        report = {"path": comparison.path, "verdict": comparison.status.value, "detail": comparison.detail}
        typer.echo(dumps(report))
    elif comparison.status != "same":
        typer.echo(f"{comparison.status.value}: {comparison.path} {comparison.detail}".rstrip())


def exit_code(counts: dict[str, int]) -> int:
    """Return 6 if anything is not as it should be, 4 if that is only known of what could not be read."""
    if counts["missing"] or counts["different"] or counts["extra"]:
        return MISMATCH
    return 4 if counts["unreadable"] else 0
