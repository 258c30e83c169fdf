"""Tells errors of the microscope's share from errors of one movie. An error of the share says nothing about a movie."""

from __future__ import annotations

import errno
import time

_OF_THE_FILE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
        errno.EILSEQ,
        errno.EFBIG,
        errno.EOVERFLOW,
    }
)
"""What the system answers about one file, and would answer again. Every other error is the share's."""


class ShareSilent(TimeoutError):
    """The share has not answered for too long. What asked it was left behind.

    Parameters
    ----------
    since_s
        When the first request without an answer began, in seconds since 1970.
    """

    def __init__(self, since_s: float) -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since_s))
        super().__init__(errno.ETIMEDOUT, f"the share has not answered since {since}")


def error_of_share(error: BaseException) -> OSError | None:
    """Return the error of the share behind an error; None if the share answered.

    Libraries wrap what the system said. So the causes of the error are looked at too.
    """
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno is not None and one.errno not in _OF_THE_FILE:
            return one
        waiting += [each for each in (one.__cause__, one.__context__) if each is not None]
    return None
