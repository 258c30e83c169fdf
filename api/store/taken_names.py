"""Which names of files and folders are taken: two that differ only in upper and lower case are one.

A row of `names` stands for the path of a file that is committed, was lost or deleted, or is being received; for each
folder of such a path; or for the stem of a claimed exposure. Whoever adds the first of them adds the rows in the same
transaction; there is one writer at a time, so one of two such names is first. An upload that is withdrawn frees what
nothing else needs. Older versions took names that differ only in case: each of them stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from blake3 import blake3
from sqlalchemy import (
    BigInteger,
    Connection,
    String,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    literal,
    select,
    true,
    union_all,
)

from api.database.tables import files, lost_files, names, tombstones, uploads
from transfer.wire.errors import NameDiffersInCase
from transfer.wire.names import folded

_LONGEST_BYTES = 400
"""Of a folded folder or leaf. PostgreSQL's index takes 2704 bytes in all, and folding can make a name longer."""


class NameKey(NamedTuple):
    """What names that differ only in case have in common: the folded folder, and the folded name in it."""

    folder: str
    leaf: str


def key_of(path: str) -> NameKey:
    """Return the key of a path."""
    folder, _, leaf = folded(path).rpartition("/")
    return NameKey(_shortened(folder), _shortened(leaf))


def _shortened(text: str) -> str:
    """Return a folded name with a digest in place of what is too long for an index."""
    encoded = text.encode()
    if len(encoded) <= _LONGEST_BYTES:
        return text
    digest = blake3(encoded).hexdigest(length=16)
    return f"{encoded[: _LONGEST_BYTES - len(digest) - 2].decode(errors='ignore')}//{digest}"  # // is in no path


_SESSION: Any = bindparam("of_session", type_=BigInteger)
_FOLDER: Any = bindparam("of_folder", type_=String)
_LEAF: Any = bindparam("of_leaf", type_=String)
_PATH: Any = bindparam("of_path", type_=String)


def _is_path(table: Any, folder: Any = _FOLDER, leaf: Any = _LEAF) -> Any:
    """Return the condition that a row is a file's or folder's, with that key."""
    key = (table.c.folder == folder, table.c.leaf == leaf, table.c.is_stem == false())
    return and_(table.c.session_id == _SESSION, *key)


def _adding(*conditions: Any) -> Any:
    """Return the statement that adds a path, unless that path or one that differs only in case is there."""
    same = names.alias("same")
    is_free = ~select(literal(1)).where(_is_path(same)).exists()
    row = select(_SESSION, _FOLDER, _LEAF, false(), _PATH).where(is_free, *conditions)
    added = insert(names).from_select(["session_id", "folder", "leaf", "is_stem", "path"], row)
    return added.returning(names.c.path)


_ABOVE = names.alias("above")
_IS_FOLDER_THERE = select(literal(1)).where(
    _is_path(_ABOVE, bindparam("above_folder"), bindparam("above_leaf")), _ABOVE.c.path == bindparam("above")
)
_ADD_AT_TOP = _adding()
_ADD_IN_FOLDER = _adding(_IS_FOLDER_THERE.exists())
_ADD = insert(names)
# Not pairs of folder and leaf: SQLite would look for them among all names of the session.
_LIKE = select(names.c.folder, names.c.leaf, names.c.path).where(
    names.c.session_id == _SESSION,
    names.c.folder.in_(bindparam("folders", expanding=True)),
    names.c.leaf.in_(bindparam("leaves", expanding=True)),
    names.c.is_stem == false(),
)
_LIKE_AT_ONCE = 16


def _one_of(leaves: str, is_stem: Any) -> Any:
    named = (names.c.leaf.in_(bindparam(leaves, expanding=True)), names.c.is_stem == is_stem)
    return select(names.c.session_id).where(names.c.session_id == _SESSION, names.c.folder == _FOLDER, *named)


_STEM_OR_FILE = union_all(_one_of("stems", true()), _one_of("leaves", false())).limit(1)
_NEEDED = union_all(
    *(
        select(table.c.session_id).where(table.c.session_id == _SESSION, table.c.path == _PATH)
        for table in (files, uploads, lost_files, tombstones)
    ),
    select(names.c.session_id).where(
        names.c.session_id == _SESSION,
        names.c.folder == _FOLDER,
        func.substr(names.c.path, 1, func.length(_PATH) + 1) == _PATH + "/",
    ),
).limit(1)
_FREE = delete(names).where(_is_path(names), names.c.path == _PATH)


def take_path(connection: Connection, session_id: int, path: str) -> None:
    """Note that a file has a path, or will have it.

    Raises
    ------
    NameDiffersInCase
        The path, or a folder of it, differs only in case from another one that is there.
    """
    key, above = key_of(path), path.rpartition("/")[0]
    wanted = {"of_session": session_id, "of_folder": key.folder, "of_leaf": key.leaf, "of_path": path}
    if above:
        key_above = key_of(above)
        wanted |= {"above": above, "above_folder": key_above.folder, "above_leaf": key_above.leaf}
    if connection.execute(_ADD_IN_FOLDER if above else _ADD_AT_TOP, wanted).first() is None:
        _add(connection, session_id, _new_ones(connection, session_id, path))


def take_stem(connection: Connection, session_id: int, stem: str) -> None:
    """Note that a claimed exposure has a stem that nobody has, and its files will have that folder.

    Raises
    ------
    NameDiffersInCase
        The folder differs only in case from another one that is there; `as_spelled` gives that.
    """
    folder = stem.rpartition("/")[0]
    if folder:
        _add(connection, session_id, _new_ones(connection, session_id, folder))
    _add(connection, session_id, [stem], is_stem=True)


def is_stem_taken(connection: Connection, session_id: int, stems: Collection[str], paths: Collection[str] = ()) -> bool:
    """Return whether an exposure has one of these stems, or a file one of these paths. All are in one folder."""
    keys = [key_of(stem) for stem in stems]
    wanted = {
        "of_session": session_id,
        "of_folder": keys[0].folder,
        "stems": [key.leaf for key in keys],
        "leaves": [key_of(path).leaf for path in paths],
    }
    return connection.execute(_STEM_OR_FILE, wanted).first() is not None


def as_spelled(connection: Connection, session_id: int, folder: str) -> str:
    """Return the path of a folder, with the spelling of what is there."""
    spelled, there = "", _names_like(connection, session_id, _prefixes(folder))
    for part in folder.split("/"):
        place = f"{spelled}/{part}" if spelled else part
        same = there.get(key_of(place), [])
        spelled = place if not same or place in same else min(same)
    return spelled


def free_path(connection: Connection, session_id: int, path: str) -> None:
    """Free a path that nothing needs any more, and then its folders, from the last to the first."""
    while path:
        wanted = {"of_session": session_id, "of_path": path}
        if connection.execute(_NEEDED, wanted | {"of_folder": _shortened(folded(path))}).first() is not None:
            return
        key = key_of(path)
        connection.execute(_FREE, wanted | {"of_folder": key.folder, "of_leaf": key.leaf})
        path = path.rpartition("/")[0]


def _prefixes(path: str) -> list[str]:
    """Return a path's folders from the first to the last, and the path."""
    parts = path.split("/")
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _new_ones(connection: Connection, session_id: int, path: str) -> list[str]:
    """Return which of a path and its folders are not there yet.

    Raises
    ------
    NameDiffersInCase
    """
    prefixes = _prefixes(path)
    there = _names_like(connection, session_id, prefixes)
    new = [place for place in prefixes if place not in there.get(key_of(place), [])]
    for place in new:
        if same := there.get(key_of(place)):
            raise _differs(path, place, min(same))
    return new


def _differs(path: str, place: str, existing: str) -> NameDiffersInCase:
    what = "name" if place == path else f"folder {place!r}"
    same_file = "" if place == path else path[len(place) :]
    return NameDiffersInCase(
        f"{path}: the {what} differs only in upper and lower case from {existing!r}, which is there",
        hint=f"Send it as {existing + same_file!r}, or rename it so that more than upper and lower case differs.",
        existing=existing,
    )


def _names_like(connection: Connection, session_id: int, paths: Iterable[str]) -> dict[NameKey, list[str]]:
    """Return the names of files and folders that are these, or differ from them only in case."""
    keys, found = list({key_of(path) for path in paths}), dict[NameKey, list[str]]()
    for first in range(0, len(keys), _LIKE_AT_ONCE):
        some = keys[first : first + _LIKE_AT_ONCE]
        wanted = {"folders": list({key.folder for key in some}), "leaves": list({key.leaf for key in some})}
        for folder, leaf, path in connection.execute(_LIKE, {"of_session": session_id, **wanted}):
            if (key := NameKey(folder, leaf)) in some:
                found.setdefault(key, []).append(path)
    return found


def _add(connection: Connection, session_id: int, paths: Iterable[str], *, is_stem: bool = False) -> None:
    rows = [{"session_id": session_id, **key_of(path)._asdict(), "is_stem": is_stem, "path": path} for path in paths]
    if rows:
        connection.execute(_ADD, rows)
