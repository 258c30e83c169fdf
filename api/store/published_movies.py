"""Ties published exposures to movies, so that a claim finds them, and so that a movie is published as one exposure.

Agents that do not claim publish too: their exposures get a row among the claimed ones, and are found by the path that
the record names.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from api.database.tables import claimed_exposures, movie_paths, movies, now, tombstones
from api.store.known_movies import path_key
from api.store.taken_names import is_stem_taken, take_stem
from transfer.wire.errors import Deleted, ExposureConflict
from transfer.wire.exposure_record import ExposureRecord, FileRole

_SESSION: Any = bindparam("session")
_DELETED = select(tombstones.c.reason).where(
    tombstones.c.session_id == _SESSION, tombstones.c.exposure_id == bindparam("exposure_id")
)
_CLAIMED = select(claimed_exposures.c.id).where(
    claimed_exposures.c.session_id == _SESSION, claimed_exposures.c.exposure_id == bindparam("exposure_id")
)
_OF_DIGEST = (
    select(movies.c.id, movies.c.claimed_exposure, movies.c.published_revision, claimed_exposures.c.exposure_id)
    .join_from(movies, claimed_exposures)
    .where(movies.c.session_id == _SESSION, movies.c.movie_digest == bindparam("digest"))
    .order_by(movies.c.id)
    .limit(1)
)
_OF_EXPOSURE = (
    select(movies.c.id, movies.c.movie_digest)
    .where(movies.c.claimed_exposure == bindparam("claimed"))
    .order_by(movies.c.id.desc())
)
_WITHOUT_DIGEST = _OF_EXPOSURE.where(movies.c.movie_digest.is_(None)).limit(1)
_NEWEST = _OF_EXPOSURE.limit(1)
_PATH = select(movie_paths.c.movie).where(
    movie_paths.c.session_id == _SESSION, movie_paths.c.path_key == bindparam("key")
)
_MOVE_PATHS = update(movie_paths).where(movie_paths.c.movie == bindparam("of_movie")).values(movie=bindparam("to"))
_REMOVE_MOVIE = delete(movies).where(movies.c.id == bindparam("key"))
_PUBLISH_EXPOSURE = (
    update(claimed_exposures)
    .where(claimed_exposures.c.id == bindparam("key"))
    .values(settings_digest=bindparam("settings"))
)
_PUBLISH_MOVIE = (
    update(movies)
    .where(movies.c.id == bindparam("key"))
    .values(
        claimed_exposure=bindparam("claimed"), movie_digest=bindparam("digest"), published_revision=bindparam("newest")
    )
)


def require_not_deleted(connection: Connection, session_id: int, record: ExposureRecord) -> None:
    """Refuse a record of an exposure that was deleted on purpose.

    Raises
    ------
    Deleted
    """
    reason = connection.scalar(_DELETED, {"session": session_id, "exposure_id": record.exposure_id})
    if reason is not None:
        why = f": {reason}" if reason else ""
        raise Deleted(f"exposure {record.exposure_id} was deleted on the receiver on purpose{why}")


def require_one_exposure(connection: Connection, session_id: int, record: ExposureRecord) -> None:
    """Refuse a record of a movie that is published as another exposure.

    Raises
    ------
    ExposureConflict
        The error's member `exposure_id` names the other exposure.
    """
    movie = _of_digest(connection, session_id, record)
    if movie is None or movie.exposure_id == record.exposure_id or movie.published_revision is None:
        return
    raise ExposureConflict(
        f"the movie {record.movie} is published as exposure {movie.exposure_id} already; it was not published again",
        hint="Claim the movie: the receiver answers that it is committed.",
        exposure_id=str(movie.exposure_id),
    )


def note_published(connection: Connection, session_id: int, record: ExposureRecord) -> None:
    """Note which movie a record was made from, in the transaction that publishes it."""
    provenance = record.provenance
    claimed: int | None = connection.scalar(_CLAIMED, {"session": session_id, "exposure_id": record.exposure_id})
    if claimed is None:
        claimed = _add_exposure(connection, session_id, record)
    settings = None if provenance is None else provenance.settings_digest
    connection.execute(_PUBLISH_EXPOSURE, {"key": claimed, "settings": settings})
    movie, digest = _movie_of(connection, session_id, claimed, record)
    if movie is None:
        movie = _add_movie(connection, session_id, claimed, record)
    published = {"claimed": claimed, "digest": digest, "newest": record.revision}
    connection.execute(_PUBLISH_MOVIE, {"key": movie, **published})


def _movie_of(
    connection: Connection, session_id: int, claimed: int, record: ExposureRecord
) -> tuple[int | None, str | None]:
    """Return the movie that a record was made from, None if it is not known; and its digest."""
    digest = _digest_of(record)
    if digest is None:  # an older agent: the movie that was claimed, or noted, last
        newest = connection.execute(_NEWEST, {"claimed": claimed}).one_or_none()
        return (None, None) if newest is None else (newest.id, newest.movie_digest)
    known = _of_digest(connection, session_id, record)
    if known is not None and known.claimed_exposure == claimed:
        return known.id, digest
    own: int | None = connection.scalar(_WITHOUT_DIGEST, {"claimed": claimed})
    if known is None:
        return own, digest
    if own is None:
        return known.id, digest
    # Another agent claimed the same movie as another exposure, and has not published it.
    connection.execute(_MOVE_PATHS, {"of_movie": known.id, "to": own})
    connection.execute(_REMOVE_MOVIE, {"key": known.id})
    return own, digest


def _digest_of(record: ExposureRecord) -> str | None:
    return None if record.provenance is None else record.provenance.movie_digest


def _of_digest(connection: Connection, session_id: int, record: ExposureRecord) -> Any:
    """Return the row of the movie that has the digest in a record; None if there is none."""
    digest = _digest_of(record)
    if digest is None:
        return None
    return connection.execute(_OF_DIGEST, {"session": session_id, "digest": digest}).one_or_none()


def _add_exposure(connection: Connection, session_id: int, record: ExposureRecord) -> int:
    """Note an exposure that was not claimed."""
    micrograph = record.file(FileRole.MICROGRAPH) or record.files[0]
    stem = micrograph.path.removesuffix(".mrc")
    if is_stem_taken(connection, session_id, [stem]):
        stem = record.exposure_id.hex
    take_stem(connection, session_id, stem)
    key: int = connection.execute(
        insert(claimed_exposures)
        .values(
            session_id=session_id,
            exposure_id=record.exposure_id,
            stem=stem,
            revision=record.revision,
            claimed_at=now(),
        )
        .returning(claimed_exposures.c.id)
    ).scalar_one()
    return key


def _add_movie(connection: Connection, session_id: int, claimed: int, record: ExposureRecord) -> int:
    """Note the movie of an exposure that was not claimed: a claim finds it by the path in the record."""
    key: int = connection.execute(
        insert(movies)
        .values(session_id=session_id, claimed_exposure=claimed, source="", path=record.movie)
        .returning(movies.c.id)
    ).scalar_one()
    place = path_key("", record.movie)
    if connection.execute(_PATH, {"session": session_id, "key": place}).first() is None:
        connection.execute(
            insert(movie_paths).values(session_id=session_id, path_key=place, movie=key, source="", path=record.movie)
        )
    return key
