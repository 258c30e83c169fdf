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
    """Threads that run kernels, each on some rows; a kernel lets go of Python's lock and takes `start, stop` last."""

    def __init__(self, threads: int, kernels: KernelSet | None = None) -> None:
        self.count = threads
        self.kernels = KernelSet() if kernels is None else kernels
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rows")

    def run(self, kernel: Callable[..., None], *args: Any, rows: int, unit: int = 1) -> None:
        """Run a kernel on all rows, in chunks of a multiple of `unit` rows."""
        units = -(-rows // unit)
        chunk = max(1, -(-units // (self.count * CHUNKS_PER_THREAD))) * unit
        if self.count == 1:
            kernel(*args, 0, rows)
            return
        tasks = [self._pool.submit(kernel, *args, start, min(start + chunk, rows)) for start in range(0, rows, chunk)]
        for task in tasks:
            task.result()
