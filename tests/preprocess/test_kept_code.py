"""Where compiled code is kept: the first folder that can be written to, and none that others could write to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from preprocess import kept_code as module
from preprocess.kept_code import (
    FALLBACK_VARIABLE,
    FOLDER_VARIABLE,
    KERNELS_VARIABLE,
    KeptCode,
    kept_code,
    kept_kernels,
)


@pytest.fixture
def unwritable_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package lie where nobody can write: below a file."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(module, "_COMPILED_PARTS", (tmp_path / "file" / "movies",))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_beside_its_source_if_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMPILED_PARTS", (tmp_path / "movies",))
    assert kept_code({}) == KeptCode(folder=None)


@pytest.mark.usefixtures("unwritable_source")
def test_the_first_other_folder_that_can_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    systemd, cache, fallback = tmp_path / "systemd", tmp_path / "cache", tmp_path / "work" / "compiled"
    usual = {"CACHE_DIRECTORY": f"{systemd}:/other", "XDG_CACHE_HOME": str(cache), FALLBACK_VARIABLE: str(fallback)}
    assert kept_code(usual).folder == systemd / "compiled"
    systemd.joinpath("compiled").rmdir()
    systemd.rmdir()
    systemd.touch()
    assert kept_code(usual).folder == cache / "cryoferry" / "compiled"
    assert kept_code({}).folder == tmp_path / "home" / ".cache" / "cryoferry" / "compiled"
    (tmp_path / "home").rename(tmp_path / "home.away")
    (tmp_path / "home").touch()  # the service's user has no home
    assert kept_code({FALLBACK_VARIABLE: str(fallback)}).folder == fallback
    own = kept_code({}).folder
    assert own is not None
    assert own.parent == tmp_path / "temporary"
    assert own.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("unwritable_source")
def test_no_folder_that_others_can_write_to(tmp_path: Path) -> None:
    for name in ("home", "temporary"):
        (tmp_path / name).touch()
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    kept = kept_code({FALLBACK_VARIABLE: str(folder)})
    assert kept.folder is None
    assert f"other users can write to {folder}" in kept.trouble


@pytest.mark.usefixtures("unwritable_source")
def test_the_trouble_names_every_folder_that_was_tried(tmp_path: Path) -> None:
    for name in ("home", "cache", "temporary"):
        (tmp_path / name).touch()
    kept = kept_code({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert kept.folder is None
    for folder in (tmp_path / "file" / "movies", tmp_path / "cache", tmp_path / "home"):
        assert str(folder) in kept.trouble


def test_a_folder_that_is_named_is_the_only_one(tmp_path: Path) -> None:
    named = tmp_path / "named"
    assert kept_code({FOLDER_VARIABLE: str(named)}) == KeptCode(folder=named)
    (tmp_path / "file").touch()
    kept = kept_code({FOLDER_VARIABLE: str(tmp_path / "file"), "XDG_CACHE_HOME": str(tmp_path)})
    assert kept.folder is None
    assert kept.trouble.startswith(f"{FOLDER_VARIABLE}: nothing can be written to {tmp_path / 'file'}")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to make a folder of another user")
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    assert "other users can write" in kept_code({FOLDER_VARIABLE: str(folder)}).trouble


@pytest.mark.usefixtures("unwritable_source")
def test_cuda_kernels_lie_in_cupys_own_folder_or_another_that_can_be_written_to(tmp_path: Path) -> None:
    assert kept_kernels({}).folder == tmp_path / "home/.cupy/kernel_cache"
    (tmp_path / "home").rename(tmp_path / "home.away")
    (tmp_path / "home").touch()  # the service's user has no home
    assert kept_kernels({FALLBACK_VARIABLE: str(tmp_path / "work")}).folder == tmp_path / "work/cuda"
    assert kept_kernels({KERNELS_VARIABLE: str(tmp_path / "named")}).folder == tmp_path / "named"
    refused = kept_kernels({KERNELS_VARIABLE: str(tmp_path / "home" / "below"), FALLBACK_VARIABLE: str(tmp_path)})
    assert refused.folder is None
    assert KERNELS_VARIABLE in refused.trouble
