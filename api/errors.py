"""Why the receiver cannot start.

* ReceiverError
  + UnsafeAddress           tokens would cross a network in clear text
  + BadOption               options that contradict each other
  + DataFolderUnusable      cannot be written, or its file system cannot do what a commit needs
  + DataFolderInUse         another receiver uses it
  + WrongDatabase           it belongs to another data folder
  + DatabaseUnavailable     its server cannot be reached, or refuses
  + PortTaken

The user reads a class's docstring as the message. The command exits with `exit_code` and shows `hint`. The errors of
requests are in `transfer.wire.errors`.
"""

from __future__ import annotations

from typing import ClassVar


class ReceiverError(Exception):
    """The receiver cannot start."""

    exit_code: ClassVar[int] = 1
    hint: str = ""

    def __init__(self, detail: str = "", *, hint: str | None = None) -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip().splitlines()[0])
        if hint is not None:
            self.hint = hint


class UnsafeAddress(ReceiverError):
    """Tokens would cross the network in clear text."""

    exit_code = 2
    hint = (
        "Give --tls-cert and --tls-key, or --behind-proxy when a proxy on this machine does TLS, or a loopback --host."
    )


class BadOption(ReceiverError):
    """These options do not go together."""

    exit_code = 2


class DataFolderUnusable(ReceiverError):
    """The receiver cannot keep its data in this folder."""

    exit_code = 7
    hint = (
        "Give --data a folder that this user may write, on a local file system with hard links (ext4, XFS, Btrfs, ZFS)."
    )


class DataFolderInUse(ReceiverError):
    """Another receiver is using this data folder."""

    hint = "Stop it first (one `cryoferry serve` a data folder), or give another --data."


class WrongDatabase(ReceiverError):
    """The data folder and the database do not belong together."""

    exit_code = 2


class DatabaseUnavailable(ReceiverError):
    """The receiver's database cannot be used."""

    hint = "Check that the database server runs, and what --database names: host, port, user, password, database."


class PortTaken(ReceiverError):
    """Another program listens on this port."""

    hint = "Stop it, or give another --port (0 takes a free one)."
