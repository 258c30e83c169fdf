"""Where the files of a flow benchmark lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SESSION = "flow"


@dataclass(frozen=True, slots=True)
class FlowPlace:
    """The folder of one flow benchmark.

    Attributes
    ----------
    database
        URL of the receiver's PostgreSQL database; None: SQLite in its data folder.
    scipion
        Scipion's environment; None: nothing is registered in Scipion.
    relion
        Whether the session gets a RELION STAR file.
    """

    folder: Path
    database: str | None = None
    scipion: Path | None = None
    relion: bool = True

    @property
    def source(self) -> Path:
        """Return the folder that the agent watches."""
        return self.folder / "source"

    @property
    def staging(self) -> Path:
        """Return the folder in which movies wait for their turn."""
        return self.folder / "staging"

    @property
    def agent(self) -> Path:
        """Return the agent's work folder."""
        return self.folder / "agent"

    @property
    def receiver(self) -> Path:
        """Return the receiver's data folder."""
        return self.folder / "receiver"

    @property
    def registrars(self) -> tuple[str, ...]:
        """Return the names of the registrars."""
        return (("scipion",) if self.scipion else ()) + (("relion",) if self.relion else ())

    def database_bytes(self) -> int | None:
        """Return the size of the receiver's database; None if it is not in the data folder."""
        return None if self.database else (self.receiver / "receiver.sqlite").stat().st_size

    def journal_bytes(self) -> int:
        """Return the size of the agent's journal."""
        return (self.agent / "journal.sqlite").stat().st_size
