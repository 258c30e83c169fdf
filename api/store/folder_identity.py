"""The data folder and its database carry one random id, so that neither is ever used with another's.

The folder keeps it in the file `folder-id`, the database in `data_folder.folder_id`. The path does not matter: the
folder may be moved, and copied together with its SQLite database.

The two cannot be written in one step. So the file is written first, and says that its id is not yet in the database;
then the database gets the id, then the file is written without that remark. A start that finds the remark goes on from
there. Without it, a folder with an id and a database without one do not belong together.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import Connection, func, insert, inspect, select, update
from sqlalchemy.exc import OperationalError

from api.database.engine import Database
from api.database.migrate import upgrade
from api.database.tables import data_folder, files, sessions
from api.errors import DatabaseUnavailable, WrongDatabase
from transfer.disk.files import make_file
from transfer.disk.locks import file_lock

ID_FILE = "folder-id"
_PENDING = "not yet in the database"
_AS_BEFORE = "Give --database as this folder's receiver had it before, or restore its database from a backup."
_ASK = "`SELECT folder_id FROM data_folder`"
_CONTENT = re.compile(rf"([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})(\n{_PENDING})?\s*")


@dataclass(frozen=True, slots=True)
class FolderId:
    """What the file `folder-id` says; `pending`: the database may not have the id yet."""

    value: UUID
    pending: bool


def prepare_database(database: Database, data: Path) -> UUID:
    """Bring a data folder's database to this version, and see that the two belong together; return their id.

    A new folder and a new database get an id; so do those of an older version, which have none.

    Parameters
    ----------
    database
        The database, to which nothing is connected yet.
    data
        The data folder, which exists.

    Raises
    ------
    WrongDatabase, DatabaseUnavailable
    """
    with file_lock(data / "folder-id.lock", wait=True):
        own = _read_file(data)
        _require_sqlite_file(database, data, own)
        _make_sqlite_file(database)
        try:
            _require_match(data, own, _id_before_migration(database))
            upgrade(database, data)
            own = own or _begin(database, data)
            with database.write() as connection:
                known = _id_in(connection)
                _require_match(data, own, known)
                if known is None:
                    _keep_id(connection, own.value)
        except OperationalError as error:
            raise DatabaseUnavailable(f"the receiver's database cannot be used: {error.orig}") from error
        if own.pending:
            _write_file(data, FolderId(own.value, pending=False))
        return own.value


# the two places of the id


def _read_file(data: Path) -> FolderId | None:
    try:
        content = (data / ID_FILE).read_text("utf-8", "replace")
    except FileNotFoundError:
        return None
    match = _CONTENT.fullmatch(content)
    if match is None:
        raise WrongDatabase(
            f"the file {data / ID_FILE}, which says which database belongs to the data folder, holds no id; nothing "
            "was done",
            hint=f"Restore it from a backup, or write the id into it that the database has: {_ASK}.",
        )
    return FolderId(UUID(match[1]), pending=match[2] is not None)


def _write_file(data: Path, own: FolderId) -> None:
    content = f"{own.value}\n" + (f"{_PENDING}\n" if own.pending else "")

    def write(temporary: Path) -> None:
        temporary.write_text(content, "utf-8")

    make_file(data / ID_FILE, write)


def _id_before_migration(database: Database) -> UUID | None:
    """Return the database's id; None too if it has no tables yet, or those of an older version."""
    with database.read() as connection:
        return _id_in(connection) if inspect(connection).has_table(data_folder.name) else None


def _id_in(connection: Connection) -> UUID | None:
    return connection.scalar(select(data_folder.c.folder_id))


def _keep_id(connection: Connection, folder_id: UUID) -> None:
    if not connection.execute(update(data_folder).values(folder_id=folder_id)).rowcount:
        newest = select(func.coalesce(func.max(files.c.id), 0)).scalar_subquery()
        first = {"id": 1, "folder_id": folder_id, "sequence": newest, "losses": 0, "file_check": ""}
        connection.execute(insert(data_folder).values(**first))


def _begin(database: Database, data: Path) -> FolderId:
    """Give a folder an id that has none, and whose database has none.

    Raises
    ------
    WrongDatabase
        The folder holds sessions, the database knows none.
    """
    with database.read() as connection:
        is_empty = connection.scalar(select(sessions.c.id).limit(1)) is None
    held = sorted(folder.name for folder in (data / "sessions").glob("*") if folder.is_dir())
    if is_empty and held:
        names = ", ".join(held[:3]) + (", …" if len(held) > 3 else "")
        raise WrongDatabase(
            f"the data folder {data} holds sessions ({names}), but the database knows none; nothing was done",
            hint=f"{_AS_BEFORE} To begin anew, move the folder `sessions` away.",
        )
    own = FolderId(uuid4(), pending=True)
    _write_file(data, own)
    return own


# whether they match


def _require_sqlite_file(database: Database, data: Path, own: FolderId | None) -> None:
    """Refuse to make a database for a folder that has one already; connecting to SQLite would make its file."""
    url = database.engine.url
    if own is None or own.pending or url.get_backend_name() != "sqlite" or Path(url.database or "").exists():
        return
    raise WrongDatabase(
        f"the data folder {data} has a database already (its id is {own.value}), but {url.database} does not exist; "
        "nothing was done",
        hint=_AS_BEFORE,
    )


def _make_sqlite_file(database: Database) -> None:
    """Make the file of a new SQLite database for its owner alone: it holds the hashes of tokens.

    SQLite would make it readable for everybody; its journal gets the same permissions as the file.
    """
    url = database.engine.url
    name = url.database or ""
    if url.get_backend_name() != "sqlite" or url.query or name in ("", ":memory:") or Path(name).exists():
        return
    with contextlib.suppress(OSError):  # connecting fails too, and says why
        Path(name).touch(mode=0o600)


def _require_match(data: Path, own: FolderId | None, known: UUID | None) -> None:
    if own is not None and known is None and not own.pending:
        raise WrongDatabase(
            f"the data folder {data} has the id {own.value}, but the database belongs to no folder yet: it is new, or "
            "from a backup of an older version; nothing was done",
            hint=f"{_AS_BEFORE} If it is this folder's, from a backup, remove {data / ID_FILE}.",
        )
    if known is not None and own is None:
        raise WrongDatabase(
            f"the database belongs to the data folder with the id {known}, but {data} has no id; nothing was done",
            hint=f"Give the --data that belongs to it. If {data} is the one, restored without the file {ID_FILE}: "
            f"echo {known} > {data / ID_FILE}",
        )
    if own is not None and known is not None and own.value != known:
        raise WrongDatabase(
            f"the data folder {data} has the id {own.value}, but the database belongs to the folder with the id "
            f"{known}; nothing was done",
            hint="Give --data and --database that belong together: one database for each data folder.",
        )
