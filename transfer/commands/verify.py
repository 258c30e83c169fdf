"""The command `cryoferry verify`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from transfer.commands.shared import Ca, ClearText, Json, TokenFile, connect, stderr_console
from transfer.wire.names import check_session_name

With = Annotated[
    str, typer.Option("--with", metavar="URL", help="The receiver: https://…, or http:// on this machine.")
]


def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder, or file, as it was sent.")],
    with_: With,
    session: Annotated[str, typer.Option(metavar="NAME", help="The session that holds its files.")],
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    path_prefix: Annotated[str, typer.Option(metavar="FOLDER", help="The --path-prefix that it was sent with.")] = "",
    whole_session: Annotated[
        bool, typer.Option("--whole-session", help="FOLDER holds the session's files themselves, as fetched.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare files here with what the receiver holds, by digest; tell what is missing, different or extra there."""
    from transfer.commands.verify_run import exit_code, name_of, named_files, show_comparison
    from transfer.download.comparing import ComparisonStatus, compare

    check_session_name(session)
    here = named_files(folder, session, path_prefix, whole_session=whole_session)
    top = path_prefix.strip("/") if whole_session else "/".join(filter(None, (path_prefix.strip("/"), name_of(folder))))
    console, found = stderr_console(), []
    with connect(with_, token_file, ca, clear_text=clear_text) as client:
        there = (r for r in client.files(session) if not top or r.path == top or r.path.startswith(f"{top}/"))
        for comparison in compare(here, there):
            found.append(comparison.status)
            show_comparison(comparison, console, json)
    counts = {verdict.value: found.count(verdict) for verdict in ComparisonStatus}
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()))
    if json:
        typer.echo(dumps({"files": len(found), **counts}))
    raise typer.Exit(exit_code(counts))
