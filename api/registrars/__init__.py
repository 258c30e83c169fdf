"""Registrars: each registers committed exposures in a program where people process them (Scipion, RELION).

`api.registrars.runner` gives a registrar exposures from the outbox, which is the table `registrations`. After a crash
of either side a registrar may get the same exposure again. It registers every exposure exactly once, in its newest
revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from transfer.wire.exposure_record import ExposureRecord, FileRole
from transfer.wire.protocol import RegistrationState
from transfer.wire.verdict import VerdictBy


class RegistrarUnavailable(Exception):
    """The registrar cannot work at present. What is pending stays pending and is tried again."""


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """A session and its folder on the receiver (`DATA/sessions/NAME`)."""

    name: str
    folder: Path


@dataclass(frozen=True, slots=True)
class PresentVerdict:
    """Whether an exposure is accepted, who says so, and since when; None: nothing was ever said about it."""

    accepted: bool = True
    by: VerdictBy = VerdictBy.THRESHOLD
    at: datetime | None = None


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
    verdict
        As it was when the exposure was read for this call.
    """

    number: int
    micrograph_name: str
    record: ExposureRecord
    files: Mapping[FileRole, Path]
    verdict: PresentVerdict = PresentVerdict()


@dataclass(frozen=True, slots=True)
class ChangedVerdict:
    """The present verdict of an exposure whose verdict has changed.

    Attributes
    ----------
    micrograph_name
        As in `PublishedExposure`.
    revision
        The exposure's newest.
    verdict
        As it is now: of several changes since the last call, the last one.
    """

    micrograph_name: str
    revision: int
    verdict: PresentVerdict


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

    @property
    def verdict_pause_s(self) -> float:
        """The shortest time between two changes of verdicts, where each makes the registrar write a file anew."""

    @property
    def warning(self) -> str:
        """What an operator has to correct although exposures are registered; empty: nothing."""

    def project(self, place: SessionPlace) -> Path:
        """Return the folder of the session's project, which may not exist yet."""

    def register(self, place: SessionPlace, exposures: Sequence[PublishedExposure]) -> dict[int, RegistrationOutcome]:
        """Register exposures; return the result for each, by its number.

        Raises
        ------
        RegistrarUnavailable
            No exposure can be registered at present.
        """

    def verdicts_changed(self, place: SessionPlace, verdicts: Sequence[ChangedVerdict]) -> None:
        """Take over changed verdicts, oldest change first; they are durable when this returns.

        The same ones may come again after a crash. One about an exposure that is not registered yet needs no note:
        `register` gets the exposure with its verdict.

        Raises
        ------
        RegistrarUnavailable
            Not possible at present: they come again.
        """

    def update_project(self, place: SessionPlace, *, ended: bool) -> bool:
        """Bring the session's project up to date: open for more exposures or, if `ended`, complete.

        Returns whether it is complete, so that nothing is left to do.

        Raises
        ------
        RegistrarUnavailable
            Not possible at present.
        """

    def stop(self) -> None:
        """End in order, with the receiver; nothing else is called afterwards."""

    def check(self) -> None:
        """Return if the registrar can work.

        Raises
        ------
        RegistrarUnavailable
            It cannot work; the text says why.
        """
