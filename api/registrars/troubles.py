"""Which registrars are in trouble, known to all processes of a receiver: one of them runs the registrars."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from api.database.tables import now
from transfer.wire.protocol import RegistrarTrouble


class TroubleFile:
    """What one registrar's trouble is, in a small file of the data folder; no file: none.

    A disk that cannot be written loses nothing but this: other processes then report no trouble.
    """

    def __init__(self, data: Path, registrar: str) -> None:
        self._path = data / f"registrar-{registrar}.trouble"
        self._registrar = registrar

    def note(self, reason: str, since: datetime) -> RegistrarTrouble:
        """Keep a trouble instead of the last one."""
        trouble = RegistrarTrouble(registrar=self._registrar, reason=reason, since=since)
        written = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(trouble.model_dump_json())
            written.replace(self._path)
        return trouble

    def clear(self) -> None:
        """Note that there is none any more."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def read(self) -> RegistrarTrouble | None:
        """Return the trouble that a process noted."""
        try:
            return RegistrarTrouble.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            return RegistrarTrouble(registrar=self._registrar, reason=f"{self._path} cannot be read", since=now())
