"""What a demo shows, and where everything of it lies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SESSION = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What to show. `scipion` is an environment made by the plugin's install.py, or None to do without."""

    out: Path
    exposures: int
    size_px: int
    seed: int
    scipion: Path | None
    keep: bool
    as_json: bool

    @property
    def microscope(self) -> Path:
        """Return the session's folder at the microscope."""
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
        """Return what the Scipion environment says of itself; None where there is none."""
        description = self.scipion / "cryoferry-scipion.json" if self.scipion else None
        return json.loads(description.read_text("utf-8")) if description and description.is_file() else None
