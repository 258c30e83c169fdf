from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from api.database.engine import Database
from api.database.tables import data_folder
from api.errors import WrongDatabase
from api.store import folder_identity
from api.store.folder_identity import ID_FILE, prepare_database
from tests.published import database_with_sessions


@pytest.fixture
def start() -> Callable[..., UUID]:
    """Return a function that prepares a data folder with a database, by default the SQLite file in it."""

    def start(data: Path, database: Path | None = None) -> UUID:
        data.mkdir(exist_ok=True)
        opened = Database(f"sqlite:///{database or data / 'receiver.sqlite'}")
        try:
            return prepare_database(opened, data)
        finally:
            opened.close()

    return start


def written(data: Path) -> str:
    return (data / ID_FILE).read_text()


def test_a_new_folder_gets_an_id_and_keeps_it(start: Callable[..., UUID], tmp_path: Path) -> None:
    made = start(tmp_path / "a")
    assert written(tmp_path / "a") == f"{made}\n"
    assert start(tmp_path / "a") == made
    assert start(tmp_path / "b") != made


def test_a_new_database_is_for_its_owner_alone(start: Callable[..., UUID], tmp_path: Path) -> None:
    start(tmp_path)
    made = tmp_path / "receiver.sqlite"
    assert made.stat().st_mode & 0o777 == 0o600
    made.chmod(0o640)  # as an operator may want it
    start(tmp_path)
    assert made.stat().st_mode & 0o777 == 0o640


def test_a_folder_may_be_moved_and_copied_with_its_database(start: Callable[..., UUID], tmp_path: Path) -> None:
    made = start(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    (tmp_path / "a").rename(tmp_path / "moved")
    assert start(tmp_path / "copy") == start(tmp_path / "moved") == made


def test_a_folder_of_an_older_version_is_adopted(start: Callable[..., UUID], tmp_path: Path) -> None:
    (tmp_path / "sessions" / "s1").mkdir(parents=True)
    database_with_sessions(f"sqlite:///{tmp_path / 'receiver.sqlite'}", tmp_path, 1).close()
    made = start(tmp_path)
    assert start(tmp_path) == made


def test_another_folders_database_is_refused(start: Callable[..., UUID], tmp_path: Path) -> None:
    ours, theirs = start(tmp_path / "a"), start(tmp_path / "b")
    with pytest.raises(WrongDatabase, match=f"a has the id {ours}.*folder with the id {theirs}") as refused:
        start(tmp_path / "a", tmp_path / "b" / "receiver.sqlite")
    assert refused.value.exit_code == 2
    with pytest.raises(WrongDatabase, match=f"id {theirs}, but {tmp_path / 'c'} has no id"):
        start(tmp_path / "c", tmp_path / "b" / "receiver.sqlite")
    assert not (tmp_path / "c" / ID_FILE).exists()
    assert start(tmp_path / "a") == ours
    assert start(tmp_path / "b") == theirs


def test_two_new_folders_cannot_share_a_database(start: Callable[..., UUID], tmp_path: Path) -> None:
    shared = tmp_path / "shared.sqlite"
    start(tmp_path / "a", shared)
    with pytest.raises(WrongDatabase):
        start(tmp_path / "b", shared)
    start(tmp_path / "b", tmp_path / "own.sqlite")  # it did not get an id in vain


def test_a_lost_database_is_not_made_anew(start: Callable[..., UUID], tmp_path: Path) -> None:
    made = start(tmp_path)
    (tmp_path / "receiver.sqlite").unlink()
    with pytest.raises(WrongDatabase, match=f"{made}.*receiver.sqlite does not exist"):
        start(tmp_path)
    assert not (tmp_path / "receiver.sqlite").exists()
    (tmp_path / "receiver.sqlite").touch()
    with pytest.raises(WrongDatabase, match="belongs to no folder yet"):
        start(tmp_path)


def test_a_database_of_another_kind_is_not_begun_beside_sessions(start: Callable[..., UUID], tmp_path: Path) -> None:
    """The folder of an older version whose database was PostgreSQL is started without --database."""
    (tmp_path / "sessions" / "s1").mkdir(parents=True)
    with pytest.raises(WrongDatabase, match=r"holds sessions \(s1\).*database knows none"):
        start(tmp_path)
    assert not (tmp_path / ID_FILE).exists()


def test_a_lost_or_damaged_id_is_restored_as_the_hint_says(start: Callable[..., UUID], tmp_path: Path) -> None:
    made = start(tmp_path)
    for damage in (lambda path: path.unlink(), lambda path: path.write_text("")):
        damage(tmp_path / ID_FILE)
        with pytest.raises(WrongDatabase) as refused:
            start(tmp_path)
        assert refused.value.hint
        (tmp_path / ID_FILE).write_text(f"{made}\n")
        assert start(tmp_path) == made


class Killed(Exception):
    """The process ended here."""


@pytest.mark.parametrize("step", ["file", "database", "end"])
def test_a_kill_between_two_steps(
    start: Callable[..., UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    keep_id, write_file = folder_identity._keep_id, folder_identity._write_file

    def killed_before_database(*_: object) -> None:
        raise Killed

    def killed_before_file(data: Path, own: folder_identity.FolderId) -> None:
        if own.pending == (step == "file"):
            raise Killed
        write_file(data, own)

    if step == "database":
        monkeypatch.setattr(folder_identity, "_keep_id", killed_before_database)
    else:
        monkeypatch.setattr(folder_identity, "_write_file", killed_before_file)
    with pytest.raises(Killed):
        start(tmp_path)
    begun = written(tmp_path) if (tmp_path / ID_FILE).exists() else ""
    monkeypatch.setattr(folder_identity, "_keep_id", keep_id)
    monkeypatch.setattr(folder_identity, "_write_file", write_file)
    made = start(tmp_path)
    assert written(tmp_path) == f"{made}\n"
    assert begun == ("" if step == "file" else f"{made}\nnot yet in the database\n")
    assert start(tmp_path) == made


def test_a_begun_id_does_not_fit_another_folders_database(start: Callable[..., UUID], tmp_path: Path) -> None:
    start(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ID_FILE).write_text(f"{UUID(int=5)}\nnot yet in the database\n")
    with pytest.raises(WrongDatabase):
        start(tmp_path / "b", tmp_path / "a" / "receiver.sqlite")


def test_the_row_is_made_where_there_is_none(start: Callable[..., UUID], tmp_path: Path) -> None:
    database = database_with_sessions(f"sqlite:///{tmp_path / 'receiver.sqlite'}", tmp_path, 1)
    with database.write() as connection:
        connection.execute(text("DELETE FROM data_folder"))
    made = start(tmp_path)
    with database.read() as connection:
        row = connection.execute(select(data_folder)).one()
    assert (row.folder_id, row.sequence, row.losses) == (made, 1, 0)
    with database.write() as connection:
        connection.execute(update(data_folder).values(sequence=7))
    start(tmp_path)
    with database.read() as connection:
        assert connection.scalar(select(data_folder.c.sequence)) == 7
    database.close()
