"""A line that each process of a receiver would log is logged by one of them, and by another when that ends."""

from __future__ import annotations

import logging
from pathlib import Path

from api.once_a_run import ONCE_A_RUN, OnceARun
from transfer.disk.locks import FileLock


def line(**extra: bool) -> logging.LogRecord:
    return logging.getLogger("test").makeRecord("test", logging.INFO, "", 0, "text", (), None, extra=extra)


def test_one_process_logs_it(tmp_path: Path) -> None:
    locks = [FileLock(tmp_path / "log.lock") for _ in range(2)]
    first, second = map(OnceARun, locks)
    assert first.filter(line(**ONCE_A_RUN))
    assert not second.filter(line(**ONCE_A_RUN))
    assert first.filter(line())
    assert second.filter(line())
    locks[0].release()
    assert second.filter(line(**ONCE_A_RUN))
    assert not first.filter(line(**ONCE_A_RUN))
    locks[1].release()


def test_a_failing_disk_hides_nothing(tmp_path: Path) -> None:
    assert OnceARun(FileLock(tmp_path / "missing" / "log.lock")).filter(line(**ONCE_A_RUN))
