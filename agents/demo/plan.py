"""What a demo does, and where its files are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SESSION = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What a demo does.

    Attributes
    ----------
    out
        The folder for all files of the demo.
    size_px
        Height and width of a movie.
    scipion
        The Scipion environment that the plugin's install.py made; None: nothing is registered in Scipion.
    keep
        Whether the receiver and the agent go on running at the end.
    """

    out: Path
    exposures: int
    size_px: int
    seed: int
    scipion: Path | None
    keep: bool
    as_json: bool

    @property
    def microscope(self) -> Path:
        """Return the folder that the simulated microscope writes the session to."""
        return self.out / "microscope" / "mysession"

    @property
    def receiver(self) -> Path:
        """Return the receiver's data folder."""
        return self.out / "receiver"

    @property
    def agent(self) -> Path:
        """Return the agent's work folder."""
        return self.out / "agent"

    @property
    def token_file(self) -> Path:
        """Return the file that holds the agent's token."""
        return self.out / "agent.token"

    @property
    def scipion_description(self) -> dict[str, Any] | None:
        """Return the description in the Scipion environment; None if there is no such environment."""
        description = self.scipion / "cryoferry-scipion.json" if self.scipion else None
        return json.loads(description.read_text("utf-8")) if description and description.is_file() else None
