"""Which registrars are in trouble, known to all processes of a receiver: one of them runs the registrars."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from api.database.tables import now
from transfer.wire.protocol import RegistrarTrouble

log = logging.getLogger(__name__)

LONGEST_DELAY_S = 300.0
LONGEST_PAUSE_S = 60.0
"""Before a registrar that cannot work at all is tried again."""
LONGEST_PAUSE_OF_SESSION_S = 10.0
_TROUBLES = TypeAdapter(tuple[RegistrarTrouble, ...])


def delay_s(attempts: int) -> float:
    """Return how long to wait after so many failed attempts: 1, 2, 4, … s, at most five minutes."""
    return float(min(LONGEST_DELAY_S, 2.0 ** min(attempts, 20)))


@dataclass(slots=True)
class _Trouble:
    said: RegistrarTrouble
    failures: int
    retry_at_s: float


class Troubles:
    """The present troubles of one registrar, of all its work (session None) or of single sessions.

    Parameters
    ----------
    registrar
        Its name.
    file
        Keeps them for other processes.
    """

    def __init__(self, registrar: str, file: TroubleFile) -> None:
        self._registrar = registrar
        self._file = file
        self._troubles: dict[str | None, _Trouble] = {}

    @property
    def present(self) -> tuple[RegistrarTrouble, ...]:
        """The troubles, in the order in which they began."""
        return tuple(trouble.said for trouble in list(self._troubles.values()))

    def note(self, session: str | None, reason: str, unexpected: BaseException | None = None) -> float:
        """Note that an attempt failed; return after how many seconds to try again.

        It is logged if the reason is another one, with the place of an unexpected error in the code.
        """
        reason = reason.encode("utf-8", "backslashreplace").decode()
        known = self._troubles.get(session)
        failures = known.failures if known else 0
        longest_s = LONGEST_PAUSE_S if session is None else LONGEST_PAUSE_OF_SESSION_S
        pause_s = min(delay_s(failures), longest_s)
        said = RegistrarTrouble(
            registrar=self._registrar, reason=reason, since=known.said.since if known else now(), session=session
        )
        self._troubles[session] = _Trouble(said, failures + 1, time.monotonic() + pause_s)
        if known is None or known.said.reason != reason:
            whose = "" if session is None else f"session {session} waits: "
            log.warning("registrar %s is in trouble: %s%s", self._registrar, whose, reason, exc_info=unexpected)
            self._file.write(self.present)
        return pause_s

    def warn(self, warning: str) -> None:
        """Note that the registrar works, with a shortcoming that people should know of; an empty text: with none."""
        if warning:
            self.note(None, warning)
            self._troubles[None].failures = 0
        else:
            self.clear(None)

    def clear(self, session: str | None) -> None:
        """Note that there is no trouble, or none any more."""
        trouble = self._troubles.pop(session, None)
        if trouble is not None:
            lasted_s = (now() - trouble.said.since).total_seconds()
            whose = "" if session is None else f" for session {session}"
            log.info("registrar %s works again%s, after %.0f s of trouble", self._registrar, whose, lasted_s)
            self._file.write(self.present)

    def clear_tried(self, failed: Collection[str], waiting: Collection[str]) -> None:
        """Clear those of sessions that have not failed again in a turn at whose beginning they did not wait."""
        for session in [name for name in self._troubles if name is not None]:
            if session not in waiting and session not in failed:
                self.clear(session)

    def forget(self) -> None:
        """Forget what a process noted that has ended."""
        self._file.write(self.present)

    def waiting(self) -> set[str]:
        """Return the sessions that are not to be tried yet."""
        moment_s = time.monotonic()
        return {name for name, one in self._troubles.items() if name is not None and one.retry_at_s > moment_s}


class TroubleFile:
    """What one registrar's troubles are, in a small file of the data folder; no file: none.

    A disk that cannot be written loses nothing but this: other processes then report no trouble.
    """

    def __init__(self, data: Path, registrar: str) -> None:
        self._path = data / f"registrar-{registrar}.trouble"
        self._registrar = registrar

    def write(self, troubles: Sequence[RegistrarTrouble]) -> None:
        """Keep these instead of the last ones."""
        written = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            if not troubles:
                self._path.unlink()
                return
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_TROUBLES.dump_json(tuple(troubles)))
            written.replace(self._path)

    def read(self) -> tuple[RegistrarTrouble, ...]:
        """Return the troubles that a process noted."""
        try:
            return _TROUBLES.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError):
            return (RegistrarTrouble(registrar=self._registrar, reason=f"{self._path} cannot be read", since=now()),)
