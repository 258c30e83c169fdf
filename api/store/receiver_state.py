"""What tells an agent that the receiver went back in time, was replaced, or lost files."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, true

from api.database.tables import data_folder, sessions
from transfer.wire.agent_status import ReceiverState
from transfer.wire.errors import NotFound

_STATE = (
    select(sessions.c.id, sessions.c.uuid, data_folder.c.folder_id, data_folder.c.sequence, data_folder.c.losses)
    .join_from(sessions, data_folder, true(), isouter=True)
    .where(sessions.c.name == bindparam("session"))
)


def state_of(connection: Connection, session: str) -> tuple[int, ReceiverState | None]:
    """Return the key of a session in the database, and the receiver's state; None if the data folder has no id yet.

    Raises
    ------
    NotFound
    """
    row = connection.execute(_STATE, {"session": session}).one_or_none()
    if row is None:
        raise no_session(session)
    if row.folder_id is None:
        return row.id, None
    state = ReceiverState(folder_id=row.folder_id, sequence=row.sequence, losses=row.losses, session_uuid=row.uuid)
    return row.id, state


def no_session(name: str) -> NotFound:
    """Return the error that says that there is no such session."""
    return NotFound(
        f"there is no session {name!r} on this receiver",
        hint="Check the name, or start the session: `cryoferry session start NAME`.",
    )
