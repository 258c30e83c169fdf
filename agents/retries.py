"""Processes exposures again: plans it and enters it in the journal.

The command `cryoferry retry` does this from outside, whether an agent runs or not. An agent does it for a request that
it got through the receiver.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from agents.journal.inputs import WAITS
from agents.journal.journal import Journal
from agents.journal.movie_names import movie_path
from agents.journal.retryable import RetryableExposure
from agents.journal.rows import ExposureRow
from agents.journal.states import SET_ASIDE, State
from agents.share_errors import error_of_share
from agents.workers.jobs import same_result, with_changes
from configuration import ConfigError
from preprocess.escaped_names import unescaped
from transfer.wire.exposure_claim import ClaimReason


class RetryRefused(ConfigError):
    """This exposure cannot be processed again in this way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What `retry` does with one exposure: `action` is `align` or `send`."""

    exposure: ExposureRow
    action: str
    changes: dict[str, Any]


def plan_retry(
    journal: Journal,
    work: Path,
    targets: Sequence[str],
    *,
    changed: dict[str, Any],
    look: Callable[[Path], object] = Path.stat,
) -> list[Retry]:
    """Return what would be done again; this changes nothing.

    Parameters
    ----------
    targets
        Exposure ids, movies (relative to the source) or labels.
    changed
        What to change in the agent's settings for these exposures, as nested JSON.
    look
        Looks at a movie; raises OSError if that is not possible.

    Raises
    ------
    RetryRefused
        An exposure is unknown, is still being processed, was released with the same settings, or its movie is gone
        or cannot be looked at.
    """
    chosen = dict[UUID, ExposureRow]()
    for target in targets:
        named = _named(journal, target)
        if len(named) != 1:
            what = f"{len(named)} exposures are named {target}" if named else f"no exposure is named {target}"
            raise RetryRefused(
                what,
                hint="`cryoferry status --all` lists the movies. Name one by its whole path, or by its exposure id.",
            )
        chosen[named[0].exposure_id] = journal.exposure(named[0].exposure_id)
    return [_planned(journal, work, exposure, changed, look) for exposure in chosen.values()]


def _named(journal: Journal, target: str) -> list[RetryableExposure]:
    """Return the exposures that an id, a movie or a label names.

    Several rows can have one id on the receiver, because its movie was found under several paths. The one that was
    aligned here is meant, or else the one that was found last.
    """
    exactly, published, labelled = list[RetryableExposure](), list[RetryableExposure](), list[RetryableExposure]()
    for exposure in journal.retryable.all():
        if target in (str(exposure.exposure_id), exposure.movie):
            exactly.append(exposure)
        if str(exposure.published_id) == target:
            published.append(exposure)
        if exposure.label == target:
            labelled.append(exposure)
    aligned_here = [exposure for exposure in published if exposure.has_record]
    return exactly or aligned_here[-1:] or published[-1:] or labelled


def _planned(
    journal: Journal, work: Path, exposure: ExposureRow, changed: dict[str, Any], look: Callable[[Path], object]
) -> Retry:
    changes = with_changes(exposure.changes, changed)
    if exposure.state in SET_ASIDE:
        outputs = journal.outputs(exposure.exposure_id, exposure.revision)
        complete = bool(outputs) and all((work / output.local_path).is_file() for output in outputs)
        return Retry(exposure=exposure, action="send" if complete and not changed else "align", changes=changes)
    if exposure.state == State.FOUND and WAITS in exposure.reason and changed:
        return Retry(exposure=exposure, action="align", changes=changes)
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
    _refuse_if_gone(journal.about("source") or "", exposure.movie, look)
    return Retry(exposure=exposure, action="align", changes=changes)


def _refuse_if_gone(source: str, movie: str, look: Callable[[Path], object]) -> None:
    try:
        look(movie_path(Path(unescaped(source)), movie))
    except OSError as error:
        if (of_share := error_of_share(error)) is not None:
            text = f"{source} cannot be read: {of_share.strerror}"
            raise RetryRefused(text, hint="Try again when it can be read.") from error
        raise RetryRefused(f"{movie} is no longer in {source}", hint="Put the movie back first.") from error


def do_retry(journal: Journal, retry: Retry) -> ExposureRow:
    """Change an exposure's state so that it is aligned or sent again. A running agent notices it."""
    if retry.action == "send":
        return journal.change(retry.exposure.exposure_id, State.ALIGNED, "tried again")
    if retry.exposure.state == State.FOUND:
        return journal.change_settings(
            retry.exposure.exposure_id, "its settings changed while it waited", retry.changes
        )
    return journal.begin_again(retry.exposure.exposure_id, "tried again", retry.changes, reason=ClaimReason.RETRY)


def retry_one(journal: Journal, work: Path, exposure_id: UUID, look: Callable[[Path], object] = Path.stat) -> str:
    """Process one exposure again with its settings unchanged; return why not, or an empty text."""
    try:
        (planned,) = plan_retry(journal, work, [str(exposure_id)], changed={}, look=look)
    except RetryRefused as error:
        return str(error)
    do_retry(journal, planned)
    return ""
