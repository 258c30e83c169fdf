"""An input that can never be read is no trouble of the share."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agents.finding.movie_inputs import NamedInputs
from agents.finding.source_access import DirectAccess
from agents.journal.inputs import InputKind
from agents.share_errors import error_of_share
from preprocess.layouts import FLAT, SERIALEM


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    path = tmp_path / "0.tif"
    path.write_bytes(b"x")
    return path


def test_a_pipe_is_refused_at_once_and_is_no_input_that_is_there(movie: Path) -> None:
    pipe = movie.with_name("pipe.txt")
    os.mkfifo(pipe)
    access = DirectAccess(movie.parent, FLAT)
    with pytest.raises(OSError, match="it is a pipe or a device") as caught:
        access.check_readable(pipe)
    assert error_of_share(caught.value) is None
    found = access.inputs(movie, NamedInputs(gain=pipe, defects=pipe))
    assert [(each.kind, each.identity) for each in found] == [(InputKind.GAIN, None), (InputKind.DEFECTS, None)]


@pytest.mark.parametrize("name", ["0.xml", "0.tif.mdoc"])
def test_a_sidecar_that_is_far_too_large_says_nothing(movie: Path, name: str) -> None:
    movie.with_name(name).touch()
    os.truncate(movie.with_name(name), 8 << 30)
    access = DirectAccess(movie.parent, SERIALEM)
    (found,) = access.inputs(movie, NamedInputs())
    assert access.input_digest(found.kind, found.path, movie) is None


def test_a_sidecar_that_the_share_does_not_let_be_read_is_trouble(movie: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar = movie.with_name("0.xml")
    sidecar.write_bytes(b"x")

    def fail(*_: object) -> int:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Stale"):
        DirectAccess(movie.parent, FLAT).input_digest(InputKind.SIDECAR, sidecar, movie)
