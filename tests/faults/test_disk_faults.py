"""A full disk and a failing disk: said so, nothing visible in part, continued when it works again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from transfer.wire.chunks import CHUNK_BYTES
from transfer.wire.problems import PROBLEM_TYPE

SIZE_MIB = 24


@pytest.fixture
def small_disk(tmp_path: Path):
    """Return a folder on a file system of its own, of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root: run the tests as root to include this one")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "none", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small tmpfs failed ({mounted.stderr.strip()}): run the tests with CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def slug(answer) -> str:
    return answer.json()["type"].removeprefix(PROBLEM_TYPE)


def test_a_full_disk_is_said_and_waited_out(small_disk, make_receiver, wire_to, root_digest_of) -> None:
    receiver = make_receiver(data=small_disk / "data")
    wire = wire_to(receiver)
    data = os.urandom(2 * CHUNK_BYTES)
    assert wire.put_file("early", b"early").status_code == 201
    upload = uuid4()
    assert wire.declare(upload, "x", len(data)).status_code == 201
    assert wire.put(upload, data[:CHUNK_BYTES], 0, len(data)).status_code == 204

    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    ballast.write_bytes(bytes(free - (2 << 20)))
    for answer in (
        wire.put(upload, data[CHUNK_BYTES:], CHUNK_BYTES, len(data)),
        wire.put_file("small", bytes(4 << 20)),
        wire.declare(uuid4(), "y", len(data)),
    ):
        assert (answer.status_code, slug(answer)) == (507, "receiver-full")
        assert int(answer.headers["Retry-After"]) > 0
    files = receiver.data / "sessions/s1/files"
    assert [file.name for file in files.iterdir()] == ["early"]
    assert wire.declare(upload, "x", len(data)).status_code == 200  # what is there already needs no space

    ballast.unlink()
    assert wire.http.get(f"/v1/uploads/{upload}/ranges").json()["missing"] == [
        {"first": CHUNK_BYTES, "last": len(data) - 1}
    ]
    assert wire.put(upload, data[CHUNK_BYTES:], CHUNK_BYTES, len(data)).status_code == 204
    assert wire.commit(upload, root_digest_of(data)).status_code == 201
    assert (files / "x").read_bytes() == data
    assert wire.put_file("small", b"small").status_code == 201


def test_a_disk_that_fills_while_a_body_arrives(small_disk, make_receiver, wire_to) -> None:
    """The space was there when the chunk began: the write itself fails."""
    import threading

    receiver = make_receiver(data=small_disk / "data")
    wire = wire_to(receiver)
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    ballast = small_disk / "ballast"
    begun = threading.Event()

    def body():
        for block in range(4):
            if block == 2:
                begun.wait(10)
            yield bytes(2 << 20)

    def fill() -> None:
        ballast.write_bytes(bytes(free - (5 << 20)))
        begun.set()

    filler = threading.Timer(0.3, fill)
    filler.start()
    answer = wire.http.put("/v1/files/s1/x", content=body(), headers={"Content-Length": str(8 << 20)})
    filler.join()
    assert (answer.status_code, slug(answer)) == (507, "receiver-full")
    assert not (receiver.data / "sessions/s1").exists()
    assert list((receiver.data / "incoming").iterdir()) == []
    ballast.unlink()
    assert wire.put_file("x", bytes(8 << 20)).status_code == 201


def test_a_database_without_space_is_told_as_a_full_disk(small_disk, make_receiver, wire_to) -> None:
    receiver = make_receiver(data=small_disk / "data")
    wire = wire_to(receiver)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    answer = wire.declare(uuid4(), "x", 0)
    assert (answer.status_code, slug(answer)) == (507, "receiver-full")
    assert wire.http.get("/readyz").status_code == 503
    ballast.unlink()
    assert wire.put_file("x", b"x").status_code == 201


def calls_with_strace(*inject: str) -> tuple[str, ...]:
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: apt-get install strace")
    tried = subprocess.run(["strace", "-f", "true"], check=False, capture_output=True)
    if tried.returncode:
        pytest.skip("strace may not trace here: run the tests where ptrace is allowed")
    return ("strace", "-f", "-qq", "-o", "/dev/null", *inject)


@pytest.mark.timeout(120)
def test_an_fsync_that_fails_is_never_answered_by_a_receipt(receiver_process, wire_to, root_digest_of) -> None:
    """EIO once on the file's fsync, then on its folder's: refused, sent again, whole."""
    data = os.urandom(300_000)
    receiver_process.start()  # it makes the data folder and its database
    receiver_process.kill()
    upload = uuid4()
    part = receiver_process.data / "incoming" / f"{upload}.1.part"
    folder = receiver_process.data / "sessions/s1/files/f"
    folder.mkdir(parents=True)
    receiver_process.prefix = calls_with_strace(
        "-P", str(part), "-P", str(folder), "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1..2"
    )  # fmt: skip
    receiver_process.start()
    wire = wire_to(receiver_process)
    assert wire.declare(upload, "f/x", len(data)).status_code == 201
    assert wire.put(upload, data, 0, len(data)).status_code == 204

    failed = wire.commit(upload, root_digest_of(data))
    assert (failed.status_code, slug(failed)) == (500, "storage-failed")
    assert not (folder / "x").exists()
    lost = wire.commit(upload, root_digest_of(data))
    assert slug(lost) == "upload-incomplete"
    assert wire.put(upload, data, 0, len(data)).status_code == 204

    failed = wire.commit(upload, root_digest_of(data))  # the folder's turn: the name is there, but not told
    assert (failed.status_code, slug(failed)) == (500, "storage-failed")
    assert wire.http.get("/v1/sessions/s1/files").json()["files"] == []
    assert wire.commit(upload, root_digest_of(data)).status_code == 201
    assert (folder / "x").read_bytes() == data
