"""The command `cryoferry verify`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from transfer.commands.shared import Ca, ClearText, Json, SessionOption, TokenFile, connect
from transfer.wire.names import check_session_name


def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder, or file, that was sent.")],
    with_: Annotated[
        str, typer.Option("--with", metavar="URL", help="The receiver: https://…, or http:// on this machine.")
    ],
    session: SessionOption,
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    path_prefix: Annotated[
        str, typer.Option(metavar="FOLDER", help="The --path-prefix that the files were sent with.")
    ] = "",
    whole_session: Annotated[
        bool, typer.Option("--whole-session", help="FOLDER is the whole session, as `cryoferry fetch` writes it.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare files here with those on the receiver, by digest.

    A file is the same, different, missing on the receiver, or extra there. Exit code 6 if any is not the same.
    """
    from transfer.commands.verify_run import exit_code, name_of, named_files, show_comparison
    from transfer.download.comparing import ComparisonStatus, compare

    check_session_name(session)
    here = named_files(folder, session, path_prefix, whole_session=whole_session)
    top = path_prefix.strip("/") if whole_session else "/".join(filter(None, (path_prefix.strip("/"), name_of(folder))))
    found = []
    with connect(with_, token_file, ca, clear_text=clear_text) as client:
        there = (r for r in client.files(session) if not top or r.path == top or r.path.startswith(f"{top}/"))
        for comparison in compare(here, there):
            found.append(comparison.status)
            show_comparison(comparison, json)
    counts = {verdict.value: found.count(verdict) for verdict in ComparisonStatus}
    text = ", ".join(f"{count} {name}" for name, count in counts.items())
    typer.echo(dumps({"files": len(found), **counts}) if json else text)
    raise typer.Exit(exit_code(counts))
