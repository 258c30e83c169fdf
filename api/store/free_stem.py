"""Finds a name for the files of a new exposure that no other exposure and no committed file has."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection

from api.store.taken_names import as_spelled, is_stem_taken
from transfer.wire.names import folded

USUAL = (
    ".mrc", "_noDW.mrc", "_EVN.mrc", "_ODD.mrc", "_PS.mrc", ".star", ".png", "_spectrum.png", "_motion.png",
    "_ctf.mrc", "_ctf.png", "_ctf.csv", "_ctf.txt", "_ctf_avrot.txt", "-Full.log", "-Patch-Patch.log", ".json",
)  # fmt: skip
"""What follows the stem in the names of an exposure's files. An agent need not know all of it when it claims."""
_NUMBERS = range(2, 10)


def free_stem(
    connection: Connection, session_id: int, wanted: str, suffixes: tuple[str, ...], exposure_id: UUID
) -> str:
    """Return the wanted stem, with a number or the exposure's id after it if files of that name are there or claimed.

    A leading `-` in one of its parts, which no new name may have, becomes `=2D`, as agents write it. Names that differ
    only in case are one; a folder gets the spelling of the one that is there.

    Parameters
    ----------
    suffixes
        Of the files that the exposure will have, beside the usual ones.
    """
    wanted = "/".join(f"=2D{part[1:]}" if part.startswith("-") else part for part in wanted.split("/"))
    folder, slash, leaf = wanted.rpartition("/")
    if slash:
        wanted = f"{as_spelled(connection, session_id, folder)}/{leaf}"
    endings = tuple(dict.fromkeys(folded(suffix) for suffix in (*suffixes, *USUAL)))
    for stem in _candidates(wanted, exposure_id):
        paths = [folded(stem) + suffix for suffix in endings]
        # An exposure `x` has a file `x_noDW.mrc`, and so has an exposure `x_noDW`.
        stems = {path.removesuffix(suffix) for path in paths for suffix in endings if path.endswith(suffix)}
        if not is_stem_taken(connection, session_id, stems, paths):
            return stem
    return f"{wanted}-{exposure_id.hex}"


def _candidates(wanted: str, exposure_id: UUID) -> Iterator[str]:
    yield wanted
    for number in _NUMBERS:
        yield f"{wanted}-{number}"
    yield f"{wanted}-{exposure_id.hex[:8]}"
