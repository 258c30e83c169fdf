"""One agent, one receiver and every odd file at once: each is sent or fails alone, and a restart changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.finding.links import Why
from agents.journal.movie_names import movie_name
from preprocess.simulation import SimulationSettings, simulate_movie
from tests.agents.agent_process import AgentProcess
from tests.running import cryoferry_here
from transfer.client import ReceiverClient
from transfer.wire.names import check_path

GOOD: dict[bytes, int | None] = {
    b"1601 -11644473600.mrc": -11_644_473_600,
    b"Gr\xe9/m\xff.mrc": -86_400,  # no UTF-8
    b"-zero.mrc": 0,
    "\u202egnp\u2066.mrc".encode(): 10_413_792_000,
    b"l" * 251 + b".mrc": None,
    b"f" * 255 + b"/" + b"\xc3\xa9" * 125 + b".mrcs": None,
    b"new\nline\t\x1b[31mred\x07.mrc": None,
    b" leading/ trailing /dot./x .mrc": None,
    rb""":*?"<>|\.mrc""": None,
    rb"a\x41[0]{x}%41$(reboot)`.mrc": None,
    b"CON.mrc": None,
    "\u00e9.mrc".encode(): None,
    "e\u0301.mrc".encode(): None,
    b"Case.mrc": None,
    b"case.mrc": None,
    b"folder.tiff/inside.mrc": None,
}
"""Names of movies, and their time stamps, in seconds since 1970, if these are odd, too."""
TOO_LONG = b"/".join([b"n" * 200] * 6) + b"/deep.mrc"
"""Longer than 1024 bytes: no name for the receiver."""
FAR_TOO_LONG = b"/".join([b"p" * 200] * 21) + b"/x.mrc"
"""Longer than 4096 bytes: the system opens no such path."""
OPTIONS = ("--workers", "1", "--give-up-seconds", "1", "--layout", "flat")


@pytest.fixture
def source() -> Iterator[Path]:
    """Return an empty folder, in memory if that is possible: such a file system keeps any time stamp."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="odd-", dir=place))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], bytes]:
    """Return a function that returns a small movie, another one for each number."""
    path = tmp_path_factory.mktemp("content") / "movie.mrc"
    simulate_movie(SimulationSettings(height=64, width=64, frame_count=3, seed=1, gain=False)).write(path)
    whole = path.read_bytes()

    def of(number: int) -> bytes:
        first = np.frombuffer(whole[1024:1028], np.uint8) ^ np.frombuffer(number.to_bytes(4, "little"), np.uint8)
        return whole[:1024] + first.tobytes() + whole[1028:]

    return of


def lay(source: Path, name: bytes, content: bytes, mtime_s: int | None = None) -> None:
    """Make a file; each folder is opened below the one before it, so that the whole path may be too long."""
    *folders, file = name.split(b"/")
    at = os.open(source, os.O_RDONLY)
    for folder in folders:
        with suppress(FileExistsError):
            os.mkdir(folder, dir_fd=at)
        below = os.open(folder, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    made = os.open(file, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=at)
    os.write(made, content)
    if mtime_s is not None:
        os.utime(made, ns=(mtime_s * 10**9, mtime_s * 10**9))
    os.close(made)
    os.close(at)


def lay_what_is_skipped(source: Path, outside: Path) -> dict[str, str]:
    """Make what is no movie; return why each is skipped."""
    os.mkfifo(source / "pipe.mrc")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(source / "socket.mrc"))
    listening.close()
    (source / "dangling.mrc").symlink_to(source / "nothing")
    (source / "loop.mrc").symlink_to(source / "loop.mrc")
    (source / "out.mrc").symlink_to(outside)
    (source / "up").symlink_to(source)
    why = {
        "pipe.mrc": Why.NOT_A_FILE,
        "socket.mrc": Why.NOT_A_FILE,
        "dangling.mrc": Why.DANGLING,
        "loop.mrc": Why.CIRCULAR,
        "out.mrc": Why.OUTSIDE,
    }
    if os.geteuid() == 0:
        os.mknod(source / "device.mrc", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        why["device.mrc"] = Why.NOT_A_FILE
    return {**why, ".hidden.mrc": "a hidden file"}


def text_of(name: bytes) -> str:
    return movie_name(os.fsdecode(name))


def is_clean(text: str) -> bool:
    """Return whether no character controls a terminal, turns the direction of writing, or is half of a pair."""
    return all(mark.isprintable() or mark == "\n" for mark in text)


def test_every_odd_file_is_sent_or_fails_alone(
    source: Path,
    tmp_path: Path,
    receiver: Any,
    content: Callable[[int], bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, (name, mtime_s) in enumerate(GOOD.items()):
        lay(source, name, content(number), mtime_s)
    lay(source, TOO_LONG, content(100))
    lay(source, FAR_TOO_LONG, content(101))
    lay(source, b"empty.mrc", b"")
    lay(source, b".hidden.mrc", b"x")
    lay(source, b"once.mrc", content(102), 7_258_118_400)  # aligned first, because it is the newest
    lay(source, b"swapped.mrc", content(103), -9_000_000_000)  # aligned last, because it is the oldest
    (tmp_path / "outside.mrc").write_bytes(content(104))
    skipped = lay_what_is_skipped(source, tmp_path / "outside.mrc")
    good = {text_of(name) for name in (*GOOD, b"once.mrc", b"twice.mrc")}
    failed = {
        text_of(TOO_LONG): "a path must have 1 to 1024 bytes",
        "empty.mrc": "the file is empty",
        "swapped.mrc": "the movie is gone",
    }
    token, work = receiver.token("agent", "s"), tmp_path / "work"

    agent = AgentProcess(source, work, receiver.url, token, *OPTIONS)
    try:
        agent.until(lambda: agent.states().get("swapped.mrc") == ("finished", 1), "a movie that waits")
        (source / "swapped.mrc").unlink()
        (source / "swapped.mrc").mkdir()
        agent.until(lambda: [*agent.states().values()].count(("released", 1)) >= len(good) // 3, "a third")
        assert agent.end(signal.SIGKILL) == -signal.SIGKILL
        before = agent.states()
        os.link(source / "once.mrc", source / "twice.mrc")
        agent = AgentProcess(source, work, receiver.url, token, *OPTIONS)
        ends = {**dict.fromkeys(good, ("released", 1)), **dict.fromkeys(failed, ("failed", 1))}
        agent.until(lambda: {**before, **agent.states()} == ends, "the end of each movie")
        assert not agent.states().keys() & {movie for movie, state in before.items() if state[0] == "released"}
        text = cryoferry_here(monkeypatch, capsys, "status", "--work", work, "--all", "--full").stdout
        totals = cryoferry_here(monkeypatch, capsys, "status", "--work", work).stdout
        report = cryoferry_here(monkeypatch, capsys, "status", "--work", work, "--all", "--json").stdout
        assert agent.end() == 0
    finally:
        agent.end(signal.SIGKILL)

    with ReceiverClient(receiver.url, token) as client:
        published = client.exposures("s").exposures
        paths = [file.path for file in client.files("s")]
    sent = {exposure.record.movie: exposure.record for exposure in published}
    assert len(sent) == len(published) == len(good) - 1, "each once"
    assert good - sent.keys() == {"twice.mrc"}
    assert {record.revision for record in sent.values()} == {1}
    assert sorted(paths) == sorted(file.path for record in sent.values() for file in record.files)
    assert all(check_path(path) for path in paths)
    assert len({path.casefold() for path in paths}) == len(paths)

    *exposures, whole = [json.loads(line) for line in report.splitlines()]
    assert {one["movie"] for one in exposures} == good | failed.keys()
    reasons = {one["movie"]: one["reason"] for one in exposures if one["state"] == "failed"}
    assert reasons.keys() == failed.keys()
    assert all(failed[movie] in reason for movie, reason in reasons.items()), reasons
    named = {movie: why for why, each in whole["skipped"].items() for movie in each["examples"]}
    assert named.items() >= skipped.items()
    assert [why for movie, why in named.items() if movie.startswith("ppp")] == ["cannot be read: File name too long"]
    log = work.with_suffix(".log").read_bytes().decode()  # is UTF-8
    assert "Traceback" not in log
    assert is_clean(log), [line for line in log.splitlines() if not is_clean(line)]
    assert is_clean(text)
    assert is_clean(totals)
    assert "skipped " in totals
    assert report.isascii()
