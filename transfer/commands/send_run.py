"""Sends what `cryoferry send` planned: shows its progress, prints what became of each file, chooses the exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from json import dumps
from threading import Event

import typer
from rich.console import Console

from transfer.client import ReceiverClient
from transfer.commands.delete_run import deleted, deleted_once_read
from transfer.commands.folder_walk import LeftOut
from transfer.commands.shared import progress, stderr_console
from transfer.pace.retrying import RetryPolicy
from transfer.source import digest_of
from transfer.terminal.lines import print_line
from transfer.upload.file_to_send import FileToSend
from transfer.upload.sender import Sender, SendResult
from transfer.wire.errors import (
    AuthRejected,
    CertificateRejected,
    FileCorrupt,
    LimitReached,
    ScopeRejected,
    TemporaryError,
    TransferError,
)

ENDS_ALL = (AuthRejected, ScopeRejected, CertificateRejected, TemporaryError)
"""Errors that every other file would meet as well."""
MISMATCH = 6  # exit code


def show_plan(planned: list[FileToSend], json: bool) -> None:
    """Print which files would be sent, and under which names."""
    for file in planned:
        size_bytes = file.source.stat().st_size
        if json:
            typer.echo(
                dumps(
                    {
                        "source": str(file.source),
                        "session": file.session,
                        "path": file.path,
                        "revision": file.revision,
                        "size_bytes": size_bytes,
                    }
                )
            )
        else:
            print_line(f"would send {file.source} as {file.session}/{file.path} ({size_bytes:,} bytes)")


def show_left_out(left_out: Sequence[LeftOut]) -> None:
    """Say what lies in the folders and is not sent."""
    console = stderr_console()
    for each in left_out:
        console.print(f"not sent: {each.path}: {each.reason}", markup=False, highlight=False, soft_wrap=True)


def send_all(
    sender: Sender, planned: list[FileToSend], *, verify: bool, delete: bool, json: bool, left_out_count: int = 0
) -> int:
    """Send what is planned, print what became of each file and of all, and return the exit code.

    Parameters
    ----------
    verify
        Read each file again, and compare it with its receipt.
    delete
        Delete files that the receiver has.
    left_out_count
        How much else lies in the folders and is not sent, for the summary.
    """
    console = stderr_console()
    retry = RetryPolicy(sender.give_up_after_s, lambda: False)
    planned = _with_listed(sender.client, planned, retry)
    began = ended = time.monotonic()
    outcomes: list[SendResult] = []
    not_read: list[SendResult] = []  # files that the receiver had before
    total_bytes = sum(file.source.stat().st_size for file in planned)
    with progress(console, "sending", total_bytes) as advance:
        for outcome in _until_hopeless(sender, planned, advance):
            if outcome.receipt:
                ended = time.monotonic()
            result = _verified(outcome) if verify else outcome
            if delete and result.receipt and not result.error:
                if not result.receipt.is_new:
                    not_read.append(result)
                    continue
                result = deleted(result)
            outcomes.append(result)
            _show(result, console, json)
    for result in deleted_once_read(sender.client, not_read, retry, partial(_show_waiting, console)):
        outcomes.append(result)
        _show(result, console, json)
    _sum_up(outcomes, sender, ended - began, json, left_out_count)
    return _exit_code(outcomes)


def _show_waiting(console: Console, full: LimitReached) -> None:
    console.print(f"waiting until the receiver can read its files again: {full}", markup=False)


def _verified(outcome: SendResult) -> SendResult:
    """Read a file again that has its receipt, and compare them; return its result."""
    if outcome.receipt is None:
        return outcome
    source, digest = outcome.file.source, outcome.receipt.digest
    try:
        if digest_of(source) != digest:
            raise FileCorrupt(f"{source}: its digest is no longer {digest}, that of its receipt")
    except TransferError as error:
        return replace(outcome, error=error)
    return outcome


def _with_listed(client: ReceiverClient, planned: list[FileToSend], retry: RetryPolicy) -> list[FileToSend]:
    """Start the session if it is new; return the files with the receipts that the receiver has for their names."""
    if not planned:
        return planned
    retry.repeat(lambda: client.open_session(planned[0].session))
    listed = {file.path: file for file in client.files(planned[0].session, repeat=retry.repeat)}
    return [replace(file, listed=listed.get(file.path)) for file in planned]


def _until_hopeless(sender: Sender, planned: list[FileToSend], advance: Callable[[int], None]) -> Iterator[SendResult]:
    """Yield the result of each file. After an error that every other file would meet, stop sending."""
    hopeless = Event()
    for outcome in sender.send_many(planned, on_progress=advance, should_stop=hopeless.is_set):
        if isinstance(outcome.error, ENDS_ALL):
            hopeless.set()
        yield outcome


def _show(outcome: SendResult, console: Console, json: bool) -> None:
    file, receipt, error = outcome.file, outcome.receipt, outcome.error
    if error:
        console.print(f"{file.source}: what to do: {error.hint}", markup=False)
    if error and not json:
        print_line(f"failed: {file.source}: {error}")
    elif receipt and not json:
        print_line(f"committed: {receipt.path} revision {receipt.revision} ({receipt.size_bytes:,} bytes)")
    elif error:
        console.print(f"failed: {file.source}: {error}", style="red", markup=False)
    if json and receipt and not error:
        typer.echo(dumps({"source": str(file.source), **receipt.model_dump(mode="json")}))
    elif json and error:
        report = {"type": type(error).__name__, "message": str(error), "hint": error.hint, "exit_code": error.exit_code}
        typer.echo(dumps({"source": str(file.source), "path": file.path, "error": report}))


def _sum_up(outcomes: list[SendResult], sender: Sender, seconds: float, json: bool, left_out_count: int) -> None:
    receipts = [outcome.receipt for outcome in outcomes if outcome.receipt and not outcome.error]
    size_bytes = sum(receipt.size_bytes for receipt in receipts)
    rate = sender.sent_bytes / seconds if seconds else 0.0
    if not json:
        print_line(
            f"{len(receipts)} of {len(outcomes)} files, {size_bytes / 1e6:,.1f} MB"
            f" ({sender.sent_bytes / 1e6:,.1f} MB sent now) in {seconds:.1f} s: {rate / 1e6:,.1f} MB/s"
            + (f"; {left_out_count} not sent, see above" if left_out_count else "")
        )
    else:
        total = {
            "files": len(receipts),
            "failed": len(outcomes) - len(receipts),
            "left_out": left_out_count,
            "bytes": size_bytes,
            "sent_bytes": sender.sent_bytes,
            "seconds": seconds,
            "rate_bytes_per_s": rate,
            "congestion_control": sender.congestion_control,
        }
        typer.echo(dumps(total))


def _exit_code(outcomes: list[SendResult]) -> int:
    errors: list[TransferError] = [outcome.error for outcome in outcomes if outcome.error]
    if not errors:
        return 0
    for error in errors:
        if isinstance(error, ENDS_ALL):
            return error.exit_code
    codes = {error.exit_code for error in errors}
    if codes == {MISMATCH}:
        return MISMATCH
    return errors[0].exit_code if len(errors) == len(outcomes) else 3
