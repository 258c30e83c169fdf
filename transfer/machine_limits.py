"""What the machine denies a process: memory, addresses, threads. Libraries raise many classes for the same thing."""

from __future__ import annotations

import errno
import os
from typing import ClassVar, NamedTuple

from transfer.platform import address_space_bytes

LEAST_ADDRESS_SPACE_BYTES = 1_200_000_000
"""With less, libraries that compute images end the process without an error that could be told (OpenBLAS, LLVM), or
cannot be loaded. This was measured with small movies and two threads; large movies and more threads need more."""

_NO_THREAD = ("can't start new thread", os.strerror(errno.EAGAIN))  # Python's words, and those of C++'s std::thread
_NO_ROOM_FOR_LIBRARY = ("failed to map segment", "cannot allocate memory")  # the dynamic loader's words


class AddressSpaceTooSmall(Exception):
    """This process may use too few addresses to compute an image."""

    exit_code: ClassVar[int] = 7
    hint = "Raise the limit of memory (`ulimit -v unlimited`, or LimitAS= of the service), then run it again."


class Denial(NamedTuple):
    """What the machine denied, and what to do."""

    text: str
    what_to_do: str


def denial_of(error: BaseException) -> Denial | None:
    """Return what the machine denied a process, as an error tells; None: the error is about something else."""
    is_of_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, ImportError):
        is_of_memory = any(words in str(error).lower() for words in _NO_ROOM_FOR_LIBRARY)
    if is_of_memory or isinstance(error, MemoryError):
        what = (
            "Free memory, or raise the limit of memory (`ulimit -v`) if there is one, then run the same command again."
        )
        return Denial("the machine has too little memory", what)
    if isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_THREAD):
        what = "Raise the limits of processes and of memory (`ulimit -u`, `ulimit -v`), or give fewer --threads."
        return Denial("no new thread can be started", what)
    return None


def require_address_space() -> None:
    """Refuse to compute where too few addresses are allowed.

    Raises
    ------
    AddressSpaceTooSmall
    """
    limit = address_space_bytes()
    if limit is not None and limit < LEAST_ADDRESS_SPACE_BYTES:
        raise AddressSpaceTooSmall(
            f"this process may use {limit / 1e6:.0f} MB of addresses at most, and computing an image needs"
            f" {LEAST_ADDRESS_SPACE_BYTES / 1e6:.0f} MB at least"
        )
