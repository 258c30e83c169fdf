"""Finds an agent's work folder, and plans `retry`: changes the journal from outside, whether the agent runs or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.journal.journal import NAME, Journal
from agents.journal.rows import ExposureRow
from agents.journal.states import SET_ASIDE, State
from agents.workers.jobs import same_result, with_changes
from configuration import ConfigError, state_folder

if TYPE_CHECKING:
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


def registrations(client: ReceiverClient, session: str) -> dict[tuple[str, int], dict[str, str]]:
    """Return the state of each registrar by (exposure id, revision), as the receiver has it.

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
    """This exposure cannot be processed again like that."""


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
        Every exposure that is failed or held.
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
            raise RetryRefused(
                what, hint="`cryoferry status` lists the movies. Name one by its whole path, or by its exposure id."
            )
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
            f"{exposure.movie} is still being processed (state: {exposure.state})",
            hint="Wait until it is released, failed or held.",
        )
    base = json.loads(journal.about("settings") or "{}")
    if exposure.settings is not None and same_result(with_changes(base, changes), exposure.settings):
        raise RetryRefused(
            f"{exposure.movie} is done already, and the same settings would give the same result",
            hint="Give what should change, such as --gain or --pixel-size. The result becomes the next revision.",
        )
    source = Path(journal.about("source") or "")
    if not (source / exposure.movie).is_file():
        raise RetryRefused(f"{exposure.movie} is no longer in {source}", hint="Put the movie back first.")
    return Retry(exposure=exposure, action="align", changes=changes)


def do_retry(journal: Journal, retry: Retry) -> ExposureRow:
    """Change an exposure's state so that it is aligned or sent again. A running agent notices it."""
    if retry.action == "send":
        return journal.change(retry.exposure.exposure_id, State.ALIGNED, "tried again")
    return journal.begin_again(retry.exposure.exposure_id, "tried again", retry.changes)
