"""Verdicts as clients are shown them, and what people say."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, select

from api.database.tables import exposures, verdicts
from api.store.judging import NewVerdict, by_thresholds, exceeded_by, record
from transfer.wire.errors import NotFound
from transfer.wire.verdict import ExposureVerdict, Verdict, VerdictBy, VerdictOfBatch

_UNJUDGED = Verdict(accepted=True, by=VerdictBy.THRESHOLD)
_MOST_NAMED = 5  # exposures in a message


def verdicts_of(connection: Connection, keys: Collection[int]) -> dict[int, Verdict]:
    """Return the verdicts about exposures, by `exposures.id`."""
    exceeded = exceeded_by(connection, keys)
    found = dict.fromkeys(keys, _UNJUDGED)
    for row in connection.execute(select(verdicts).where(verdicts.c.exposure.in_(keys))):
        found[row.exposure] = Verdict(
            accepted=row.is_accepted, by=VerdictBy(row.by), at=row.at, token_id=row.token_id, comment=row.comment
        )
    for key, figures in exceeded.items():
        found[key] = found[key].model_copy(update={"exceeded": tuple(figures)})
    return found


def say(
    connection: Connection, session_id: int, said: Sequence[VerdictOfBatch], token_id: str
) -> list[ExposureVerdict]:
    """Take over what a person says about exposures; return the verdicts about them, in the order of what is said.

    Of several about one exposure the last one holds. What was said before in the same words changes nothing.

    Raises
    ------
    NotFound
        The session does not have all of these exposures; nothing is changed.
    """
    rows = _exposures(connection, session_id, said)
    wanted = {row.id: (row, one) for row, one in zip(rows, said, strict=True)}
    present = verdicts_of(connection, wanted.keys())
    changes = [
        change
        for key, (row, one) in wanted.items()
        if (change := _change(row, one, present[key], token_id)) is not None
    ]
    record(connection, session_id, changes)
    after = verdicts_of(connection, wanted.keys())
    return [
        ExposureVerdict(**after[row.id].model_dump(), exposure_id=row.exposure_id, micrograph_name=row.micrograph_name)
        for row in rows
    ]


def _change(row: Any, one: VerdictOfBatch, present: Verdict, token_id: str) -> NewVerdict | None:
    """Return what a person's word changes; None: nothing."""
    if one.accepted is None:
        if present.by is not VerdictBy.PERSON:
            return None
        accepted, by = not present.exceeded, VerdictBy.THRESHOLD
        detail = f"{by_thresholds(present.exceeded)}; token {token_id} withdrew what a person had said"
    else:
        accepted, by = one.accepted, VerdictBy.PERSON
        if (accepted, by, one.comment) == (present.accepted, present.by, present.comment):
            return None
        detail = f"by a person, token {token_id}"
    return NewVerdict(
        exposure=row.id,
        exposure_id=row.exposure_id,
        was_accepted=present.accepted,
        accepted=accepted,
        by=by,
        detail=f"{detail}: {one.comment}" if one.comment else detail,
        token_id=token_id if by is VerdictBy.PERSON else None,
        comment=one.comment if by is VerdictBy.PERSON else "",
    )


def _exposures(connection: Connection, session_id: int, said: Sequence[VerdictOfBatch]) -> list[Any]:
    """Return the rows of the exposures that are named, in that order."""
    own = exposures.c
    wanted = select(own.id, own.exposure_id, own.micrograph_name).where(own.session_id == session_id)
    ids = {one.exposure_id for one in said if one.exposure_id is not None}
    names = {one.micrograph_name for one in said if one.micrograph_name is not None}
    by_id = {row.exposure_id: row for row in connection.execute(wanted.where(own.exposure_id.in_(ids)))}
    by_name = {row.micrograph_name: row for row in connection.execute(wanted.where(own.micrograph_name.in_(names)))}
    found = [
        by_id.get(one.exposure_id) if one.exposure_id is not None else by_name.get(one.micrograph_name or "")
        for one in said
    ]
    missing = [str(one.exposure_id or one.micrograph_name) for one, row in zip(said, found, strict=True) if row is None]
    if missing:
        named = ", ".join(map(repr, missing[:_MOST_NAMED])) + (" …" if len(missing) > _MOST_NAMED else "")
        raise NotFound(
            f"the session has no exposure {named}; no verdict was changed",
            hint="Give the id of a published exposure, or the name of its micrograph.",
            missing=missing,
        )
    return found
