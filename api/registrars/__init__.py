"""Registrars: each registers committed exposures in a program where people process them (Scipion, RELION).

`api.registrars.runner` gives a registrar exposures from the outbox, which is the table `registrations`. After a crash
of either side a registrar may get the same exposure again. It registers every exposure exactly once, in its newest
revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from transfer.wire.exposure_record import ExposureRecord, FileRole
from transfer.wire.protocol import RegistrationState


class RegistrarUnavailable(Exception):
    """The registrar cannot work at present. What is pending stays pending and is tried again."""


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
        The record of this revision.
    files
        Absolute paths of its committed files.
    """

    number: int
    micrograph_name: str
    record: ExposureRecord
    files: Mapping[FileRole, Path]


@dataclass(frozen=True, slots=True)
class RegistrationOutcome:
    """The result for one exposure. `pending`: the registrar has it, but has not registered it yet."""

    state: RegistrationState
    detail: str = ""


class Registrar(Protocol):
    """Registers exposures in one program; used by one thread of one process at a time."""

    @property
    def name(self) -> str:
        """The registrar's name in the outbox."""

    def project(self, place: SessionPlace) -> Path:
        """Return the folder of the session's project, which may not exist yet."""

    def register(self, place: SessionPlace, exposures: Sequence[PublishedExposure]) -> dict[int, RegistrationOutcome]:
        """Register exposures; return the result for each, by its number.

        Raises
        ------
        RegistrarUnavailable
            No exposure can be registered at present.
        """

    def update_project(self, place: SessionPlace, *, ended: bool) -> bool:
        """Bring the session's project up to date: open for more exposures or, if `ended`, complete.

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
            It cannot work; the text says why.
        """
