"""The folder of a movie's session, where nobody says which it is."""

from __future__ import annotations

import re
from pathlib import Path

_EPU_DISC = re.compile(r"Images-Disc\d+", re.ASCII | re.IGNORECASE)


def session_folder(movie: Path) -> Path:
    """Return the folder above which nothing of a movie's session is looked for.

    That is EPU's session folder, the one with `Images-Disc1` in it; else the one above the movie's.
    """
    disc = next((folder for folder in movie.parents if _EPU_DISC.fullmatch(folder.name)), None)
    return movie.parent.parent if disc is None else disc.parent
