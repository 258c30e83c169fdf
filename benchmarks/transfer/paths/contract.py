"""What a transfer path is: a server at the far end, if it needs one, and a command at the near end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.transfer.paths.ends import End

UNPRIVILEGED = "nobody"
"""The user for servers that refuse to run as root."""


@dataclass(frozen=True, slots=True)
class PathSetup:
    """Where a path runs: both ends, and what is the path's own there: a port, and a folder at each end."""

    near: End
    far: End
    port: int
    near_folder: str
    far_folder: str
    far_user: str


@dataclass(frozen=True, slots=True)
class Job:
    """Files to transfer: all of `folder` at the near end, into `into`, a folder below the path's at the far end."""

    folder: Path
    names: Sequence[str]
    into: str

    @property
    def sources(self) -> list[str]:
        """The files, with their folder."""
        return [str(self.folder / name) for name in self.names]


@dataclass(frozen=True, slots=True)
class Call:
    """A command and what it needs.

    Attributes
    ----------
    leaves
        The folder at the far end that holds unfinished files, if it is not the folder of the finished ones.
    """

    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    leaves: str | None = None


class TransferPath(Protocol):
    """One way to transfer files."""

    @property
    def name(self) -> str:
        """As the tables show it."""

    @property
    def near_programs(self) -> tuple[str, ...]:
        """The programs that the near end needs."""

    @property
    def far_programs(self) -> tuple[str, ...]:
        """The programs that the far end needs."""

    @property
    def how_to_get(self) -> str:
        """For people who lack them."""

    @property
    def verifies(self) -> str:
        """Which end-to-end digest the path checks itself; empty for none."""

    @property
    def needs_open_server(self) -> bool:
        """Whether its server takes files from anybody who reaches its port."""

    def prepare(self, setup: PathSetup) -> Call | None:
        """Write what the server needs, and return its command; None for a path without a server."""

    def send(self, setup: PathSetup, job: Job) -> Call:
        """Return the command that transfers the files."""

    def arrived_at(self, setup: PathSetup, job: Job) -> str | None:
        """Return the folder at the far end that holds the files afterwards; None if only the path itself knows."""
