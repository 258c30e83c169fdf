"""Deletes files that were sent: at once after a fresh receipt, otherwise only when the receiver has read its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from transfer.client import ReceiverClient
from transfer.pace.retrying import RetryPolicy
from transfer.source import delete_unchanged, has_identity
from transfer.upload.sender import SendResult
from transfer.verifying import files_with_problems
from transfer.wire.errors import LimitReached, NotDeleted, NotFound, TransferError
from transfer.wire.protocol import ListedFile


def deleted(outcome: SendResult) -> SendResult:
    """Delete a file that the receiver has; return its result."""
    assert outcome.sent is not None
    try:
        delete_unchanged(outcome.file.source, outcome.sent)
    except TransferError as error:
        return replace(outcome, error=error)
    return outcome


def deleted_once_read(
    client: ReceiverClient,
    outcomes: Sequence[SendResult],
    retry: RetryPolicy,
    on_full: Callable[[LimitReached], None],
) -> list[SendResult]:
    """Delete files that the receiver had before, once it has read them from its disk; return their results.

    The receiver reads the newest revision of each. A file whose receipt is for another one stays here.

    Parameters
    ----------
    outcomes
        Files with their receipts, all of one session.
    retry
        How long temporary errors are retried, and other verifications are waited for.
    on_full
        Called when other verifications must end first.
    """
    if not outcomes:
        return []
    session = outcomes[0].file.session
    paths = [outcome.file.path for outcome in outcomes]
    try:
        problems = {found.path: found for found in files_with_problems(client, session, paths, retry, on_full=on_full)}
        newest = {file.path: file for file in client.files(session, repeat=retry.repeat)}
    except NotFound:
        return [_kept(one, "this receiver is older and cannot read its files again", _UPGRADE) for one in outcomes]
    except TransferError as error:
        return [replace(outcome, error=error) for outcome in outcomes]
    results = []
    for outcome in outcomes:
        found = problems.get(outcome.file.path)
        if found is not None:
            results.append(_kept(outcome, f"the receiver's file is {found.check.value}: {found.detail}", _SEND_AGAIN))
        elif not _is_the_newest(outcome, newest.get(outcome.file.path)):
            results.append(_kept(outcome, "the receiver has another revision, and has read only that", _BY_HAND))
        elif has_identity(outcome.file.source, newest[outcome.file.path].identity):
            results.append(_kept(outcome, "both names are of one file on one disk", _ONE_FILE))
        else:
            results.append(deleted(outcome))
    return results


_UPGRADE = "Upgrade cryoferry on the receiver, or compare with `cryoferry verify` and delete the file yourself."
_SEND_AGAIN = "Send the file again: the receiver takes it as new, and the file is then deleted here."
_BY_HAND = "Fetch that revision and compare it, then delete the file yourself."


_ONE_FILE = (
    "Delete nothing in the receiver's data folder. If this name is only a link to the file there, delete it yourself."
)


def _is_the_newest(outcome: SendResult, newest: ListedFile | None) -> bool:
    return newest is not None and outcome.receipt is not None and newest.file == outcome.receipt.file


def _kept(outcome: SendResult, reason: str, hint: str) -> SendResult:
    text = f"{outcome.file.source} is not deleted: the receiver had it before, and {reason}"
    return replace(outcome, error=NotDeleted(text, hint=hint))
