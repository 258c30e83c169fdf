"""Registrars: sinks that show committed exposures where people process them (Scipion, RELION).

A registrar is fed from the outbox (table `registrations`) by `api.registrars.runner`. Whatever it is told may be told
again, after a crash of either side: it shows every exposure exactly once, in its newest revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transfer.wire.exposure_record import ExposureRecord, FileRole
from transfer.wire.protocol import RegistrationState


class RegistrarUnavailable(Exception):
    """The registrar cannot work at present; what is pending stays pending and is tried again."""


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """A session and its folder on the receiver (`DATA/sessions/NAME`)."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class PublishedExposure:
    """An exposure whose files are all committed.

    Attributes
    ----------
    number
        The row of the outbox.
    micrograph_name
        Unique in the session, the same for all revisions.
    record
        Its figures, of this revision.
    files
        Where its committed files lie (absolute paths).
    """

    number: int
    micrograph_name: str
    record: ExposureRecord
    files: Mapping[FileRole, Path]


@dataclass(frozen=True, slots=True)
class RegistrationOutcome:
    """What became of one exposure; `pending` means that the registrar has it but does not show it yet."""

    state: RegistrationState
    detail: str = ""


class Registrar(Protocol):
    """A sink for exposures; used by one thread of one process at a time."""

    @property
    def name(self) -> str:
        """The registrar's name in the outbox."""

    def project(self, place: SessionPlace) -> Path:
        """Return where the session's project lies, or will lie."""

    def register(self, place: SessionPlace, exposures: Sequence[PublishedExposure]) -> dict[int, RegistrationOutcome]:
        """Show exposures, and return what became of each, by its number.

        Raises
        ------
        RegistrarUnavailable
            None can be shown at present.
        """

    def tend(self, place: SessionPlace, *, ended: bool) -> bool:
        """Bring the session's project into the state that it should have: growing, or (`ended`) complete.

        Returns whether it is complete, so that nothing is left to do.

        Raises
        ------
        RegistrarUnavailable
            Not possible at present.
        """

    def check(self) -> None:
        """Return if the registrar can work.

        Raises
        ------
        RegistrarUnavailable
            It cannot, and why.
        """
