"""`cryoferry verify --deep` and `--sha256sums` with a real receiver."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from transfer.commands.verify_run import with_older_names
from transfer.wire import protocol
from transfer.wire.protocol import ListedFile


@pytest.fixture
def there(receiver, cryoferry, folder) -> Path:
    """Send the folder run1; return where the receiver keeps it."""
    assert cryoferry("send", "run1", "--to", receiver.url, "--session", "grid1").returncode == 0
    return Path(receiver.data / "sessions/grid1/files/run1")


@pytest.fixture
def verify(receiver, cryoferry, there):
    """Return a function that verifies the folder."""
    return lambda *options: cryoferry("verify", "run1", "--with", receiver.url, "--session", "grid1", *options)


def verdicts(done) -> dict[str, str]:
    return {told["path"]: told["verdict"] for told in done.objects[:-1]}


def change_silently(file: Path) -> None:
    """Change one byte as a failing disk does: size and time stamp stay."""
    status = file.stat()
    with file.open("r+b") as changed:
        byte = changed.read(1)
        changed.seek(0)
        changed.write(bytes([byte[0] ^ 1]))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_only_deep_reads_the_receiver_s_disk(verify, there) -> None:
    assert verify("--deep", "--json").returncode == 0
    change_silently(there / "a.mrc")
    assert verify("--json").returncode == 0
    done = verify("--deep", "--json")
    assert done.returncode == 6
    assert verdicts(done) == {"run1/a.mrc": "lost", "run1/b.json": "same", "run1/deep/er/a.mrc": "same"}
    assert (done.objects[-1]["lost"], done.objects[-1]["same"]) == (1, 2)


def test_for_people_each_problem_is_one_line(verify, there) -> None:
    (there / "b.json").unlink()
    done = verify("--deep")
    assert done.returncode == 6
    lines = done.stdout.splitlines()
    assert lines[0] == "lost: run1/b.json missing: it is not on the disk"
    assert "1 lost" in lines[-1]
    assert len(lines) == 2


def test_what_is_beside_the_folder_is_not_read(receiver, cryoferry, verify, tmp_path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    assert cryoferry("send", "other", "--to", receiver.url, "--session", "grid1").returncode == 0
    (receiver.data / "sessions/grid1/files/other").unlink()
    assert verify("--deep").returncode == 0


def test_a_receiver_that_cannot_do_it(verify, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "VERIFICATIONS", "/v1/sessions/{session}/no-such-route")
    done = verify("--deep")
    assert done.returncode == 1
    assert "Upgrade cryoferry on the receiver" in done.stderr


@pytest.mark.parametrize("absolute", [False, True])
def test_sha256sum_accepts_the_list(receiver, cryoferry, there, tmp_path, absolute: bool) -> None:
    folder = tmp_path / "run1" if absolute else "run1"
    to = ("--with", receiver.url, "--session", "grid1", "--sha256sums", "SUMS")
    assert cryoferry("verify", folder, *to).returncode == 0
    check = ["sha256sum", "--check", "--strict", "SUMS"]
    checked = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == 3
    (tmp_path / "run1/b.json").write_bytes(b"changed here")
    assert cryoferry("verify", folder, *to).returncode == 6
    assert "b.json" not in (tmp_path / "SUMS").read_text()  # only what is the same


def test_files_that_older_clients_sent_are_found_by_their_own_names() -> None:
    def listed(path: str) -> ListedFile:
        return ListedFile.model_construct(path=path)

    here = {"=2Da": Path("-a"), "=2Db": Path("-b"), "c": Path("c")}
    older = {"-a": Path("-a"), "-b": Path("-b"), "c": Path("c")}
    assert with_older_names(here, [listed("c")], lambda: pytest.fail("nothing is listed that begins with -")) is here
    there = [listed("-a"), listed("=2Db"), listed("-b")]
    assert with_older_names(here, there, lambda: older) == {"-a": Path("-a"), "=2Db": Path("-b"), "c": Path("c")}
