"""The receiver that `test_upload_machine` works on, and what a test may do to it behind its back."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import update

from api.app import _sweep
from api.database.tables import now, uploads
from transfer.disk.locks import try_lock_span


class House:
    """One receiver for all examples of a test, which can be stopped and started; each example has its own session."""

    def __init__(self, make_receiver: Callable[[], Any]) -> None:
        self._make = make_receiver
        self._count = itertools.count()
        self.receiver = make_receiver()

    def new_session(self) -> str:
        """Return a name that no example had before."""
        return f"s{next(self._count)}"

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """End the receiver and start it again on the same data."""
        self.receiver.stop()
        meanwhile()
        self.receiver = self._make()

    @property
    def inside(self) -> Any:
        """What the receiver's routes share."""
        return self.receiver.app.state.receiver

    def part_of(self, upload_id: UUID) -> Path | None:
        """Return an upload's part file."""
        return next((self.receiver.data / "incoming").glob(f"{upload_id}.*"), None)

    def age(self, upload_id: UUID, *, is_old: bool = True) -> None:
        """Let nothing have been added to an upload for longer than it is kept; or something just now."""
        old_s = self.inside.settings.upload_expiry_s + 1 if is_old else 0
        touched_at = now() - timedelta(seconds=old_s)
        with self.inside.database.write() as connection:
            connection.execute(update(uploads).where(uploads.c.id == upload_id).values(touched_at=touched_at))

    def sweep(self) -> None:
        """Do what the receiver does every ten minutes."""
        _sweep(self.inside)


def is_locked(part: Path) -> bool:
    """Return whether a request is writing in a part file's first chunk."""
    fd = os.open(part, os.O_RDWR)
    try:
        return not try_lock_span(fd, range(1))
    finally:
        os.close(fd)
