"""Which work folder a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.commands.find_work_folder import find_work_folder
from agents.journal.opening import NAME
from configuration import ConfigError


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which agents keep their work folders by default."""
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "cryoferry"


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / NAME).touch()
    return folder


def test_the_only_one_need_not_be_named(state: Path) -> None:
    with pytest.raises(ConfigError, match="no agent has worked on this machine"):
        find_work_folder(None, None)
    one = make(state / "one")
    assert find_work_folder(None, None) == one
    two = make(state / "two")
    with pytest.raises(ConfigError, match="several sessions: one, two"):
        find_work_folder(None, None)
    assert find_work_folder(None, "two") == two


def test_a_folder_without_a_journal_is_refused(state: Path, tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "elsewhere")
    assert find_work_folder(elsewhere, "ignored") == elsewhere
    with pytest.raises(ConfigError, match="no agent has worked in"):
        find_work_folder(tmp_path, None)
    with pytest.raises(ConfigError, match="no agent has worked in"):
        find_work_folder(None, "unknown")
