-- SPDX-License-Identifier: Apache-2.0
-- Imports of notices from files: the file in parts until it is done, what was
-- found wrong, and what the columns of a header were said to be.
-- +goose Up
CREATE TABLE uploads (
    school     TEXT NOT NULL REFERENCES schools (code),
    id         TEXT NOT NULL,
    part       INTEGER NOT NULL CHECK (part >= 0),
    data_enc   BLOB NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (school, id, part)
) STRICT;
CREATE INDEX uploads_age ON uploads (created_at) WHERE part = 0;

CREATE TABLE imports (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    school      TEXT NOT NULL REFERENCES schools (code),
    id          TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    dry_run     INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    on_error    TEXT NOT NULL CHECK (on_error IN ('stop', 'skip')),
    upload      TEXT NOT NULL,
    size        INTEGER NOT NULL,
    digest      BLOB NOT NULL CHECK (length(digest) = 32),
    actor_kind  TEXT NOT NULL,
    actor_name  TEXT NOT NULL,
    detail_enc  BLOB NOT NULL,
    counts      TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    finished_at TEXT,
    lease       TEXT NOT NULL,
    lease_until TEXT,
    tries       INTEGER NOT NULL,
    UNIQUE (school, id)
) STRICT;
CREATE INDEX imports_running ON imports (seq) WHERE state = 'running';
CREATE INDEX imports_seq ON imports (school, seq);
CREATE INDEX imports_finished ON imports (finished_at);

CREATE TABLE import_errors (
    school  TEXT NOT NULL,
    import  TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    content_enc BLOB NOT NULL,
    PRIMARY KEY (school, import, seq),
    FOREIGN KEY (school, import) REFERENCES imports (school, id)
) STRICT;

CREATE TABLE import_mappings (
    school     TEXT NOT NULL REFERENCES schools (code),
    header     BLOB NOT NULL CHECK (length(header) = 32),
    mapping_enc BLOB NOT NULL,
    changed_at TEXT NOT NULL,
    PRIMARY KEY (school, header)
) STRICT;
