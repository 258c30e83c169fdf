"""The operator's settings for registration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from api import defaults

FOLLOWER_BYTES = 145_000_000
"""Memory of one follower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarSettings:
    """Which registrars run, and where they write.

    Attributes
    ----------
    scipion
        The Scipion to register in: a folder made by `deploy/scipion-plugin/install.py`, the Python interpreter of an
        existing Scipion in which the plugin is installed, or a command line that starts such a Scipion's launcher.
        None: no Scipion.
    projects
        Folder for the Scipion projects, one for each session. None: `scipion-projects` in the data folder.
    scipion_workflow
        Workflow that Scipion exported, to schedule behind the follower of each session. None: only where a session has
        one of its own.
    followers
        Whether the followers of Scipion's projects end with the receiver, or stay for the next one.
    follower_idle_s
        A follower ends when its session is quiet for this time, and starts again with the next data; 0: it stays.
    max_followers
        How many may run at the same time; None: as many as fit into a quarter of the machine's memory.
    relion
        Whether each session gets a RELION STAR file.
    mtf
        STAR file with the MTF of the camera, which each session's folder for RELION gets a copy of. None: no MTF.
    float16
        Whether all programs that use registered micrographs can read MRC mode 12. If not, they get float32 copies.
    """

    scipion: str | None = None
    projects: Path | None = None
    scipion_workflow: Path | None = None
    followers: defaults.FollowersAtEnd = defaults.FOLLOWERS
    follower_idle_s: float = defaults.FOLLOWER_IDLE_MIN * 60.0
    max_followers: int | None = None
    relion: bool = defaults.RELION
    mtf: Path | None = None
    float16: bool = defaults.FLOAT16

    def names(self) -> tuple[str, ...]:
        """Return the names of the registrars that run, as they stand in the `registrations` table."""
        return (("scipion",) if self.scipion else ()) + (("relion",) if self.relion else ())
