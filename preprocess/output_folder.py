"""Checks the folder for the results of a command before the work begins. Imports nothing heavy."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from preprocess.errors import OutputRefused


def refuse_unwritable(out: Path) -> None:
    """Refuse a folder for the results that is no folder, or where nothing can be written; leave nothing behind.

    Raises
    ------
    OutputRefused
    """
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        what = "is a file, not a folder" if nearest == out.absolute() else f"cannot be made: {nearest} is a file"
        raise OutputRefused(f"{out} {what}", hint="Give a folder with --out.")
    try:
        Path(tempfile.mkdtemp(prefix=".cryoferry-", dir=nearest)).rmdir()
    except OSError as error:
        raise OutputRefused(
            f"nothing can be written to {out}: {error.strerror}",
            hint="Give another --out, or change the permissions of that folder.",
        ) from error
