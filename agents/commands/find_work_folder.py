"""Finds the work folder of an agent, for the commands that read or change its journal."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from agents.commands.receiver_access import ReceiverAccess
from agents.journal.opening import NAME, JournalError
from agents.journal.reader import JournalReader
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
                hint="Give the --session or the --work that `cryoferry watch` was given; `--to URL` asks a receiver.",
            )
        return folder
    found = sorted(path.parent for path in state_folder().glob(f"*/{NAME}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(
            "no agent has worked on this machine with this user's account",
            hint="Start one with `cryoferry watch`. If it works in another folder, give that --work DIR."
            " On another machine, `cryoferry status --to URL` asks the receiver.",
        )
    names = ", ".join(folder.name for folder in found)
    raise ConfigError(f"there are several sessions: {names}", hint="Give one of them with --session NAME.")


def folder_that_sends_to(receiver: ReceiverAccess, session: str | None) -> Path | None:
    """Return the work folder of the agent on this machine that sends (this session) to that receiver.

    None: there is none in the default place, or several.
    """
    found = []
    for path in sorted(state_folder().glob(f"*/{NAME}")):
        if session is None or path.parent.name == session:
            with suppress(JournalError), JournalReader(path.parent) as journal:
                if receiver.is_noted(journal):
                    found.append(path.parent)
    return found[0] if len(found) == 1 else None
