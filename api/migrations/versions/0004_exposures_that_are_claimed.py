"""Give data folder and sessions identities, count rows, and keep claims, movies, leases and tombstones."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from alembic import op
from blake3 import blake3

revision = "0004"
down_revision = "0003"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CLAIMED = sa.Table(
    "claimed_exposures",
    sa.MetaData(),
    sa.Column("id", NUMBER, primary_key=True),
    sa.Column("session_id", NUMBER),
    sa.Column("exposure_id", sa.Uuid()),
    sa.Column("stem", sa.String()),
    sa.Column("revision", sa.Integer()),
    sa.Column("settings_digest", sa.String()),
    sa.Column("claimed_at", sa.DateTime(timezone=True)),
)
MOVIES = sa.Table(
    "movies",
    sa.MetaData(),
    sa.Column("id", NUMBER, primary_key=True),
    sa.Column("session_id", NUMBER),
    sa.Column("claimed_exposure", NUMBER),
    sa.Column("source", sa.String()),
    sa.Column("path", sa.Text()),
    sa.Column("published_revision", sa.Integer()),
)
PATHS = sa.Table(
    "movie_paths",
    sa.MetaData(),
    sa.Column("session_id", NUMBER),
    sa.Column("path_key", sa.String()),
    sa.Column("movie", NUMBER),
    sa.Column("source", sa.String()),
    sa.Column("path", sa.Text()),
)


def _session_column() -> sa.Column[int]:
    return sa.Column("session_id", NUMBER, nullable=False)


def _session_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f(f"fk_{table}_session_id"))


def upgrade() -> None:
    """Apply."""
    _data_folder()
    _sessions()
    _files()
    op.create_index("ix_exposures_session_id_id", "exposures", ["session_id", "id"])
    op.add_column("exposure_records", sa.Column("form", sa.String(length=16), nullable=True))
    op.drop_index("ix_events_session_id", "events")
    op.create_index("ix_events_session_id_id", "events", ["session_id", "id"])
    _registrations()
    _registration_counts()
    _claims()
    _leases_and_tombstones()


def _data_folder() -> None:
    op.create_table(
        "data_folder",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("folder_id", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("file_check", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_folder")),
    )
    op.execute(
        "INSERT INTO data_folder (id, folder_id, sequence, losses, file_check)"
        " SELECT 1, NULL, coalesce(max(id), 0), 0, '' FROM files"
    )


def _sessions() -> None:
    # SQLite adds no NOT NULL column without a default, and cannot replace a table that others refer to.
    op.add_column("sessions", sa.Column("uuid", sa.Uuid(), nullable=True))
    op.add_column("sessions", sa.Column("exposure_count", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("sessions", sa.Column("file_count", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("sessions", sa.Column("file_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    sessions = sa.table("sessions", sa.column("id", NUMBER), sa.column("uuid", sa.Uuid()))
    connection = op.get_bind()
    for (number,) in connection.execute(sa.select(sessions.c.id)).all():
        connection.execute(sa.update(sessions).where(sessions.c.id == number).values(uuid=uuid4()))
    op.execute(
        "UPDATE sessions SET"
        " exposure_count = (SELECT count(*) FROM exposures WHERE exposures.session_id = sessions.id),"
        " file_count = (SELECT count(*) FROM files WHERE files.session_id = sessions.id),"
        " file_bytes = (SELECT coalesce(sum(size_bytes), 0) FROM files WHERE files.session_id = sessions.id)"
    )


def _files() -> None:
    op.add_column("files", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.add_column("files", sa.Column("mtime_ns", sa.BigInteger(), nullable=True))
    op.add_column("files", sa.Column("sha256", sa.String(length=64), nullable=True))
    op.add_column("files", sa.Column("lost_at", sa.DateTime(timezone=True), nullable=True))
    without = sa.text("sha256 IS NULL AND lost_at IS NULL")
    op.create_index("ix_files_without_sha256", "files", ["id"], sqlite_where=without, postgresql_where=without)
    lost = sa.text("lost_at IS NOT NULL")
    op.create_index("ix_files_lost", "files", ["id"], sqlite_where=lost, postgresql_where=lost)


def _registrations() -> None:
    op.execute(
        "UPDATE registrations SET state = 'superseded'"
        " WHERE (state IN ('pending', 'failed') OR detail = 'superseded by a newer revision') AND revision <"
        " (SELECT exposures.revision FROM exposures WHERE exposures.id = registrations.exposure)"
    )
    op.drop_index("ix_registrations_registrar_state", "registrations")
    left = sa.text("state = 'pending' OR state = 'failed'")
    op.create_index(
        "ix_registrations_unregistered",
        "registrations",
        ["registrar", "state", "id"],
        sqlite_where=left,
        postgresql_where=left,
    )


def _registration_counts() -> None:
    op.create_table(
        "registration_counts",
        _session_column(),
        sa.Column("registrar", sa.String(length=32), nullable=False),
        sa.Column("registered_count", sa.Integer(), nullable=False),
        sa.Column("pending_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        _session_key("registration_counts"),
        sa.PrimaryKeyConstraint("session_id", "registrar", name=op.f("pk_registration_counts")),
    )
    op.execute(
        "INSERT INTO registration_counts (session_id, registrar, registered_count, pending_count, failed_count)"
        " SELECT exposures.session_id, registrations.registrar,"
        " count(DISTINCT CASE WHEN registrations.state = 'registered' THEN registrations.exposure END),"
        " sum(CASE WHEN registrations.revision = exposures.revision AND registrations.state = 'pending'"
        " THEN 1 ELSE 0 END),"
        " sum(CASE WHEN registrations.revision = exposures.revision AND registrations.state = 'failed'"
        " THEN 1 ELSE 0 END)"
        " FROM registrations JOIN exposures ON exposures.id = registrations.exposure"
        " GROUP BY exposures.session_id, registrations.registrar"
    )


def _claims() -> None:
    op.create_table(
        "claimed_exposures",
        sa.Column("id", NUMBER, nullable=False),
        _session_column(),
        sa.Column("exposure_id", sa.Uuid(), nullable=False),
        sa.Column("stem", sa.String(length=1024), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("settings_digest", sa.String(length=64), nullable=True),
        sa.Column("agent", sa.Uuid(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        _session_key("claimed_exposures"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claimed_exposures")),
        sa.UniqueConstraint("session_id", "exposure_id", name=op.f("uq_claimed_exposures_session_id_exposure_id")),
        sa.UniqueConstraint("session_id", "stem", name=op.f("uq_claimed_exposures_session_id_stem")),
    )
    op.create_table(
        "movies",
        sa.Column("id", NUMBER, nullable=False),
        _session_column(),
        sa.Column("claimed_exposure", NUMBER, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sampled_digest", sa.String(length=64), nullable=True),
        sa.Column("movie_digest", sa.String(length=64), nullable=True),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("published_revision", sa.Integer(), nullable=True),
        _session_key("movies"),
        sa.ForeignKeyConstraint(
            ["claimed_exposure"],
            ["claimed_exposures.id"],
            name=op.f("fk_movies_claimed_exposure"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_movies")),
    )
    op.create_index(op.f("ix_movies_claimed_exposure"), "movies", ["claimed_exposure"])
    op.create_index("ix_movies_session_id_sampled_digest", "movies", ["session_id", "sampled_digest", "size_bytes"])
    op.create_index("ix_movies_session_id_movie_digest", "movies", ["session_id", "movie_digest"])
    op.create_table(
        "movie_paths",
        _session_column(),
        sa.Column("path_key", sa.String(length=64), nullable=False),
        sa.Column("movie", NUMBER, nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        _session_key("movie_paths"),
        sa.ForeignKeyConstraint(["movie"], ["movies.id"], name=op.f("fk_movie_paths_movie"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", "path_key", name=op.f("pk_movie_paths")),
    )
    op.create_index(op.f("ix_movie_paths_movie"), "movie_paths", ["movie"])
    _published_before()


def _published_before() -> None:
    """Note the exposures that were published before there were claims, so that a claim finds them by their paths."""
    connection = op.get_bind()
    published = sa.text(
        "SELECT exposures.id, exposures.session_id, exposures.revision, exposure_records.record"
        " FROM exposures JOIN exposure_records ON exposure_records.exposure = exposures.id"
        " AND exposure_records.revision = exposures.revision"
        " WHERE exposures.id > :after ORDER BY exposures.id LIMIT 500"
    )
    after, stems, path_keys = 0, set[tuple[int, str]](), set[tuple[int, str]]()
    while page := connection.execute(published, {"after": after}).all():
        after = page[-1].id
        records = [json.loads(row.record) for row in page]
        rows = [_claimed(row, record, stems) for row, record in zip(page, records, strict=True)]
        ids = connection.scalars(sa.insert(CLAIMED).returning(CLAIMED.c.id, sort_by_parameter_order=True), rows).all()
        rows = [
            {
                "session_id": row.session_id,
                "claimed_exposure": number,
                "source": "",
                "path": record["movie"],
                "published_revision": row.revision,
            }
            for row, record, number in zip(page, records, ids, strict=True)
        ]
        ids = connection.scalars(sa.insert(MOVIES).returning(MOVIES.c.id, sort_by_parameter_order=True), rows).all()
        at_paths = []
        for movie, number in zip(rows, ids, strict=True):
            path_key = blake3(f"\0{movie['path']}".encode(errors="surrogatepass")).hexdigest()
            place = {"session_id": movie["session_id"], "path_key": path_key}
            if tuple(place.values()) not in path_keys:
                path_keys.add((movie["session_id"], path_key))
                at_paths.append({**place, "movie": number, "source": "", "path": movie["path"]})
        if at_paths:
            connection.execute(sa.insert(PATHS), at_paths)


def _claimed(row: Any, record: dict[str, Any], stems: set[tuple[int, str]]) -> dict[str, Any]:
    """Return the row that a published exposure would have if it had been claimed."""
    exposure_id = UUID(record["exposure_id"])
    files = [file["path"] for file in record["files"] if file["role"] == "micrograph"] or [record["files"][0]["path"]]
    stem = files[0].removesuffix(".mrc")
    if (row.session_id, stem) in stems:
        stem = f"{exposure_id.hex}"
    stems.add((row.session_id, stem))
    return {
        "session_id": row.session_id,
        "exposure_id": exposure_id,
        "stem": stem,
        "revision": row.revision,
        "settings_digest": (record.get("provenance") or {}).get("settings_digest"),
        "claimed_at": datetime.now(UTC),
    }


def _leases_and_tombstones() -> None:
    op.create_table(
        "leases",
        _session_column(),
        sa.Column("agent", sa.Uuid(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("beside", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lost_to", sa.Uuid(), nullable=True),
        _session_key("leases"),
        sa.PrimaryKeyConstraint("session_id", "agent", name=op.f("pk_leases")),
    )
    op.create_table(
        "tombstones",
        sa.Column("id", NUMBER, nullable=False),
        _session_column(),
        sa.Column("exposure_id", sa.Uuid(), nullable=True),
        sa.Column("path", sa.String(length=1024), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _session_key("tombstones"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstones")),
        sa.UniqueConstraint("session_id", "exposure_id", name=op.f("uq_tombstones_session_id_exposure_id")),
        sa.UniqueConstraint("session_id", "path", name=op.f("uq_tombstones_session_id_path")),
    )
