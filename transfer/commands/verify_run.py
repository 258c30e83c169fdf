"""Names the files that `cryoferry verify` compares, has the receiver read its own, and prints the verdicts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from json import dumps
from pathlib import Path

import typer

from transfer.client import ReceiverClient
from transfer.commands.planned_files import plan
from transfer.commands.shared import progress, stderr_console
from transfer.download.comparing import Comparison
from transfer.pace.retrying import RetryPolicy
from transfer.terminal.lines import print_line
from transfer.verifying import files_with_problems
from transfer.wire.errors import LimitReached, NotFound
from transfer.wire.names import check_path
from transfer.wire.protocol import ListedFile
from transfer.wire.remote_names import sent_path

MISMATCH = 6  # exit code


def name_of(folder: Path) -> str:
    """Return the name that a file or folder has in the session."""
    return folder.resolve().name if folder.is_dir() else folder.name


def named_files(
    folder: Path,
    session: str,
    path_prefix: str,
    *,
    whole_session: bool,
    check_name: Callable[[str], str] = check_path,
) -> dict[str, Path]:
    """Return the files to compare, by their path in the session."""
    sources = sorted(folder.iterdir()) if whole_session and folder.is_dir() else [folder]
    visible = [source for source in sources if not source.name.startswith(".")]
    return {file.path: file.source for file in plan(visible, session, path_prefix, 1, check_name=check_name)}


def tops(folder: Path, path_prefix: str, *, whole_session: bool) -> set[str]:
    """Return the paths in the session below which the files to compare lie; an older client escaped no name."""
    name, prefix = name_of(folder), path_prefix.strip("/")
    names = {""} if whole_session else {name, sent_path(name)}
    return {"/".join(filter(None, (prefix, one))) for one in names}


def with_older_names(
    here: dict[str, Path], there: Sequence[ListedFile], older: Callable[[], dict[str, Path]]
) -> dict[str, Path]:
    """Return the files to compare, by their names on the receiver: older clients sent names that begin with `-`."""
    listed = {file.path for file in there}
    if not any("/-" in f"/{path}" for path in listed):
        return here
    kept = {source: path for path, source in older().items() if path in listed}
    return {path if path in listed else kept.get(source, path): source for path, source in here.items()}


def as_written(folder: Path, file: Path) -> str:
    """Return the name of a file as the user writes it: relative to the present folder unless FOLDER is absolute."""
    return str(file) if folder.is_absolute() else os.path.relpath(file)


def lost_files(
    client: ReceiverClient, session: str, there: Sequence[ListedFile], give_up_after_s: float
) -> dict[str, str]:
    """Have the receiver read files again; return those that are not as they were committed, with what is wrong."""
    console = stderr_console()
    retry = RetryPolicy(give_up_after_s, lambda: False)
    said: list[LimitReached] = []

    def on_full(full: LimitReached) -> None:
        if not said:
            said.append(full)
            console.print(f"waiting: {full}", markup=False)

    with progress(console, "the receiver reads its files", sum(file.size_bytes for file in there)) as advance:
        found = files_with_problems(
            client,
            session,
            [file.path for file in there],
            retry,
            on_read=lambda _files, count: advance(count),
            on_full=on_full,
        )
        try:
            return {file.path: f"{file.check.value}: {file.detail}" for file in found}
        except NotFound as error:  # the session is there: its files were listed
            raise NotFound(
                "this receiver cannot read its files again on request; nothing was compared",
                hint="Upgrade cryoferry on the receiver, or leave out --deep.",
            ) from error


def show_comparison(comparison: Comparison, json: bool) -> None:
    """Print the verdict about one file."""
    if json:
        report = {
            "path": comparison.path,
            "verdict": comparison.status.value,
            "detail": comparison.detail,
            "sha256": comparison.sha256,
        }
        typer.echo(dumps(report))
    elif comparison.status != "same":
        print_line(f"{comparison.status.value}: {comparison.path} {comparison.detail}".rstrip())


def exit_code(counts: dict[str, int]) -> int:
    """Return 6 if anything is not as it should be, 4 if that is only known of what could not be read."""
    if any(counts[name] for name in ("missing", "different", "extra", "lost")):
        return MISMATCH
    return 4 if counts["unreadable"] else 0
