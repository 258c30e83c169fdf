"""Answers `status` and does `retry`: reads and changes the journal from outside, whether the agent runs or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.journal.journal import NAME, Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import SET_ASIDE, State
from agents.workers.jobs import same_result, with_changes
from configuration import ConfigError, state_folder
from transfer.client import ReceiverClient


def find_work_folder(work: Path | None, session: str | None) -> Path:
    """Return the work folder that is meant: the one given, the session's, or the only one there is.

    Raises
    ------
    ConfigError
    """
    if work is not None or session is not None:
        folder = work or state_folder() / str(session)
        if not (folder / NAME).is_file():
            raise ConfigError(f"no agent has worked in {folder}", hint="Give the --work that `watch` was given.")
        return folder
    found = sorted(path.parent for path in state_folder().glob(f"*/{NAME}"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(folder.name for folder in found) or "none"
    raise ConfigError(f"which session? There are: {names}", hint="Give --session NAME or --work DIR.")


def registrations(client: ReceiverClient, session: str) -> dict[tuple[str, int], dict[str, str]]:
    """Return the state of each registrar by (exposure id, revision), as the receiver tells.

    Raises
    ------
    TransferError
    """
    found: dict[tuple[str, int], dict[str, str]] = {}
    after: str | None = None
    while True:
        page = client.exposures(session, after)
        for exposure in page.exposures:
            key = (str(exposure.record.exposure_id), exposure.record.revision)
            found[key] = {entry.registrar: entry.state.value for entry in exposure.registrations}
        after = page.next
        if after is None:
            return found


class RetryRefused(ConfigError):
    """This exposure cannot be tried again like that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What `retry` does with one exposure: `action` is `align` or `send`."""

    exposure: ExposureRow
    action: str
    changes: dict[str, Any]


def plan_retry(
    journal: Journal, work: Path, targets: Sequence[str], *, failed: bool, changed: dict[str, Any]
) -> list[Retry]:
    """Return what to do again; nothing is changed yet.

    Parameters
    ----------
    targets
        Exposure ids, movies (relative to the source) or labels.
    failed
        Every exposure that is set aside.
    changed
        Nested JSON: what to change in the agent's settings for them.

    Raises
    ------
    RetryRefused
        One is unknown, still on its way, or done already with the same settings.
    """
    exposures = journal.exposures()
    chosen = [exposure for exposure in exposures if failed and exposure.state in SET_ASIDE]
    for target in targets:
        named = [e for e in exposures if target in (str(e.exposure_id), e.movie)] or [
            e for e in exposures if e.label == target
        ]
        if len(named) != 1:
            what = f"{len(named)} exposures are named {target}" if named else f"no exposure is named {target}"
            raise RetryRefused(what, hint="`cryoferry status` lists movies and exposure ids.")
        chosen += [exposure for exposure in named if exposure not in chosen]
    return [_planned(journal, work, exposure, changed) for exposure in chosen]


def _planned(journal: Journal, work: Path, exposure: ExposureRow, changed: dict[str, Any]) -> Retry:
    changes = with_changes(exposure.changes, changed)
    if exposure.state in SET_ASIDE:
        outputs = journal.outputs(exposure.exposure_id, exposure.revision)
        complete = bool(outputs) and all((work / output.local_path).is_file() for output in outputs)
        return Retry(exposure=exposure, action="send" if complete and not changed else "align", changes=changes)
    if exposure.state != State.RELEASED:
        raise RetryRefused(
            f"{exposure.movie} is still on its way ({exposure.state})", hint="Wait until it is released or set aside."
        )
    base = json.loads(journal.about("settings") or "{}")
    if exposure.settings is not None and same_result(with_changes(base, changes), exposure.settings):
        raise RetryRefused(
            f"{exposure.movie} is done already, and with these settings it would come out the same",
            hint="Give what is to be different, such as --gain or --pixel-size; it becomes the next revision.",
        )
    source = Path(journal.about("source") or "")
    if not (source / exposure.movie).is_file():
        raise RetryRefused(f"{exposure.movie} is not in {source} any more", hint="Put the movie back there first.")
    return Retry(exposure=exposure, action="align", changes=changes)


def do_retry(journal: Journal, retry: Retry) -> ExposureRow:
    """Take an exposure back to where it is aligned or sent again; a running agent notices by itself."""
    if retry.action == "send":
        return journal.change(retry.exposure.exposure_id, State.ALIGNED, "tried again")
    return journal.begin_again(retry.exposure.exposure_id, "tried again", retry.changes)
