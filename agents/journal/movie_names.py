"""How the agent names a movie: by the text of its path below the source; and where that movie lies.

The journal, the wire, logs and people get the text. Only `movie_path` leads back to the file: also after a restart.
"""

from __future__ import annotations

from pathlib import Path

from preprocess.escaped_names import escaped, unescaped


def movie_name(path: str) -> str:
    """Return the name of a movie from its path relative to the source, as Python holds it."""
    return escaped(path)


def relative_path(movie: str) -> str:
    """Return the path of a movie relative to the source, as Python holds it."""
    return unescaped(movie)


def movie_path(source: Path, movie: str) -> Path:
    """Return where a movie lies."""
    return source / unescaped(movie)
