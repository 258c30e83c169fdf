"""What a transfer path is: a server at the far end, if it needs one, and a command at the near end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.transfer.paths.ends import End

UNPRIVILEGED = "nobody"
"""Whose rights servers take that refuse to have root's."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a path runs: both ends, and what is the path's own there: a port, and a folder at each end."""

    near: End
    far: End
    port: int
    near_folder: str
    far_folder: str
    far_user: str


@dataclass(frozen=True, slots=True)
class Errand:
    """Files to be carried: all of `folder` at the near end, into `into`, a folder below the path's at the far end."""

    folder: Path
    names: Sequence[str]
    into: str

    @property
    def sources(self) -> list[str]:
        """The files, with their folder."""
        return [str(self.folder / name) for name in self.names]


@dataclass(frozen=True, slots=True)
class Call:
    """A command, and what it needs besides.

    Attributes
    ----------
    leaves
        The folder at the far end that holds what has no name yet, if it is not the one where the files then lie.
    """

    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    leaves: str | None = None


class TransferPath(Protocol):
    """One way to carry files."""

    @property
    def name(self) -> str:
        """As the tables show it."""

    @property
    def near_programs(self) -> tuple[str, ...]:
        """What must be installed here."""

    @property
    def far_programs(self) -> tuple[str, ...]:
        """What must be installed there."""

    @property
    def how_to_get(self) -> str:
        """For people who lack them."""

    @property
    def verifies(self) -> str:
        """Which digest of the whole way it checks by itself; empty for none."""

    @property
    def needs_open_server(self) -> bool:
        """Whether its server takes files from anybody who reaches its port."""

    def prepare(self, setting: Setting) -> Call | None:
        """Write what the server needs, and return its command; None for a path without a server."""

    def send(self, setting: Setting, errand: Errand) -> Call:
        """Return the command that carries the files."""

    def arrived_at(self, setting: Setting, errand: Errand) -> str | None:
        """Return the folder at the far end where the files then lie; None where only the path itself can tell."""
