"""Shares the rows of a kernel's work out among threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from preprocess.backends.cpu.kernel_set import KernelSet
from preprocess.platform import usable_cores

CHUNKS_PER_THREAD = 4


def usable_threads(wanted: int) -> int:
    """Return the number of threads to use; 0 wanted: every core that this process may use."""
    return wanted or usable_cores()


class RowThreads:
    """Threads that run kernels, each on some rows; a kernel lets go of Python's lock and takes `start, stop` last.

    The calling thread is one of them: for small images, waking others takes longer than the work itself.
    """

    def __init__(self, threads: int, kernels: KernelSet | None = None) -> None:
        self.count = threads
        self.kernels = KernelSet() if kernels is None else kernels
        self._helpers = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="rows")

    def run(self, kernel: Callable[..., None], *args: Any, rows: int, unit: int = 1) -> None:
        """Run a kernel on all rows, in chunks of a multiple of `unit` rows; return when no thread works on them.

        Raises
        ------
        Exception
            What the kernel raised on some rows; others may be done.
        """
        if self.count == 1:
            kernel(*args, 0, rows)
            return
        units = -(-rows // unit)
        chunk = max(1, -(-units // (self.count * CHUNKS_PER_THREAD))) * unit
        starts = iter(range(0, rows, chunk))  # shared: each thread takes the next one

        def work() -> None:
            for start in starts:
                kernel(*args, start, min(start + chunk, rows))

        helpers = [self._helpers.submit(work) for _ in range(min(self.count, -(-rows // chunk)) - 1)]
        try:
            work()
        finally:
            late = [helper for helper in helpers if not helper.cancel()]
            for helper in late:
                helper.exception()
        for helper in late:
            helper.result()
