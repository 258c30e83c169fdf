"""The command `cryoferry verify`."""

from __future__ import annotations

from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from transfer.commands.shared import Ca, ClearText, GiveUpAfter, Json, SessionOption, TokenFile, connect
from transfer.defaults import GIVE_UP_AFTER_S
from transfer.wire.names import check_committed_path, check_session_name


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
    deep: Annotated[
        bool, typer.Option("--deep", help="Have the receiver read its files from the disk again, which may take long.")
    ] = False,
    sha256sums: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the SHA-256 of each file that is the same to FILE, for `sha256sum --check`."
        ),
    ] = None,
    give_up_after: GiveUpAfter = GIVE_UP_AFTER_S,
    json: Json = False,
) -> None:
    """Compare files here with those on the receiver, by digest.

    A file is the same, different, missing on the receiver, extra there, or lost there: committed, and no longer on its
    disk as it was. Exit code 6 if any is not the same. Without --deep, the receiver looks at size and time stamp only.
    """
    from transfer.commands.verify_run import (
        as_written,
        exit_code,
        lost_files,
        named_files,
        show_comparison,
        tops,
        with_older_names,
    )
    from transfer.download.comparing import ComparisonStatus, compare
    from transfer.download.sha256sums import write_sha256sums
    from transfer.pace.retrying import RetryPolicy

    check_session_name(session)
    named = partial(named_files, folder, session, path_prefix, whole_session=whole_session)
    here, below = named(), tops(folder, path_prefix, whole_session=whole_session)
    found, sums = [], []
    with connect(with_, token_file, ca, clear_text=clear_text, give_up_after_s=give_up_after) as client:
        listed = client.files(session, repeat=RetryPolicy(give_up_after, lambda: False).repeat)
        there = [r for r in listed if "" in below or any(f"{r.path}/".startswith(f"{top}/") for top in below)]
        here = with_older_names(here, there, partial(named, check_name=check_committed_path))
        lost = lost_files(client, session, there, give_up_after) if deep else {}
        for comparison in compare(here, there, lost, with_sha256=sha256sums is not None):
            found.append(comparison.status)
            show_comparison(comparison, json)
            if comparison.status is ComparisonStatus.SAME and comparison.sha256:
                sums.append((comparison.sha256, as_written(folder, here[comparison.path])))
    if sha256sums is not None:
        write_sha256sums(sha256sums, sums)
    counts = {verdict.value: found.count(verdict) for verdict in ComparisonStatus}
    text = ", ".join(f"{count} {name}" for name, count in counts.items())
    typer.echo(dumps({"files": len(found), **counts}) if json else text)
    raise typer.Exit(exit_code(counts))
