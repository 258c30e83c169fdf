"""The commands `cryoferry fetch` and `cryoferry verify`."""

from __future__ import annotations

import time
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfer.commands.shared import Ca, ClearText, DryRun, Json, TokenFile, connect, progress, stderr_console
from transfer.wire.errors import TransferError
from transfer.wire.names import check_path, check_session_name

if TYPE_CHECKING:
    from rich.console import Console

    from transfer.download.comparing import Comparison
    from transfer.download.fetcher import Fetched
    from transfer.wire.exposure_record import Receipt

MISMATCH = 6  # exit code

From = Annotated[
    str, typer.Option("--from", metavar="URL", help="The receiver: https://…, or http:// on this machine.")
]
With = Annotated[
    str, typer.Option("--with", metavar="URL", help="The receiver: https://…, or http:// on this machine.")
]


def fetch(
    what: Annotated[str, typer.Argument(metavar="SESSION[/PATH]", help="A session, or a file or folder of it.")],
    from_: From,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to; files keep their paths in the session.")],
    token_file: TokenFile = None,
    ca: Ca = None,
    clear_text: ClearText = False,
    connections: Annotated[int, typer.Option(min=1, max=64, help="Ranges fetched at once.")] = 8,
    give_up_after: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="How long to try again while the receiver cannot be reached."),
    ] = 60.0,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Fetch committed files in parallel ranges, verified; what was interrupted continues.

    A file appears under its name when its digest is right, and nothing that is there already is written to.
    """
    from transfer.download.fetcher import Fetcher, chosen

    session, _, path = what.partition("/")
    check_session_name(session)
    if path.strip("/"):
        check_path(path.strip("/"))
    console = stderr_console()
    with connect(from_, token_file, ca, clear_text=clear_text) as client:
        receipts = chosen(client.files(session), path)
        if dry_run:
            _show(receipts, out, console, json)
            return
        with progress(console, "fetching", sum(receipt.size_bytes for receipt in receipts)) as advance:
            fetcher = Fetcher(client, out, connections=connections, give_up_after_s=give_up_after, on_progress=advance)
            began_s = time.monotonic()
            results = []
            for fetched in fetcher.fetch_all(receipts):
                results.append(fetched)
                _tell_fetched(fetched, console, json)
        _sum_up(results, fetcher.fetched_bytes, time.monotonic() - began_s, console, json)
    raise typer.Exit(_exit_code([fetched.error for fetched in results]))


def _show(receipts: list[Receipt], out: Path, console: Console, json: bool) -> None:
    for receipt in receipts:
        target = out / receipt.path
        if json:
            typer.echo(dumps({**receipt.model_dump(), "target": str(target)}))
        else:
            console.print(f"would fetch {receipt.path} to {target} ({receipt.size_bytes:,} bytes)", markup=False)


def _tell_fetched(fetched: Fetched, console: Console, json: bool) -> None:
    told = {**fetched.receipt.model_dump(), "target": str(fetched.target)}
    if fetched.error is None:
        console.print(f"{'fetched' if fetched.is_new else 'here already'}: {fetched.target}", markup=False)
        told["new"] = fetched.is_new
    else:
        console.print(f"failed: {fetched.receipt.path}: {fetched.error}", style="red", markup=False)
        console.print(f"what to do: {fetched.error.hint}", markup=False)
        told["error"] = _told_error(fetched.error)
    if json:
        typer.echo(dumps(told))


def _told_error(error: TransferError) -> dict[str, object]:
    return {"type": type(error).__name__, "message": str(error), "hint": error.hint, "exit_code": error.exit_code}


def _sum_up(results: list[Fetched], fetched_bytes: int, seconds: float, console: Console, json: bool) -> None:
    here = [fetched.receipt.size_bytes for fetched in results if fetched.error is None]
    rate = fetched_bytes / seconds if seconds else 0.0
    console.print(
        f"{len(here)} of {len(results)} files, {sum(here) / 1e6:,.1f} MB ({fetched_bytes / 1e6:,.1f} MB fetched)"
        f" in {seconds:.1f} s: {rate / 1e6:,.1f} MB/s"
    )
    if json:
        total = {
            "files": len(here),
            "failed": len(results) - len(here),
            "bytes": sum(here),
            "fetched_bytes": fetched_bytes,
            "seconds": seconds,
            "rate_bytes_per_s": rate,
        }
        typer.echo(dumps(total))


def _exit_code(errors: list[TransferError | None]) -> int:
    failed = [error for error in errors if error]
    if not failed:
        return 0
    codes = {error.exit_code for error in failed}
    return codes.pop() if len(codes) == 1 and (len(failed) == len(errors) or MISMATCH in codes) else 3


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
    from transfer.download.comparing import Verdict, compare

    check_session_name(session)
    here = _named(folder, session, path_prefix, whole_session=whole_session)
    top = path_prefix.strip("/") if whole_session else "/".join(filter(None, (path_prefix.strip("/"), _name(folder))))
    console, found = stderr_console(), []
    with connect(with_, token_file, ca, clear_text=clear_text) as client:
        there = (r for r in client.files(session) if not top or r.path == top or r.path.startswith(f"{top}/"))
        for comparison in compare(here, there):
            found.append(comparison.verdict)
            _tell_comparison(comparison, console, json)
    counts = {verdict.value: found.count(verdict) for verdict in Verdict}
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()))
    if json:
        typer.echo(dumps({"files": len(found), **counts}))
    raise typer.Exit(_verdict_code(counts))


def _name(folder: Path) -> str:
    return folder.resolve().name if folder.is_dir() else folder.name


def _named(folder: Path, session: str, path_prefix: str, *, whole_session: bool) -> dict[str, Path]:
    from transfer.commands.send import plan

    sources = sorted(folder.iterdir()) if whole_session and folder.is_dir() else [folder]
    visible = [source for source in sources if not source.name.startswith(".")]
    return {file.path: file.source for file in plan(visible, session, path_prefix, 1)}


def _tell_comparison(comparison: Comparison, console: Console, json: bool) -> None:
    if json:
        told = {"path": comparison.path, "verdict": comparison.verdict.value, "detail": comparison.detail}
        typer.echo(dumps(told))
    elif comparison.verdict != "same":
        console.print(f"{comparison.verdict.value}: {comparison.path} {comparison.detail}".rstrip(), markup=False)


def _verdict_code(counts: dict[str, int]) -> int:
    """Return 6 if anything is not as it should be, 4 if that is only known of what could not be read."""
    if counts["missing"] or counts["different"] or counts["extra"]:
        return MISMATCH
    return 4 if counts["unreadable"] else 0
