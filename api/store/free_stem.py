"""Finds a name for the files of a new exposure that no other exposure and no committed file has."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, union_all

from api.database.tables import claimed_exposures, files, tombstones, uploads

USUAL = (
    ".mrc", "_noDW.mrc", "_EVN.mrc", "_ODD.mrc", ".star", ".png", "_spectrum.png", "_motion.png",
    "-Full.log", "-Patch-Patch.log", ".json",
)  # fmt: skip
"""What follows the stem in the names of an exposure's files. An agent need not know all of it when it claims."""
_NUMBERS = range(2, 10)

_TAKEN = union_all(
    select(claimed_exposures.c.id).where(
        claimed_exposures.c.session_id == bindparam("session_id"),
        claimed_exposures.c.stem.in_(bindparam("stems", expanding=True)),
    ),
    *(
        select(table.c.session_id).where(
            table.c.session_id == bindparam("session_id"), table.c.path.in_(bindparam("paths", expanding=True))
        )
        for table in (files, uploads, tombstones)
    ),
).limit(1)


def free_stem(
    connection: Connection, session_id: int, wanted: str, suffixes: tuple[str, ...], exposure_id: UUID
) -> str:
    """Return the wanted stem, with a number or the exposure's id after it if files of that name are there or claimed.

    A leading `-` in one of its parts, which no new name may have, becomes `=2D`, as agents write it.

    Parameters
    ----------
    suffixes
        Of the files that the exposure will have, beside the usual ones.
    """
    wanted = "/".join(f"=2D{part[1:]}" if part.startswith("-") else part for part in wanted.split("/"))
    endings = tuple(dict.fromkeys((*suffixes, *USUAL)))
    for stem in _candidates(wanted, exposure_id):
        paths = [stem + suffix for suffix in endings]
        # An exposure `x` has a file `x_noDW.mrc`, and so has an exposure `x_noDW`.
        stems = {path.removesuffix(suffix) for path in paths for suffix in endings if path.endswith(suffix)}
        taken = {"session_id": session_id, "stems": list(stems), "paths": paths}
        if connection.execute(_TAKEN, taken).first() is None:
            return stem
    return f"{wanted}-{exposure_id.hex}"


def _candidates(wanted: str, exposure_id: UUID) -> Iterator[str]:
    yield wanted
    for number in _NUMBERS:
        yield f"{wanted}-{number}"
    yield f"{wanted}-{exposure_id.hex[:8]}"
