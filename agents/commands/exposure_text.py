"""How commands show an exposure, and what keeps the agent waiting: as text and as JSON. Imports nothing heavy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agents.journal.states import PAUSED, State

if TYPE_CHECKING:
    from agents.journal.changes import ExposureChanged
    from agents.journal.journal import Journal
    from agents.journal.reader import JournalReader, ListedExposure
    from agents.journal.rows import ExposureRow

STYLES = {
    State.FOUND: "dim",
    State.FINISHED: "cyan",
    State.ALIGNED: "blue",
    State.SENDING: "magenta",
    State.COMMITTED: "green",
    State.RELEASED: "bold green",
    State.HELD: "yellow",
    State.FAILED: "bold red",
}


def as_json(exposure: ExposureRow | ExposureChanged | ListedExposure) -> dict[str, Any]:
    """Return what `--json` says about an exposure."""
    return {
        "exposure_id": str(exposure.published_id),
        "movie": exposure.movie,
        "label": exposure.label,
        "state": exposure.state.value,
        "reason": exposure.reason,
        "hint": exposure.hint,
        "revision": exposure.revision,
        "motion_angstrom": exposure.motion_angstrom,
        "warnings": list(exposure.warnings),
    }


def since(seconds: float, *, now_s: float | None = None) -> str:
    """Return how long ago a moment was, in words; times are seconds since 1970, by default it is now by this clock."""
    passed = max(0.0, (time.time() if now_s is None else now_s) - seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{passed / length:.0f} {unit}"
    return f"{passed:.0f} s"


def troubles(journal: Journal | JournalReader) -> list[str]:
    """Return what keeps the agent waiting now, one sentence each."""
    found = []
    if trouble := journal.about("lease_trouble"):
        found.append(f"waiting: {trouble}")
    if trouble := journal.about("receiver_trouble"):
        lasts = since(float(journal.about("receiver_trouble_since") or 0))
        found.append(f"receiver: {trouble.rstrip('.')}. It has been so for {lasts}")
    if trouble := journal.about("source_trouble"):
        found.append(f"source: {trouble}")
    if trouble := journal.about("work_full"):
        found.append(f"work folder: {trouble}")
    if journal.about(PAUSED):
        found.append("paused: nothing new is aligned or sent until an admin of the receiver resumes this agent")
    return found
