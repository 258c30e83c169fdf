"""What other users can read of a receiver is warned of at its start and by `receiver check`, with what ends it."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import prepared
from api.commands.serve import SHOWN_IN_LIST
from api.settings import ReceiverSettings
from api.store.readable_by_others import readable_by_others, readable_secrets
from tests.conftest import ProcessReceiver
from tests.running import cryoferry


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that everybody can reach: pytest's own is closed."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def made(folder: Path, mode: int) -> Path:
    data = folder / "my data"
    with prepared(ReceiverSettings(data=data)):
        pass
    data.chmod(mode)
    return data


def found(data: Path) -> list[str]:
    return list(readable_by_others(data, data / "receiver.sqlite"))


def obey(warnings: list[str]) -> None:
    for warning in warnings:
        subprocess.run(shlex.split(warning.partition("To end that: ")[2]), check=True)


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "count"),
    [
        (0o700, 0o600, 0),  # as we make them
        (0o750, 0o600, 0),  # for Scipion under another user
        (0o700, 0o644, 0),  # nobody gets there
        (0o755, 0o600, 1),
        (0o750, 0o640, 1),
        (0o755, 0o644, 2),
    ],
)
def test_a_warning_for_each_and_its_command_ends_it(folder, folder_mode: int, file_mode: int, count: int) -> None:
    data = made(folder, folder_mode)
    for name in ("receiver.sqlite", "receiver.sqlite-wal"):
        (data / name).touch()
        (data / name).chmod(file_mode)
    warnings = found(data)
    assert len(warnings) == count
    assert all(str(data) in warning for warning in warnings)
    if file_mode != 0o600 and count:
        assert "receiver.sqlite-wal" in warnings[-1]
    obey(warnings)
    assert found(data) == []


def test_a_private_key_and_what_a_closed_folder_holds(folder) -> None:
    key = folder / "key.pem"
    key.touch()
    key.chmod(0o640)
    (warning,) = readable_secrets([key, folder / "missing"])
    assert str(key) in warning
    folder.chmod(0o700)
    assert list(readable_secrets([key])) == []
    folder.chmod(0o755)
    obey([warning])
    assert list(readable_secrets([key])) == []


def test_serve_and_check_warn_once_of_an_open_folder(folder, tmp_path) -> None:
    data = made(folder, 0o755)
    receiver = ProcessReceiver(data, tmp_path / "log", options=("--workers", "2"))
    receiver.start()
    receiver.kill()
    warning = f"chmod o-rwx '{data}'"
    assert receiver.log.read_text().count(warning) == 1
    checked = cryoferry("receiver", "check", "--data", data)
    assert checked.stderr.count(warning) == 1


@pytest.mark.parametrize("where", ["command line", "environment", "file"])
def test_a_password_that_others_can_see(folder, where: str) -> None:
    file, url = folder / "c.toml", "postgresql://somebody:secret@127.0.0.1:1/x"
    more, environment = (), {}
    if where == "command line":
        more = ("--database", url)
    elif where == "environment":
        environment = {"CRYOFERRY_SERVE__DATABASE": url}
    file.write_text(f'[serve]\ndatabase = "{url}"\n' if where == "file" else "")
    file.chmod(0o644)
    done = cryoferry("--config", file, "serve", "--data", folder / "data", "--port", 0, *more, **environment)
    assert done.returncode != 0  # nobody listens there
    assert (SHOWN_IN_LIST in done.stderr) == (where == "command line")
    assert (f"chmod go-rwx {file}" in done.stderr) == (where == "file")
    assert "secret@" not in done.stderr
