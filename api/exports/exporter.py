"""Makes the exports of a session from what the database and the disk have at this moment."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from api.database.engine import Database
from api.exports.archives import write_archives
from api.exports.cryosparc import CryosparcExport, ExposureToImport, RegisteredFile
from api.exports.optics_group_numbers import OpticsGroupNumbers
from api.exports.published import PublishedSession
from api.exports.summary import SessionSummary
from api.registrars import PublishedExposure, SessionPlace
from api.registrars.float32 import REGISTERED, registered_micrograph, registered_path, registered_sums
from api.registrars.settings import RegistrarSettings
from transfer.disk.locks import FileLock
from transfer.wire.errors import ReceiverBusy
from transfer.wire.exposure_record import FileRole
from transfer.wire.session_exports import ExportedFile, SessionExports

LOCK = "exports.lock"
_MODE_AT = 12
"""Where the mode stands in the header of an MRC file."""


class SessionExporter:
    """Makes the exports of a receiver's sessions, of one at a time.

    Parameters
    ----------
    database
        The receiver's.
    data
        The receiver's data folder.
    registrars
        Which registrars run.
    stopping
        Set when the receiver ends: an export that is under way is left.
    """

    def __init__(
        self, database: Database, data: Path, registrars: RegistrarSettings, stopping: threading.Event | None = None
    ) -> None:
        self._database = database
        self._data = data.absolute()
        self._registrars = registrars
        self._stopping = stopping or threading.Event()

    def export(self, name: str, made_at: datetime) -> SessionExports:
        """Make or replace the exports of a session that exists.

        Raises
        ------
        ReceiverBusy
            Another session is being exported.
        OSError
        """
        with FileLock(self._data / LOCK) as lock:
            if not lock.try_acquire():
                raise ReceiverBusy("the receiver exports another session at this moment")
            return self._export(PublishedSession(self._database, self._data, name), made_at)

    def place(self, name: str) -> SessionPlace:
        """Return the place of a session."""
        return SessionPlace(name, self._data / "sessions" / name)

    def _export(self, session: PublishedSession, made_at: datetime) -> SessionExports:
        place = session.place
        cryosparc = CryosparcExport(place, place.folder / REGISTERED)
        groups = OpticsGroupNumbers(place.folder / "relion")
        summary = SessionSummary(place.name, session.began_at)
        count = unregistered_count = 0
        for exposure in session.exposures():
            if self._stopping.is_set():
                raise ReceiverBusy("the receiver ends")
            count += 1
            if exposure.record.acquisition.tilt_series is not None:
                continue
            found = self._registered(session, exposure)
            if FileRole.MICROGRAPH not in found:
                unregistered_count += 1
                continue
            group = groups.number(exposure)
            micrograph, unweighted = found[FileRole.MICROGRAPH], found.get(FileRole.MICROGRAPH_UNWEIGHTED)
            cryosparc.add(ExposureToImport(exposure, group, micrograph, unweighted))
            summary.add(exposure.record, group, micrograph.mode)
        files = cryosparc.write(made_at)
        archives = write_archives(place, summary, self._data)
        return SessionExports(
            made_at=made_at,
            folder=str(place.folder),
            exposure_count=count,
            unregistered_count=unregistered_count,
            files=tuple(
                ExportedFile(path=path, exposure_count=items)
                for path, items in (files | dict.fromkeys(archives.files, summary.count)).items()
            ),
            missing=archives.missing,
            differences=archives.differences,
            unchecked=archives.unchecked,
        )

    def _registered(self, session: PublishedSession, exposure: PublishedExposure) -> dict[FileRole, RegisteredFile]:
        """Return the registered micrograph and unweighted sum of an exposure; those that are there."""
        if not self._registrars.names():  # nobody else makes them
            self._register(session, exposure)
        found = {}
        for role in (FileRole.MICROGRAPH, FileRole.MICROGRAPH_UNWEIGHTED):
            if exposure.record.file(role) is not None:
                path = registered_path(session.place, exposure, role)
                mode = _mode(path)
                if mode is not None:
                    found[role] = RegisteredFile(path, mode)
        return found

    def _register(self, session: PublishedSession, exposure: PublishedExposure) -> None:
        """Make the files that programs can read; what is not a whole MRC file of its record's size is left out."""
        if registered_path(session.place, exposure).exists():
            return
        with_files = replace(exposure, files=session.files(exposure))
        with suppress(FileNotFoundError, ValueError):
            registered_micrograph(session.place, with_files, float16=self._registrars.float16)
            registered_sums(session.place, with_files, float16=self._registrars.float16)


def _mode(path: Path) -> int | None:
    """Return the mode of an MRC file; None if it is not there."""
    try:
        with path.open("rb") as stream:
            stream.seek(_MODE_AT)
            return int.from_bytes(stream.read(4), "little")
    except FileNotFoundError:
        return None
