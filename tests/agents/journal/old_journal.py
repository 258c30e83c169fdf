"""A journal that a cryoferry of schema version 1 wrote."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from uuid import uuid4

from agents.journal.opening import NAME

VERSION_1 = """
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
    changed_at REAL NOT NULL
);
CREATE INDEX exposures_by_state ON exposures (state, number);
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
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
);
"""
OLD_STATES = ["found", "settled", "aligned", "sending", "committed", "released", "rejected", "failed"]
MOVIES = {f"{state}.tif": uuid4() for state in OLD_STATES}


def write_old_journal(work: Path) -> Path:
    """Write a journal of schema version 1 into a folder, with one exposure in each state; return the folder."""
    database = sqlite3.connect(work / NAME)
    database.executescript(VERSION_1)
    for state, (movie, exposure_id) in zip(OLD_STATES, MOVIES.items(), strict=True):
        database.execute(
            "INSERT INTO exposures (exposure_id, movie, remote_stem, label, state, found_at, changed_at, changes)"
            " VALUES (?, ?, ?, ?, ?, 1.0, 2.0, ?)",
            (str(exposure_id), movie, state, state, state, '{"settings": {"bin_factor": 2}}'),
        )
        database.execute(
            "INSERT INTO events (at, exposure_id, kind, detail) VALUES (2.0, ?, ?, 'why')", (str(exposure_id), state)
        )
    database.execute("INSERT INTO about VALUES ('session', 's')")
    database.execute("INSERT INTO committed VALUES ('a.mrc', 3)")
    database.execute("PRAGMA user_version = 1")
    database.commit()
    database.close()
    return work
