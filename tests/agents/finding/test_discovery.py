"""The scan and what it makes of what it finds, on real folders."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from agents.finding.discovery import Discovery
from agents.finding.scan import Hints, scan
from agents.journal.file_identity import FileIdentity
from agents.journal.journal import Journal
from agents.journal.movie_names import movie_path
from agents.journal.states import State
from preprocess.layouts import AUTO, FLAT
from preprocess.simulation import write_mrc


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.fixture
def journal(tmp_path: Path):
    (tmp_path / "work").mkdir()
    journal = Journal(tmp_path / "work")
    yield journal
    journal.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def discovery(journal: Journal, source: Path, clock: Clock) -> Discovery:
    return Discovery(journal, source, AUTO, settle_s=10, give_up_s=100, clock=clock)


def movie(path: Path, value: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mrc(path, [np.full((8, 8), value + 1, np.uint8)] * 2, frame_count=2, mode=0)
    return path


def states(journal: Journal) -> dict[str, State]:
    return {exposure.movie: exposure.state for exposure in journal.exposures()}


def pass_time(discovery: Discovery, clock: Clock, seconds: float = 10) -> None:
    discovery.scan_once()
    clock.now_s += seconds
    discovery.scan_once()


def finish(journal: Journal, state: State = State.RELEASED) -> None:
    """Take every settled exposure to a final state by force: what comes between is tested elsewhere."""
    journal._db.execute("UPDATE exposures SET state = ? WHERE state = 'finished'", (state,))


def test_movies_are_found_and_settle(source: Path, journal: Journal, discovery: Discovery, clock: Clock) -> None:
    movie(source / "a.mrcs")
    movie(source / "grid/one/a.mrcs")
    (source / "notes.txt").touch()
    assert discovery.scan_once()
    assert states(journal) == {"a.mrcs": State.FOUND, "grid/one/a.mrcs": State.FOUND}
    assert discovery.pause_s(60) == pytest.approx(10)
    assert not discovery.scan_once()
    clock.now_s += 10
    discovery.scan_once()
    assert set(states(journal).values()) == {State.FINISHED}
    assert discovery.pause_s(60) == 60
    assert {exposure.remote_stem for exposure in journal.exposures()} == {"a", "grid/one/a"}


def test_a_broken_movie_is_set_aside_and_taken_up_again_when_it_changes(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock
) -> None:
    whole = movie(source / "a.mrcs").read_bytes()
    (source / "a.mrcs").write_bytes(whole[:-1])
    (source / "empty.mrcs").touch()
    for _ in range(11):
        pass_time(discovery, clock)
    assert set(states(journal).values()) == {State.FAILED}
    reasons = {exposure.movie: exposure.reason for exposure in journal.exposures()}
    assert "frame 2 of 2 is cut off" in reasons["a.mrcs"]
    assert "empty" in reasons["empty.mrcs"]
    pass_time(discovery, clock, 1000)
    assert set(states(journal).values()) == {State.FAILED}
    (source / "a.mrcs").write_bytes(whole)
    pass_time(discovery, clock)
    pass_time(discovery, clock)
    assert states(journal) == {"a.mrcs": State.FINISHED, "empty.mrcs": State.FAILED}


@pytest.mark.parametrize("touch", ["time stamp", "inode"])
def test_a_released_movie_that_looks_touched_is_to_be_compared(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock, touch: str
) -> None:
    path, untouched = movie(source / "a.mrcs"), movie(source / "b.mrcs", value=2)
    pass_time(discovery, clock)
    finish(journal)
    journal._db.execute("UPDATE exposures SET sampled_digest = 'known'")
    discovery.scan_once()
    assert discovery.comparisons.are_done
    times = path.stat()
    if touch == "inode":
        path.rename(source.parent / "before")
        movie(path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        os.utime(path, ns=(1, times.st_mtime_ns + 1))
    assert not discovery.scan_once()
    assert discovery.comparisons.take() == journal.exposures()[0].exposure_id
    assert discovery.comparisons.take() is None
    assert states(journal) == {"a.mrcs": State.RELEASED, untouched.name: State.RELEASED}


def test_released_movies_without_a_digest_get_one(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock
) -> None:
    for number in range(3):
        movie(source / f"{number}.mrcs", number)
    pass_time(discovery, clock)
    finish(journal)
    (source / "1.mrcs").unlink()
    discovery = Discovery(journal, source, AUTO, settle_s=10, give_up_s=100, clock=clock)  # of the newer version
    discovery.scan_once()
    newest_first = [exposure.exposure_id for exposure in journal.exposures()][::-1]
    first = discovery.comparisons.take()
    assert first == newest_first[0]
    assert discovery.comparisons.take() == newest_first[2]
    journal._db.execute("UPDATE exposures SET sampled_digest = 'known'")
    for exposure_id in (newest_first[0], newest_first[2]):
        discovery.comparisons.end(exposure_id, has_failed=False)
    discovery.scan_once()
    assert discovery.comparisons.are_done


@pytest.mark.parametrize(("before", "revision"), [(State.RELEASED, 2), (State.HELD, 1), (State.FAILED, 1)])
def test_an_overwritten_movie_begins_again(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock, before: State, revision: int
) -> None:
    path = movie(source / "a.mrcs")
    pass_time(discovery, clock)
    finish(journal, before)
    pass_time(discovery, clock)
    assert states(journal) == {"a.mrcs": before}
    with path.open("ab") as file:
        file.write(b"more")
    discovery.scan_once()
    (exposure,) = journal.exposures()
    assert (exposure.state, exposure.revision) == (State.FOUND, revision)
    assert ("found", "the movie changed after it had been processed") in journal.events(exposure.exposure_id)
    pass_time(discovery, clock)
    assert states(journal) == {"a.mrcs": State.FINISHED}


def test_a_movie_that_moved_on_a_share_mounted_anew_is_the_same(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock
) -> None:
    path = movie(source / "a.mrcs")
    pass_time(discovery, clock)
    finish(journal)
    status, content = path.stat(), path.read_bytes()
    path.unlink()
    (source / "other").write_bytes(b"takes the inode")
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not discovery.scan_once()


def test_the_oldest_movie_comes_first(source: Path, journal: Journal, discovery: Discovery) -> None:
    for age, name in enumerate("cab"):
        os.utime(movie(source / f"{name}.mrcs"), ns=(0, 10**18 - age))
    discovery.scan_once()
    assert [exposure.label for exposure in journal.exposures()] == ["b", "a", "c"]


def test_a_deleted_movie_is_set_aside_and_comes_back(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock
) -> None:
    path = movie(source / "d/a.mrcs")
    discovery.scan_once()
    path.unlink()
    discovery.scan_once()
    assert states(journal) == {"d/a.mrcs": State.FOUND}
    pass_time(discovery, clock)
    assert states(journal) == {"d/a.mrcs": State.FAILED}
    movie(path)
    pass_time(discovery, clock)
    pass_time(discovery, clock)
    assert states(journal) == {"d/a.mrcs": State.FINISHED}


def test_a_movie_that_one_walk_does_not_find_is_not_deleted(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock
) -> None:
    path = movie(source / "d/a.mrcs")
    discovery.scan_once()
    for _ in range(3):
        path.rename(source.with_name("away"))
        pass_time(discovery, clock, 1)
        source.with_name("away").rename(path)
        pass_time(discovery, clock, 1000)
    assert states(journal) == {"d/a.mrcs": State.FINISHED}


def test_a_source_that_lists_nothing_is_waited_for_longer(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock
) -> None:
    path = movie(source / "a.mrcs")
    discovery.scan_once()
    path.unlink()
    discovery.scan_once()
    pass_time(discovery, clock, 599)
    assert states(journal) == {"a.mrcs": State.FOUND}
    pass_time(discovery, clock, 1)
    assert states(journal) == {"a.mrcs": State.FAILED}


def test_a_share_that_drops_out_deletes_nothing(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock
) -> None:
    movie(source / "a.mrcs")
    discovery.scan_once()
    source.rename(source.with_name("away"))
    pass_time(discovery, clock, 1000)
    assert states(journal) == {"a.mrcs": State.FOUND}
    assert "No such file" in discovery.source_missing
    assert "No such file" in (journal.about("source_trouble") or "")
    source.with_name("away").rename(source)
    pass_time(discovery, clock)
    assert states(journal) == {"a.mrcs": State.FINISHED}
    assert discovery.source_missing == ""
    assert journal.about("source_trouble") is None


def test_an_unreadable_folder_is_skipped_and_nothing_in_it_counts_as_deleted(
    source: Path, journal: Journal, discovery: Discovery
) -> None:
    movie(source / "a.mrcs")
    movie(source / "d/b.mrcs")
    discovery.scan_once()
    found = scan(source, AUTO)
    found.movies.pop("d/b.mrcs")
    assert found.is_gone("d/b.mrcs")
    found.unreadable["d"] = "Permission denied"  # root may read everything, so the folder is declared unreadable
    assert not found.is_gone("d/b.mrcs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: run the tests as another user")
def test_a_folder_without_permission_is_reported(source: Path) -> None:
    movie(source / "a.mrcs")
    movie(source / "d/b.mrcs")
    (source / "d").chmod(0)
    try:
        found = scan(source, AUTO)
    finally:
        (source / "d").chmod(0o700)
    assert set(found.movies) == {"a.mrcs"}
    assert found.unreadable == {"d": "Permission denied"}


def test_loops_links_and_hidden_folders_are_harmless(source: Path, tmp_path: Path) -> None:
    movie(source / "d/a.mrcs")
    movie(tmp_path / "elsewhere/linked.mrcs")
    (source / "d/up").symlink_to(source)
    (source / "d/self").symlink_to(source / "d/self")
    (source / "dangling.mrcs").symlink_to(source / "nothing")
    (source / "b.mrcs").symlink_to(tmp_path / "elsewhere/linked.mrcs")
    movie(source / ".trash/c.mrcs")
    os.mkfifo(source / "pipe.mrcs")
    assert set(scan(source, AUTO).movies) == {"d/a.mrcs"}


def test_a_name_that_is_not_utf8_has_a_text(source: Path) -> None:
    path = movie(source / os.fsdecode(b"gr\xe9/caf\xe9.mrcs"))
    (found,) = scan(source, FLAT).movies
    assert found == r"gr\xE9/caf\xE9.mrcs"
    assert movie_path(source, found) == path


def test_a_large_session_is_scanned_in_a_moment(source: Path) -> None:
    for number in range(4000):
        (source / f"{number}.mrcs").touch()
    began_s = time.process_time()
    assert len(scan(source, AUTO).movies) == 4000
    assert time.process_time() - began_s < 1.0  # 0.1 s on an idle machine


def test_file_events_wake_the_scan(source: Path) -> None:
    import threading

    woken = threading.Event()
    hints = Hints(source, woken.set)
    hints.start()
    try:
        movie(source / "a.mrcs")
        assert woken.wait(5)
    finally:
        hints.stop()


def test_a_movie_at_rest_is_still_looked_at_in_its_turn(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.finding.scan.LOOKS_AT_REST", 1)
    for number in range(5):
        movie(source / f"{number}.mrcs")
    pass_time(discovery, clock)
    for exposure in journal.exposures():
        journal.note_movie(exposure.exposure_id, FileIdentity.of((source / exposure.movie).stat()), sampled_digest="a")
    finish(journal)
    discovery.scan_once()
    (source / "3.mrcs").write_bytes(b"another content, of another size")
    for _ in range(6):
        discovery.scan_once()
    assert states(journal) == {f"{number}.mrcs": State.FOUND if number == 3 else State.RELEASED for number in range(5)}


def test_a_movie_at_rest_that_is_retried_is_looked_at_at_once(
    source: Path, journal: Journal, discovery: Discovery, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.finding.scan.LOOKS_AT_REST", 1)
    for number in range(30):
        movie(source / f"{number}.mrcs")
    pass_time(discovery, clock)
    finish(journal)
    pass_time(discovery, clock)
    again = journal.exposures()[7]
    journal.begin_again(again.exposure_id, "a person wants it")
    pass_time(discovery, clock)
    assert journal.exposure(again.exposure_id).state == State.FINISHED
