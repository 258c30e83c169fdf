"""Reads what the database says of movies and exposures that are claimed: by digest, by path, by id, always by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, bindparam, select, union

from api.database.tables import claimed_exposures, exposures, movie_paths, movies, tombstones
from api.store.claim_decisions import Known, KnownExposure, KnownMovie
from transfer.wire.digest import chunk_digest
from transfer.wire.exposure_claim import MovieClaim

_SESSION: Any = bindparam("session_id")


def _one_of(name: str) -> Any:
    return bindparam(name, expanding=True)


_PATHS = select(movie_paths.c.source, movie_paths.c.path, movie_paths.c.movie).where(
    movie_paths.c.session_id == _SESSION, movie_paths.c.path_key.in_(_one_of("path_keys"))
)
_EXPOSURE = (
    claimed_exposures.c.id.label("exposure_key"),
    claimed_exposures.c.exposure_id,
    claimed_exposures.c.stem,
    claimed_exposures.c.revision,
    claimed_exposures.c.settings_digest,
    claimed_exposures.c.agent,
    claimed_exposures.c.claimed_at,
    exposures.c.revision.label("published"),
)
_PUBLISHED = and_(
    exposures.c.session_id == claimed_exposures.c.session_id, exposures.c.exposure_id == claimed_exposures.c.exposure_id
)
_UNIDENTIFIED = (
    select(movies.c.id)
    .join_from(claimed_exposures, movies)
    .where(
        claimed_exposures.c.session_id == _SESSION,
        claimed_exposures.c.exposure_id.in_(_one_of("proposed_ids")),
        movies.c.sampled_digest.is_(None),
        movies.c.movie_digest.is_(None),
    )
)
_CONCERNED = union(
    select(movies.c.id).where(movies.c.session_id == _SESSION, movies.c.movie_digest.in_(_one_of("movie_digests"))),
    select(movies.c.id).where(movies.c.session_id == _SESSION, movies.c.sampled_digest.in_(_one_of("sampled_digests"))),
    select(movies.c.id).where(movies.c.id.in_(_one_of("movie_keys"))),
    _UNIDENTIFIED,
)
_MOVIES = (
    select(
        movies.c.id,
        movies.c.size_bytes,
        movies.c.sampled_digest,
        movies.c.movie_digest,
        movies.c.source,
        movies.c.path,
        movies.c.published_revision,
        *_EXPOSURE,
    )
    .join_from(movies, claimed_exposures)
    .join(exposures, _PUBLISHED, isouter=True)
    .where(movies.c.id.in_(_CONCERNED))
    .order_by(movies.c.id)
)
_PROPOSED = (
    select(*_EXPOSURE)
    .join_from(claimed_exposures, exposures, _PUBLISHED, isouter=True)
    .where(
        claimed_exposures.c.session_id == _SESSION,
        claimed_exposures.c.exposure_id.in_(_one_of("proposed_ids")),
    )
)
_DELETED = select(tombstones.c.exposure_id, tombstones.c.reason).where(
    tombstones.c.session_id == _SESSION, tombstones.c.exposure_id.in_(_one_of("exposure_ids"))
)


def path_key(source: str, path: str) -> str:
    """Return the key of a path in `movie_paths`."""
    return chunk_digest(f"{source}\0{path}".encode(errors="surrogatepass")).hex()


def known_of(connection: Connection, session_id: int, claims: Sequence[MovieClaim]) -> Known:
    """Return what the database says that concerns some claims."""
    proposed_ids = [claim.exposure_id for claim in claims]
    keys = [path_key(claim.source, claim.path) for claim in claims]
    paths = connection.execute(_PATHS, {"session_id": session_id, "path_keys": keys}).all()
    wanted = {
        "session_id": session_id,
        "proposed_ids": proposed_ids,
        "movie_digests": [claim.movie_digest for claim in claims if claim.movie_digest is not None],
        "sampled_digests": [claim.sampled_digest for claim in claims],
        "movie_keys": [row.movie for row in paths],
    }
    rows = connection.execute(_MOVIES, wanted).mappings().all()
    proposed = connection.execute(_PROPOSED, {"session_id": session_id, "proposed_ids": proposed_ids}).mappings().all()
    ids = {*proposed_ids, *(row["exposure_id"] for row in rows)}
    deleted = {
        row.exposure_id: row.reason
        for row in connection.execute(_DELETED, {"session_id": session_id, "exposure_ids": list(ids)})
    }
    known = Known(deleted=deleted)
    by_key: dict[int, KnownMovie] = {}
    for row in rows:
        exposure = _exposure(row, known)
        movie = by_key[row["id"]] = KnownMovie(
            key=row["id"],
            exposure=exposure,
            size_bytes=row["size_bytes"],
            sampled_digest=row["sampled_digest"],
            movie_digest=row["movie_digest"],
            source=row["source"],
            path=row["path"],
            published_revision=row["published_revision"],
        )
        if movie.movie_digest is not None:
            known.by_digest.setdefault(movie.movie_digest, movie)
        if movie.sampled_digest is not None and movie.size_bytes is not None:
            known.by_sample.setdefault((movie.sampled_digest, movie.size_bytes), []).append(movie)
        elif movie.movie_digest is None:
            known.unidentified[exposure.exposure_id] = movie
    known.by_proposed_id.update((row["exposure_id"], _exposure(row, known)) for row in proposed)
    known.by_path.update(((row.source, row.path), by_key[row.movie]) for row in paths)
    return known


def _exposure(row: RowMapping, known: Known) -> KnownExposure:
    return KnownExposure(
        key=row["exposure_key"],
        exposure_id=row["exposure_id"],
        stem=row["stem"],
        granted_revision=row["revision"],
        agent=row["agent"],
        claimed_at=row["claimed_at"],
        published_revision=row["published"] or 0,
        settings_digest=row["settings_digest"],
        deleted=known.deleted.get(row["exposure_id"]),
    )
