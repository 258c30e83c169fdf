"""Writes a new token into a file that only its owner can read, from its first moment on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transfer.disk.files import open_to_write, sync_descriptor


@contextmanager
def token_file(path: Path) -> Iterator[int]:
    """Make an empty file for a token and give out its descriptor; if the block fails, the file is removed.

    Raises
    ------
    BadOption
        There is something of that name already, a link too, or the file cannot be made.
    """
    descriptor = _made(path)
    is_written = False
    try:
        yield descriptor
        sync_descriptor(descriptor)
        is_written = True
    finally:
        os.close(descriptor)
        if not is_written:
            with contextlib.suppress(OSError):
                path.unlink()


def require_free(path: Path) -> None:
    """Refuse the name of a file that exists; nothing is made.

    Raises
    ------
    BadOption
    """
    if os.path.lexists(path):
        raise _exists(path)


def _made(path: Path) -> int:
    from api.errors import BadOption

    try:
        return open_to_write(path, create=True, exclusive=True, mode=0o600)  # such an open follows no link
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise BadOption(
            f"--out: {path} cannot be made: {error.strerror}; no token was made",
            hint="Give a name in a folder that exists and that you may write to.",
        ) from error


def _exists(path: Path) -> Exception:
    from api.errors import BadOption

    return BadOption(
        f"--out: {path} exists already; no token was made",
        hint="Give another name. If its token is not needed any more, revoke it and remove the file.",
    )
