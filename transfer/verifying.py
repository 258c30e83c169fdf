"""Has a receiver read committed files from its disk again, and waits for what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from transfer.client import ReceiverClient
from transfer.pace.retrying import RetryPolicy, jittered
from transfer.wire.errors import LimitReached, ReceiverBusy
from transfer.wire.verification import MAX_LISTED_PROBLEMS, CheckedFile, Verification, VerificationState

FIRST_POLL_S = 0.1
LONGEST_POLL_S = 2.0
WAIT_FOR_PLACE_S = (1.0, 3.0)
MOST_TRIES = 3

OnRead = Callable[[int, int], None]
"""Called with the numbers of files and of bytes that the receiver has read since the last call."""


def _nothing(_files: int, _bytes: int) -> None:
    """Report nothing."""


def files_with_problems(
    client: ReceiverClient,
    session: str,
    paths: Sequence[str],
    retry: RetryPolicy,
    *,
    on_read: OnRead = _nothing,
    on_full: Callable[[LimitReached], None] = lambda _error: None,
) -> Iterator[CheckedFile]:
    """Yield the files that are not on the receiver's disk as they were committed; every other one has been read there.

    Parameters
    ----------
    paths
        The files. The newest revision of each is read.
    retry
        How long requests with temporary errors are repeated. Its `give_up_after_s` also limits how long other
        verifications are waited for, and how long the receiver may read nothing.
    on_full
        Called when other verifications must end first.

    Raises
    ------
    LimitReached
        Other verifications did not end in time.
    ReceiverBusy
        The receiver was restarted again and again, or read nothing for too long.
    NotFound
        No such session, or the receiver is older and cannot do this.
    TransferError
    """
    for start in range(0, len(paths), MAX_LISTED_PROBLEMS):  # so that each of their problems is listed
        yield from _verified(client, session, paths[start : start + MAX_LISTED_PROBLEMS], retry, on_read, on_full)


def _verified(
    client: ReceiverClient,
    session: str,
    paths: Sequence[str],
    retry: RetryPolicy,
    on_read: OnRead,
    on_full: Callable[[LimitReached], None],
) -> tuple[CheckedFile, ...]:
    read = (0, 0)
    for _ in range(MOST_TRIES):
        now = _started(client, session, paths, retry, on_full)
        wait_s, grew_s = FIRST_POLL_S, retry.clock()
        while True:
            grown = max(read[0], now.checked_files), max(read[1], now.checked_bytes)
            if grown != read:
                grew_s = retry.clock()
            on_read(grown[0] - read[0], grown[1] - read[1])
            read = grown
            if now.state is VerificationState.DONE:
                return now.problems
            if now.state is VerificationState.FAILED:
                break
            if retry.give_up_after_s is not None and retry.clock() - grew_s > retry.give_up_after_s:
                raise ReceiverBusy(
                    f"the receiver has read nothing of session {session} for {retry.give_up_after_s:g} s"
                )
            retry.wait(wait_s)
            wait_s = min(1.5 * wait_s, LONGEST_POLL_S)
            now = _polled(client, session, now, retry, grew_s)
    raise ReceiverBusy(f"the receiver did not finish reading files of session {session}: {now.detail}")


def _polled(
    client: ReceiverClient, session: str, before: Verification, retry: RetryPolicy, grew_s: float
) -> Verification:
    return retry.repeat(lambda: client.verification(session, before.id), quiet_since_s=grew_s)


def _started(
    client: ReceiverClient,
    session: str,
    paths: Sequence[str],
    retry: RetryPolicy,
    on_full: Callable[[LimitReached], None],
) -> Verification:
    """Start a verification, once there is a place for it."""
    began_s = retry.clock()
    while True:
        try:
            return retry.repeat(lambda: client.start_verification(session, paths), quiet_since_s=began_s)
        except LimitReached as full:
            pause_s = jittered(*WAIT_FOR_PLACE_S)
            if retry.give_up_after_s is not None and retry.clock() + pause_s > began_s + retry.give_up_after_s:
                raise
            on_full(full)
        retry.wait(pause_s)
