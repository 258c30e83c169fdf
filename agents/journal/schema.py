"""The tables of the agent's journal, and how a journal of an older version becomes one of this version."""

from __future__ import annotations

SCHEMA_VERSION = 5

_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE exposures (
    number INTEGER PRIMARY KEY,
    exposure_id TEXT NOT NULL UNIQUE,
    movie TEXT NOT NULL UNIQUE,          -- relative to the source
    remote_stem TEXT NOT NULL UNIQUE,    -- its files' name on the receiver, without suffix
    label TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    hint TEXT NOT NULL DEFAULT '',
    revision INTEGER NOT NULL DEFAULT 1,
    attempts INTEGER NOT NULL DEFAULT 0,
    changes TEXT NOT NULL DEFAULT '{}',  -- what `retry` changes in the agent's settings
    settings TEXT,                       -- what this revision was aligned with
    size_bytes INTEGER, mtime_ns INTEGER, device INTEGER, inode INTEGER,
    motion_angstrom REAL,
    warnings TEXT NOT NULL DEFAULT '[]',
    record TEXT,                         -- the exposure's record, as it is published
    found_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    ctime_ns INTEGER,                    -- belongs to size_bytes, mtime_ns, device, inode
    sampled_digest TEXT,                 -- of the movie that these five identify
    movie_digest TEXT,                   -- of the same movie, whole
    settings_digest TEXT,                -- of the newest alignment
    receiver_exposure_id TEXT,           -- what the receiver calls it; NULL: not claimed yet
    receiver_stem TEXT,                  -- its files' name on the receiver, where the receiver chose another
    claim_reason TEXT NOT NULL DEFAULT 'new', -- why this revision is made
    claimed_at REAL,
    has_gain INTEGER,                    -- whether it was aligned with a gain reference; NULL: not known
    inputs_noted INTEGER NOT NULL DEFAULT 0 -- 1: `inputs` holds all that its newest attempt used
);
CREATE INDEX exposures_by_state ON exposures (state, number);
CREATE INDEX exposures_by_movie ON exposures -- holds all that a scan needs
    (movie, exposure_id, state, size_bytes, mtime_ns, device, inode, ctime_ns);
CREATE INDEX exposures_without_digest ON exposures (number) WHERE sampled_digest IS NULL;
CREATE INDEX exposures_accounted ON exposures -- holds all that `agents.journal.account` needs
    (receiver_exposure_id, state, revision);
CREATE INDEX exposures_without_gain ON exposures (number) WHERE has_gain = 0;
CREATE INDEX exposures_released_unsent ON exposures (number) WHERE state = 'released' AND reason != '';
CREATE TABLE outputs (
    exposure_id TEXT NOT NULL REFERENCES exposures (exposure_id),
    revision INTEGER NOT NULL,
    role TEXT NOT NULL,
    local_path TEXT NOT NULL,            -- relative to the work folder
    remote_path TEXT NOT NULL,
    file_revision INTEGER NOT NULL,      -- of that name on the receiver
    digest TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    receipt TEXT,
    PRIMARY KEY (exposure_id, revision, role)
) WITHOUT ROWID;
CREATE TABLE committed (                 -- the newest revision of each name that the receiver gave a receipt for
    remote_path TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE events (
    number INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    exposure_id TEXT,
    kind TEXT NOT NULL,                  -- for an exposure: the state that it took
    detail TEXT NOT NULL,
    writer TEXT NOT NULL DEFAULT ''      -- which open journal wrote it, so that an agent sees what others changed
);
CREATE TABLE requests (                  -- what people asked of the agent through the receiver
    number INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    exposure_id TEXT,
    outcome TEXT NOT NULL,               -- 'done' or 'refused'
    reason TEXT NOT NULL,
    answered_at REAL NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0 -- 1: a report that confirmed it was answered
);
"""

_INPUTS = """
CREATE TABLE inputs (                    -- what the newest attempt to align an exposure used beside its movie
    exposure_id TEXT NOT NULL REFERENCES exposures (exposure_id),
    path TEXT NOT NULL,                  -- relative to the source, or absolute
    kind TEXT NOT NULL,
    size_bytes INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, -- NULL: it was named, and was not there
    digest TEXT,                         -- NULL: not known
    PRIMARY KEY (exposure_id, path)
) WITHOUT ROWID;
CREATE INDEX inputs_by_path ON inputs (path);
CREATE INDEX inputs_absent ON inputs (path) WHERE size_bytes IS NULL;
CREATE INDEX exposures_with_inputs ON exposures (number) WHERE inputs_noted = 1;
"""

_ADD_TO_COUNT = "INSERT INTO state_counts VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET count = count + 1"
_TAKE_FROM_COUNT = "UPDATE state_counts SET count = count - 1 WHERE state = OLD.state"

_COUNTING = f"""
CREATE INDEX exposures_by_change ON exposures (state, changed_at);
CREATE TABLE state_counts (              -- how many exposures are in each state
    state TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER count_new AFTER INSERT ON exposures BEGIN {_ADD_TO_COUNT}; END;
CREATE TRIGGER count_changed AFTER UPDATE OF state ON exposures BEGIN {_TAKE_FROM_COUNT}; {_ADD_TO_COUNT}; END;
CREATE TRIGGER count_deleted AFTER DELETE ON exposures BEGIN {_TAKE_FROM_COUNT}; END;
CREATE TABLE sent (                      -- what the receiver committed, by the minute
    minute INTEGER PRIMARY KEY,          -- since 1970
    movies INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL
);
"""

SENT_OF_EXPOSURES = """
SELECT CAST(changed_at / 60 AS INTEGER) AS minute, count(*) AS movies, coalesce(sum(size_bytes), 0) AS size_bytes
FROM (
    SELECT changed_at, (
        SELECT sum(outputs.size_bytes) FROM outputs
        WHERE outputs.exposure_id = exposures.exposure_id AND outputs.revision = exposures.revision
    ) AS size_bytes FROM exposures WHERE state IN ('committed', 'released')
) GROUP BY minute
"""
"""What the table `sent` holds of a journal that was written without it: the newest revision of each exposure."""

SCHEMA = _TABLES + _INPUTS + _COUNTING

_TO_2 = """
UPDATE exposures SET state = 'finished' WHERE state = 'settled';
UPDATE exposures SET state = 'held' WHERE state = 'rejected';
UPDATE events SET kind = 'finished' WHERE kind = 'settled';
UPDATE events SET kind = 'held' WHERE kind = 'rejected';
ALTER TABLE events ADD COLUMN writer TEXT NOT NULL DEFAULT '';
CREATE TABLE requests (
    number INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    exposure_id TEXT,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    answered_at REAL NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0
);
"""

_TO_3 = f"""
ALTER TABLE exposures ADD COLUMN ctime_ns INTEGER;
ALTER TABLE exposures ADD COLUMN sampled_digest TEXT;
ALTER TABLE exposures ADD COLUMN movie_digest TEXT;
ALTER TABLE exposures ADD COLUMN settings_digest TEXT;
ALTER TABLE exposures ADD COLUMN receiver_exposure_id TEXT;
ALTER TABLE exposures ADD COLUMN receiver_stem TEXT;
ALTER TABLE exposures ADD COLUMN claim_reason TEXT NOT NULL DEFAULT 'new';
ALTER TABLE exposures ADD COLUMN claimed_at REAL;
ALTER TABLE exposures ADD COLUMN has_gain INTEGER;
CREATE INDEX exposures_by_movie ON exposures
    (movie, exposure_id, state, size_bytes, mtime_ns, device, inode, ctime_ns);
CREATE INDEX exposures_without_digest ON exposures (number) WHERE sampled_digest IS NULL;
CREATE INDEX exposures_by_receiver_id ON exposures (receiver_exposure_id) WHERE receiver_exposure_id IS NOT NULL;
CREATE INDEX exposures_without_gain ON exposures (number) WHERE has_gain = 0;
CREATE INDEX exposures_released_unsent ON exposures (number) WHERE state = 'released' AND reason != '';
{_COUNTING}
INSERT INTO state_counts SELECT state, count(*) FROM exposures GROUP BY state;
INSERT INTO sent {SENT_OF_EXPOSURES};
"""  # noqa: S608  # fixed text

_TO_4 = f"""
ALTER TABLE exposures ADD COLUMN inputs_noted INTEGER NOT NULL DEFAULT 0;
{_INPUTS}
"""

_TO_5 = """
DROP INDEX exposures_by_receiver_id;
CREATE INDEX exposures_accounted ON exposures (receiver_exposure_id, state, revision);
"""

MIGRATIONS = {1: _TO_2, 2: _TO_3, 3: _TO_4, 4: _TO_5}
"""For each older version the statements that make the next version of it."""


def statements(script: str) -> list[str]:
    """Return the single statements of a script of this module."""
    return [part for part in script.split(";\n") if part.strip()]
