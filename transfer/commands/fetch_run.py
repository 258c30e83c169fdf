"""Prints what became of each file that `cryoferry fetch` downloads, and chooses the exit code."""

from __future__ import annotations

from json import dumps
from pathlib import Path

import typer
from rich.console import Console

from transfer.download.fetcher import FetchResult
from transfer.terminal.lines import print_line
from transfer.wire.errors import TemporaryError, TransferError
from transfer.wire.receipt import Receipt

MISMATCH = 6  # exit code


def show_plan(receipts: list[Receipt], out: Path, json: bool) -> None:
    """Print what would be downloaded, and where to."""
    for receipt in receipts:
        target = out / receipt.path
        if json:
            typer.echo(dumps({**receipt.model_dump(mode="json"), "target": str(target)}))
        else:
            print_line(f"would download {receipt.path} to {target} ({receipt.size_bytes:,} bytes)")


def show_fetched(fetched: FetchResult, console: Console, json: bool) -> None:
    """Print what became of one file."""
    report = {**fetched.receipt.model_dump(mode="json"), "target": str(fetched.target)}
    if fetched.error is None:
        line = f"{'downloaded' if fetched.is_new else 'already here'}: {fetched.target}"
        report["new"] = fetched.is_new
    else:
        line = f"failed: {fetched.receipt.path}: {fetched.error}"
        console.print(f"{fetched.receipt.path}: what to do: {fetched.error.hint}", markup=False)
        report["error"] = _error_report(fetched.error)
    typer.echo(dumps(report)) if json else print_line(line)


def _error_report(error: TransferError) -> dict[str, object]:
    return {"type": type(error).__name__, "message": str(error), "hint": error.hint, "exit_code": error.exit_code}


def sum_up(results: list[FetchResult], fetched_bytes: int, seconds: float, json: bool) -> None:
    """Print how many files are here, and how fast they came."""
    here = [fetched.receipt.size_bytes for fetched in results if fetched.error is None]
    rate = fetched_bytes / seconds if seconds else 0.0
    if not json:
        print_line(
            f"{len(here)} of {len(results)} files, {sum(here) / 1e6:,.1f} MB"
            f" ({fetched_bytes / 1e6:,.1f} MB downloaded now) in {seconds:.1f} s: {rate / 1e6:,.1f} MB/s"
        )
    else:
        total = {
            "files": len(here),
            "failed": len(results) - len(here),
            "bytes": sum(here),
            "fetched_bytes": fetched_bytes,
            "seconds": seconds,
            "rate_bytes_per_s": rate,
        }
        typer.echo(dumps(total))


def exit_code(errors: list[TransferError | None]) -> int:
    """Return the exit code of `cryoferry fetch`."""
    failed = [error for error in errors if error]
    if not failed:
        return 0
    for error in failed:
        if isinstance(error, TemporaryError):
            return error.exit_code
    codes = {error.exit_code for error in failed}
    return codes.pop() if len(codes) == 1 and (len(failed) == len(errors) or MISMATCH in codes) else 3
