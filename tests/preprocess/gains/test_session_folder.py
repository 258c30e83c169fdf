"""Above which folder nothing is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess.gains.session_folder import session_folder


@pytest.mark.parametrize(
    ("movie", "folder"),
    [
        ("/data/s1/Images-Disc1/GridSquare_1/Data/FoilHole_1.tiff", "/data/s1"),
        ("/data/s1/frames/a.tif", "/data/s1"),
        ("/a.tif", "/"),
    ],
)
def test_session_folder(movie: str, folder: str) -> None:
    assert session_folder(Path(movie)) == Path(folder)
