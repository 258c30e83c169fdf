"""What a client may take of time and bytes: while it sends the head of a request or a body, or reads an answer.

`ClientLimits` are for `api.http.guarded_protocol`. `BodyTimeout` bounds how long the receiver waits for a body.
"""

from __future__ import annotations

from dataclasses import dataclass

from transfer.wire.errors import ClientStalled

MIN_BODY_BYTES_PER_S = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """How long the receiver waits for a client outside a body, and how large a request's head may be.

    Attributes
    ----------
    head_timeout_s
        From the first byte of a request's head to its last.
    max_head_bytes
        A longer head is refused. A chunked body may have as many bytes beside its content, for the sizes of its
        chunks, extensions and trailers, and another one for each byte of content.
    write_timeout_s
        How long a client may read nothing of an answer.
    max_unread_bytes, max_unread_bytes_with_token
        How much more of a body is read and dropped after its request was answered; then the connection is closed.
    max_queued_requests
        How many requests a client may send before it has the answer to the first.
    """

    head_timeout_s: float = 15.0
    max_head_bytes: int = 64 << 10
    write_timeout_s: float = 60.0
    max_unread_bytes: int = 256 << 10
    max_unread_bytes_with_token: int = 40 << 20  # our clients send at most 32 MiB in one request
    max_queued_requests: int = 16


class BodyTimeout:
    """Decides how much longer to wait for a body.

    Only the time of waiting counts, not the time that the receiver needs for its disk. Over each `timeout_s` of
    waiting, `MIN_BODY_BYTES_PER_S` must arrive on average: a single byte does not start the time again.

    Parameters
    ----------
    timeout_s
        How long to wait for a client that sends nothing.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._due_bytes = timeout_s * MIN_BODY_BYTES_PER_S
        self._arrived_bytes = 0
        self._waited_s = 0.0

    def left_s(self) -> float:
        """Return how much longer to wait, in s.

        Raises
        ------
        ClientStalled
            The time is over.
        """
        left = self._timeout_s - self._waited_s
        if left <= 0:
            raise self.stalled()
        return left

    def note(self, arrived_bytes: int, waited_s: float) -> None:
        """Count the bytes that arrived, and how long the receiver waited for them."""
        self._arrived_bytes += arrived_bytes
        self._waited_s += waited_s
        if self._arrived_bytes >= self._due_bytes:
            self._arrived_bytes, self._waited_s = 0, 0.0

    def stalled(self) -> ClientStalled:
        """Return the error that ends the waiting."""
        return ClientStalled(f"only {self._arrived_bytes} bytes of the body arrived in {self._timeout_s:g} s")
