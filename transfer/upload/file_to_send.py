"""What the caller says about a file that is to be sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transfer.pace.pacer import Priority
from transfer.source import FileNumber
from transfer.wire.protocol import ListedFile

OnProgress = Callable[[int], None]
"""Called from several threads, with a number of bytes that the receiver has now (sent, or already there)."""


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file, and the name that it gets on the receiver.

    Attributes
    ----------
    source
        The file on this machine.
    session, path, revision
        Its name on the receiver.
    digest
        The root digest that the file must have, for example from a journal; None: any content is sent.
    listed
        The file that the receiver has listed under this name, if the caller asked. A small file
        that the receiver has on its disk is then not sent again. A large one never is, since it is declared first.
    number
        Which file must lie there; None: any. So a link that is made after a folder was read leads nowhere else.
    priority
        Whether files in the foreground go first.
    """

    source: Path
    session: str
    path: str
    revision: int = 1
    digest: str | None = None
    listed: ListedFile | None = None
    priority: Priority = Priority.FOREGROUND
    number: FileNumber | None = None
