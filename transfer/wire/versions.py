"""Which versions of the protocol both sides speak, and the one that they use together.

Each side speaks a range of versions. The client reads the receiver's range (`GET /v1/service`), uses the highest
version that both speak, and names it in `Cryoferry-Protocol` from then on. docs/protocol.md says which changes need a
new version.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

from transfer.wire.errors import VersionMismatch

OLDEST_PROTOCOL, NEWEST_PROTOCOL = 1, 2


@dataclass(frozen=True, slots=True)
class SpokenVersions:
    """What one side is: the version of its software, and the versions of the protocol that it speaks."""

    software: str
    oldest: int = OLDEST_PROTOCOL
    newest: int = NEWEST_PROTOCOL

    def __str__(self) -> str:
        """Describe the side for a message."""
        versions = f"{self.newest}" if self.oldest == self.newest else f"{self.oldest} to {self.newest}"
        return f"cryoferry {self.software} (protocol version {versions})"


def our_versions() -> SpokenVersions:
    """Return what this software speaks."""
    return SpokenVersions(importlib.metadata.version("cryoferry"))


def agreed_version(client: SpokenVersions, receiver: SpokenVersions) -> int:
    """Return the highest version of the protocol that both sides speak.

    Raises
    ------
    VersionMismatch
        There is none. The text names both sides and which of them is the older one.
    """
    version = min(client.newest, receiver.newest)
    if version >= max(client.oldest, receiver.oldest):
        return version
    raise mismatch(client, receiver)


def mismatch(client: SpokenVersions, receiver: SpokenVersions) -> VersionMismatch:
    """Return the error that two sides have no version in common."""
    older = "receiver" if receiver.newest < client.oldest else "client"
    where = "on the receiver's machine" if older == "receiver" else "on the machine that sends"
    return VersionMismatch(
        f"the client runs {client}, the receiver runs {receiver}: they have no version in common, the {older} is older",
        hint=f"Upgrade cryoferry {where}. Nothing is lost: what was not sent is sent after that.",
        older=older,
        client_software=client.software,
        receiver_software=receiver.software,
    )
