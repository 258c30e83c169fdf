"""Finds the work folder of an agent, for the commands that read or change its journal."""

from __future__ import annotations

from pathlib import Path

from agents.journal.journal import NAME
from configuration import ConfigError, state_folder


def find_work_folder(work: Path | None, session: str | None) -> Path:
    """Return the work folder that is meant: the one given, the session's, or the only one there is.

    Raises
    ------
    ConfigError
    """
    if work is not None or session is not None:
        folder = work or state_folder() / str(session)
        if not (folder / NAME).is_file():
            raise ConfigError(
                f"no agent has worked in {folder}",
                hint="Give the --session or the --work that `cryoferry watch` was given.",
            )
        return folder
    found = sorted(path.parent for path in state_folder().glob(f"*/{NAME}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(
            "no agent has worked on this machine with this user's account",
            hint="Start one with `cryoferry watch`. If it works in another folder, give that --work DIR.",
        )
    names = ", ".join(folder.name for folder in found)
    raise ConfigError(f"there are several sessions: {names}", hint="Give one of them with --session NAME.")
