"""Repairs what a check of the data folder has found: sets aside, and frees names so that files are sent again."""

from __future__ import annotations

from datetime import datetime

from api.checking.folder_check import FileFinding, FindingKind, named_locations
from api.database.engine import Database
from api.store.lost_files import free_lost
from api.store.storage import Storage

REPAIRED = (FindingKind.MISSING, FindingKind.CHANGED, FindingKind.EXTRA)


def repair(database: Database, storage: Storage, finding: FileFinding, moment: datetime) -> str | None:
    """Repair one finding; return what was done, or None if it is not wrong any more.

    Parameters
    ----------
    moment
        Names the folder below `set-aside`.

    Raises
    ------
    StorageFailed, OSError, DBAPIError
    """
    storage.require_mounted()
    if finding.file is None or finding.seen is None:
        return _set_aside_extra(database, storage, finding.location, moment)
    with database.write() as connection:
        aside = free_lost(connection, storage, finding.file, finding.seen, moment)
    kept = f"what was there is moved to {aside}; " if aside else ""
    return f"{kept}its name is free, so that it can be sent again"


def _set_aside_extra(database: Database, storage: Storage, location: str, moment: datetime) -> str | None:
    _, session, _, *inside = location.split("/")
    path = "/".join(inside[1:] if location.startswith(f"sessions/{session}/revisions/") else inside)
    with database.write() as connection:  # nobody can reserve or commit the name before the file is moved
        if location in named_locations(connection, session, [path]):
            return None
        aside = storage.set_aside(location, moment)
    return f"moved to {aside}" if aside else None
