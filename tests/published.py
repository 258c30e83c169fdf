"""Exposures in a receiver's database, published by its own function, without files on a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, insert

from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.tables import files, now, sessions
from transfer.wire.exposure_record import ExposureRecord

DIGEST = "0" * 64
_NAMESPACE = UUID(int=1)


def database_with_sessions(url: str, folder: Path, count: int) -> Database:
    """Return a database with the sessions s1, s2, …, whose keys are 1, 2, …; each has one committed file."""
    database = Database(url)
    upgrade(database, folder)
    with database.write() as connection:
        for number in range(1, count + 1):
            connection.execute(insert(sessions).values(id=number, name=f"s{number}", state="open", created_at=now()))
            add_file(connection, number, "a.mrc")
    return database


def add_file(connection: Connection, session_id: int, path: str, revision: int = 1) -> None:
    """Add the row of a committed file of one byte."""
    file = {"path": path, "revision": revision, "size_bytes": 1, "digest": DIGEST, "location": path}
    connection.execute(insert(files).values(session_id=session_id, committed_at=now(), **file))


def record_of(number: int, revision: int = 1, **more: Any) -> ExposureRecord:
    """Return the record of an exposure that names the file `a.mrc`."""
    values = {
        "exposure_id": uuid5(_NAMESPACE, str(number)),
        "revision": revision,
        "movie": f"{number}.tiff",
        "label": f"{number}",
        "micrograph_pixel_size_angstrom": 1.06,
        "micrograph_width_px": 64,
        "micrograph_height_px": 64,
        "acquisition": {
            "voltage_kv": 300,
            "cs_mm": 2.7,
            "amplitude_contrast": 0.1,
            "movie_pixel_size_angstrom": 1.06,
            "frame_count": 1,
        },
        "shifts": {"first_frame": 1, "y_px": [0.1], "x_px": [1e-7]},
        "figures": {"motion_total_angstrom": 0.5, "motion_early_angstrom": 0.25, "motion_late_angstrom": 0.25},
        "files": [{"role": "micrograph", "path": "a.mrc", "revision": 1, "size_bytes": 1, "digest": DIGEST}],
    }
    return ExposureRecord.model_validate({**values, **more})
