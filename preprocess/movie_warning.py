"""What a person should know about a movie that was processed all the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MovieWarning:
    """One warning.

    Attributes
    ----------
    code : str
        The kind of warning, for programs: lower case, with hyphens.
    text : str
        The sentence that people read.
    frame : int | None
        Number of the frame that it is about, from 1; None: the movie.
    """

    code: str
    text: str
    frame: int | None = None

    def __str__(self) -> str:
        """Return the text."""
        return self.text
