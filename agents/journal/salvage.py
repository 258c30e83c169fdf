"""Sets a journal that cannot be used aside, so that the agent can begin a new one. Nothing is deleted.

A power cut or a failed restore can leave a journal empty or damaged. The receiver knows which movies it has, so an
agent with an empty journal asks it and aligns only the others. Outputs that were not sent are set aside too.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from transfer.disk.files import sync_folder

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OUTPUTS = "exposures"


def set_damaged_aside(journal: Path, now: datetime | None = None, *, known_damage: str = "") -> str:
    """Set a journal that cannot be used aside, and the outputs that only it knew; return what happened, for people.

    Parameters
    ----------
    journal
        The journal's file; no agent uses it. The text is empty if it can be used, or if its folder is new.
    now
        Becomes part of the new names.
    known_damage
        Why the file cannot be used, if an agent found that; it is set aside whatever it looks like now.

    Raises
    ------
    OSError
        A file cannot be renamed.
    """
    damage, outputs = (
        known_damage if journal.is_file() and known_damage else _damage(journal),
        journal.parent / _OUTPUTS,
    )
    has_outputs = outputs.is_dir() and any(outputs.iterdir())
    if not damage and (journal.exists() or not has_outputs):
        return ""
    stamp = f"{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    moved = []
    if damage:
        moved.append(_renamed(journal, f"damaged-{stamp}"))
        rollback = journal.with_name(f"{journal.name}-journal")  # SQLite must not apply it to another journal
        if rollback.exists():
            moved.append(_renamed(rollback, f"damaged-{stamp}"))
    if has_outputs:
        moved.append(_renamed(outputs, f"orphaned-{stamp}"))
    sync_folder(journal.parent)
    names = " and ".join(f"{old} as {new}" for old, new in moved)
    return f"{damage or f'{journal} is missing, though its folder was used'}; kept {names}"


def _damage(journal: Path) -> str:
    """Return why a journal's file cannot be used; an empty text if it can, if it is missing, or if that is unknown."""
    if not journal.is_file():
        return ""
    if journal.stat().st_size == 0:
        return f"{journal} is empty"
    try:
        with closing(sqlite3.connect(journal, timeout=30)) as db:
            found = [row[0] for row in db.execute("PRAGMA quick_check(1)")]
            has_tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in _DAMAGED:
            return f"{journal} is damaged ({error})"
        return ""  # locked, unreadable, full: opening it says so
    if found != ["ok"]:
        return f"{journal} is damaged ({found[0]})"
    return "" if has_tables else f"{journal} holds nothing"


def _renamed(path: Path, suffix: str) -> tuple[str, str]:
    """Rename a file or a folder to a new name beside it; return its old and its new name."""
    target, number = path.with_name(f"{path.name}.{suffix}"), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{suffix}-{number}")
    path.rename(target)
    return path.name, target.name
