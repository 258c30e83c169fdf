"""Decode ahead of the caller, by a bounded number of frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from preprocess.errors import UnreadableMovie

Result = TypeVar("Result")


def in_order(path: Path, make: Callable[[int], Result], indices: Iterable[int], *, threads: int) -> Iterator[Result]:
    """Yield `make(index)` for each index in order, computed by `threads` threads.

    At most `threads` results wait or are being made at any time, whatever the iterator's user does. An error in `make`
    is raised where its result would have been yielded, the system's own (a share that went away) as UnreadableMovie.
    Closing the iterator early waits only for what is being made.
    """
    remaining = iter(indices)
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="frames") as pool:
        waiting: deque[Future[Result]] = deque(pool.submit(make, index) for index in islice(remaining, max(1, threads)))
        try:
            while waiting:
                try:
                    result = waiting.popleft().result()
                except OSError as error:
                    raise UnreadableMovie(f"{path}: {error.strerror or error}") from error
                waiting.extend(pool.submit(make, index) for index in islice(remaining, 1))
                yield result
                # The caller owns the frame now; a reference kept here would hold its memory while it asks for the next.
                del result
        finally:
            for future in waiting:
                future.cancel()
