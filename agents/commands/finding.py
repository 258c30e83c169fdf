"""What a check of this machine or of the link says, and what is to be checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    text: str
    what_to_do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is to be checked; None: do not check it."""

    work: Path
    url: str | None = None
    session: str | None = None
    token_file: Path | None = None
    ca: Path | None = None
    clear_text: bool = False
    scipion: Path | None = None
