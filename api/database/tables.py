"""The tables of the receiver's database: everything that the receiver knows except the bytes of files.

The migrations in `api/migrations` make them; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    insert,
    text,
)

from transfer.wire.names import folded


class UtcDateTime(TypeDecorator[datetime]):
    """A time with time zone, always UTC. SQLite stores no zone, so it is added again when the time is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Store UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy passes it
        """Return UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts INTEGER primary keys only


def _session_column(**options: Any) -> Column[int]:
    return Column("session_id", ForeignKey("sessions.id"), nullable=False, **options)


def _folded_name(context: Any) -> str:
    return folded(context.get_current_parameters()["name"])


sessions = Table(
    "sessions",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("uuid", Uuid, default=uuid4),  # never NULL; another one under the same name is another session
    Column("name", String(100), nullable=False, unique=True),
    Column("folded", String(100), default=_folded_name, index=True),  # several have one in databases of older versions
    Column("token_id", String(8), index=True),  # of the token that began it; NULL: begun by an older version
    Column("state", String(16), nullable=False),  # SessionState
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    # Counters: whoever adds or removes rows of `exposures` and `files` changes them in the same transaction.
    Column("exposure_count", Integer, nullable=False, default=0, server_default="0"),
    Column("rejected_count", Integer, nullable=False, default=0, server_default="0"),  # see `verdicts`
    Column("file_count", Integer, nullable=False, default=0, server_default="0"),
    Column("file_bytes", BigInteger, nullable=False, default=0, server_default="0"),
)

data_folder = Table(
    "data_folder",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1: there is one row
    Column("folder_id", Uuid),  # the same as in the data folder; NULL until the first start
    Column("sequence", BigInteger, nullable=False),  # number of the newest commit; it never falls
    Column("losses", Integer, nullable=False),  # rises when committed files are found to be lost
    Column("file_check", Text, nullable=False),  # the result of the last check of all files, as JSON
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("secret_sha256", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("session", String(100)),  # a session's name, which need not exist yet; NULL: all sessions
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

uploads = Table(
    "uploads",  # those that are not committed
    metadata,
    Column("id", Uuid, primary_key=True),
    _session_column(),
    Column("path", String(1024), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("generation", Integer, nullable=False),  # of the part file: +1 when it may have lost bytes
    Column("one_request", Boolean, nullable=False),  # ends with the request that made it
    Column("touched_at", UtcDateTime, nullable=False),
    Column("token_id", String(8)),  # of the token that declared it; NULL: declared to an older version
    Column("promise_ended_at", UtcDateTime),  # with its connections; NULL: it did not, or bytes came since
    UniqueConstraint("session_id", "path", "revision"),  # the reservation
    Index("ix_uploads_touched_at", "touched_at"),
    Index("ix_uploads_token_id", "token_id"),
)

upload_chunks = Table(
    "upload_chunks",
    metadata,
    Column("upload_id", ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("chunk", Integer, primary_key=True, autoincrement=False),  # from 0
    Column("digest", LargeBinary(32), nullable=False),  # BLAKE3
    Column("run_id", String(32), nullable=False),  # the receiver's run that wrote it
)

withdrawn_uploads = Table(
    "withdrawn_uploads",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("session_id", ForeignKey("sessions.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

_WITHOUT_SHA256 = text("sha256 IS NULL AND lost_at IS NULL")
_LOST = text("lost_at IS NOT NULL")

files = Table(
    "files",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    _session_column(),
    Column("path", String(1024), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),  # root digest, hex
    Column("location", Text, nullable=False),  # relative to the data folder
    Column("committed_at", UtcDateTime, nullable=False),
    Column("sequence", BigInteger),  # of the commit in the data folder; NULL: committed by an older version
    Column("mtime_ns", BigInteger),  # of the file at its commit; NULL: committed by an older version
    Column("sha256", String(64)),  # of the whole file, hex; NULL until it is computed
    Column("lost_at", UtcDateTime),  # when it was noted that the disk has lost it; NULL: it was not
    UniqueConstraint("session_id", "path", "revision"),
    Index("ix_files_without_sha256", "id", sqlite_where=_WITHOUT_SHA256, postgresql_where=_WITHOUT_SHA256),
    Index("ix_files_lost", "id", sqlite_where=_LOST, postgresql_where=_LOST),
)

committed_uploads = Table(
    "committed_uploads",
    metadata,
    Column("id", Uuid, primary_key=True),  # of the upload: its client may ask for it again
    Column("file", ForeignKey("files.id", ondelete="CASCADE"), nullable=False, index=True),
    sqlite_with_rowid=False,  # one tree instead of two
)

lost_files = Table(
    "lost_files",  # names that were free again after the disk had lost their files
    metadata,
    _session_column(primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("lost_at", UtcDateTime, nullable=False),
)

names = Table(
    "names",  # of files that are or were there or are received, of their folders, and stems of claimed exposures
    metadata,
    _session_column(primary_key=True),
    # See `api.store.taken_names`. Names that differ only in case have these two in common.
    Column("folder", String(400), primary_key=True),
    Column("leaf", String(400), primary_key=True),
    Column("is_stem", Boolean, primary_key=True),
    Column("path", String(1024), primary_key=True),  # the name as it is; older versions took several
    sqlite_with_rowid=False,
)

exposures = Table(
    "exposures",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # also the order of publication
    _session_column(),
    Column("exposure_id", Uuid, nullable=False),
    Column("revision", Integer, nullable=False),  # the newest
    Column("micrograph_name", String(300), nullable=False),
    UniqueConstraint("session_id", "exposure_id"),
    UniqueConstraint("session_id", "micrograph_name"),
    Index("ix_exposures_session_id_id", "session_id", "id"),  # a page of a session's exposures
)

exposure_records = Table(
    "exposure_records",
    metadata,
    Column("exposure", ForeignKey("exposures.id"), primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),  # ExposureRecord as JSON
    Column("form", String(16)),  # of the record, see api.store.kept_records; NULL: written by an older version
    Column("published_at", UtcDateTime, nullable=False),
)

exposure_figures = Table(
    "exposure_figures",  # of the newest record of each exposure, also those that this version does not know
    metadata,
    Column("exposure", ForeignKey("exposures.id"), primary_key=True, autoincrement=False),
    Column("name", String(80), primary_key=True),
    _session_column(),
    Column("value", Double, nullable=False),  # finite
    Index("ix_exposure_figures_by_value", "session_id", "name", "value", "exposure"),
    sqlite_with_rowid=False,
)

thresholds = Table(
    "thresholds",
    metadata,
    _session_column(primary_key=True),
    Column("figure", String(80), primary_key=True),
    Column("side", String(8), primary_key=True),  # Side
    Column("value", Double, nullable=False),
    Column("token_id", String(8)),  # of the token that set it; NULL: the receiver's configuration
    Column("set_at", UtcDateTime, nullable=False),
)

due_judgements = Table(
    "due_judgements",  # sessions whose thresholds have changed: `api.store.judging` judges their exposures anew
    metadata,
    _session_column(primary_key=True),
    Column("after", BigInteger, nullable=False),  # exposures.id: those up to it are done
)

verdicts = Table(
    "verdicts",  # exposures that no verdict was ever about are accepted, and have no row
    metadata,
    Column("exposure", ForeignKey("exposures.id"), primary_key=True, autoincrement=False),
    Column("is_accepted", Boolean, nullable=False),
    Column("by", String(16), nullable=False),  # VerdictBy
    Column("number", BigInteger, nullable=False),  # of the event that tells it
    Column("at", UtcDateTime, nullable=False),
    Column("token_id", String(8)),  # of the person's token
    Column("comment", Text, nullable=False, default=""),
)

untold_verdicts = Table(
    "untold_verdicts",  # those that a registrar has yet to take over
    metadata,
    Column("exposure", ForeignKey("exposures.id"), primary_key=True, autoincrement=False),
    Column("registrar", String(32), primary_key=True),
    _session_column(),
    Column("number", BigInteger, nullable=False),  # as in `verdicts`
    Index("ix_untold_verdicts_in_order", "registrar", "session_id", "number"),
)

SUPERSEDED = "superseded"
"""The state of a registration whose revision a newer one replaced before it was registered. Clients never see it."""

_UNREGISTERED = text("state = 'pending' OR state = 'failed'")  # RegistrationState; SQLite would not understand IN

registrations = Table(
    "registrations",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # the order of the outbox
    Column("exposure", ForeignKey("exposures.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("registrar", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # RegistrationState or SUPERSEDED
    Column("detail", Text, nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    UniqueConstraint("exposure", "revision", "registrar"),
    Index(  # what is left to do, however much is done
        "ix_registrations_unregistered",
        "registrar",
        "state",
        "id",
        sqlite_where=_UNREGISTERED,
        postgresql_where=_UNREGISTERED,
    ),
)

registration_counts = Table(
    "registration_counts",
    metadata,
    _session_column(primary_key=True),
    Column("registrar", String(32), primary_key=True),
    # Counters: whoever changes rows of `registrations` changes them in the same transaction.
    Column("registered_count", Integer, nullable=False),  # exposures of which some revision is registered
    Column("pending_count", Integer, nullable=False),  # exposures whose newest revision is not registered yet
    Column("failed_count", Integer, nullable=False),  # exposures whose newest revision the registrar refused
)

# Every exposure that was claimed or published has a row here, also after it was deleted: `tombstones` says that it was.
claimed_exposures = Table(
    "claimed_exposures",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    _session_column(),
    Column("exposure_id", Uuid, nullable=False),
    Column("stem", String(1024), nullable=False),  # the name of its files, without suffix
    Column("revision", Integer, nullable=False),  # of the last claim that was granted, or of the newest record
    Column("settings_digest", String(64)),  # of the newest published record; NULL: not known
    Column("agent", Uuid),  # which has the last claim; NULL: published without a claim
    Column("claimed_at", UtcDateTime, nullable=False),
    UniqueConstraint("session_id", "exposure_id"),
    UniqueConstraint("session_id", "stem"),
)

movies = Table(
    "movies",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    _session_column(),
    Column("claimed_exposure", ForeignKey("claimed_exposures.id", ondelete="CASCADE"), nullable=False, index=True),
    # NULL: not known, because the exposure was published without a claim.
    Column("size_bytes", BigInteger),
    Column("sampled_digest", String(64)),
    Column("movie_digest", String(64)),  # of the whole file; NULL: not known yet
    Column("source", String(200), nullable=False),  # where it was seen last,
    Column("path", Text, nullable=False),  # and under which path
    Column("published_revision", Integer),  # newest published record of it; NULL: none
    Index("ix_movies_session_id_sampled_digest", "session_id", "sampled_digest", "size_bytes"),
    Index("ix_movies_session_id_movie_digest", "session_id", "movie_digest"),
)

movie_paths = Table(
    "movie_paths",
    metadata,
    _session_column(primary_key=True),
    Column("path_key", String(64), primary_key=True),  # digest of source and path, which may be too long for an index
    Column("movie", ForeignKey("movies.id", ondelete="CASCADE"), nullable=False, index=True),  # seen there last
    Column("source", String(200), nullable=False),
    Column("path", Text, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    _session_column(primary_key=True),
    Column("agent", Uuid, primary_key=True),
    Column("host", String(255), nullable=False),
    Column("beside", Boolean, nullable=False),  # works beside others
    Column("started_at", UtcDateTime, nullable=False),  # when the agent's process started, by its own clock
    Column("since", UtcDateTime, nullable=False),
    Column("renewed_at", UtcDateTime, nullable=False),
    Column("lost_to", Uuid),  # the agent that took it over; NULL: not taken over
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    _session_column(),
    Column("exposure_id", Uuid),  # an exposure that was deleted on purpose, or
    Column("path", String(1024)),  # a file
    Column("deleted_at", UtcDateTime, nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("session_id", "exposure_id"),
    UniqueConstraint("session_id", "path"),
)

EXPORTS = "exports"
"""Stands for a registrar where a session is to be exported (`api.exports.ended_sessions`). Clients never see it."""

projects = Table(
    "projects",
    metadata,
    _session_column(primary_key=True),
    Column("registrar", String(32), primary_key=True),
    Column("location", Text, nullable=False),  # where the registrar's project is
    Column("closed", Boolean, nullable=False, default=False),  # the registrar has closed the sets of the ended session
)

events = Table(
    "events",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # the event's number
    _session_column(),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Index("ix_events_session_id_id", "session_id", "id"),  # a page of a session's events
    sqlite_autoincrement=True,
)

agents = Table(
    "agents",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # also the order of their first reports
    _session_column(),
    Column("agent", Uuid, nullable=False),
    Column("status", Text, nullable=False),  # AgentStatus, the last report
    Column("reported_at", UtcDateTime, nullable=False),
    UniqueConstraint("session_id", "agent"),
)

agent_requests = Table(
    "agent_requests",
    metadata,
    Column("id", _NUMBER, primary_key=True),  # their order
    Column("request_id", Uuid, nullable=False, unique=True),
    Column("agent_key", ForeignKey("agents.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),  # RequestKind
    Column("exposure_id", Uuid),  # of the agent's journal: the receiver need not know it
    Column("requested_at", UtcDateTime, nullable=False),
    Column("outcome", String(16)),  # RequestOutcome; NULL: not confirmed yet
    Column("reason", Text, nullable=False, default=""),
)

_ADD_EVENT = insert(events)


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def add_event(connection: Connection, session_id: int, kind: str, subject: str, detail: str = "") -> None:
    """Add an event to a session, in the transaction that makes the event true."""
    values = {"session_id": session_id, "at": now(), "kind": kind, "subject": subject, "detail": detail}
    connection.execute(_ADD_EVENT, values)
