-- SPDX-License-Identifier: Apache-2.0
-- Prints of many notices; their files are uploads.
-- +goose Up
CREATE TABLE prints (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    school      TEXT NOT NULL REFERENCES schools (code),
    id          TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    format      TEXT NOT NULL CHECK (format IN ('pdf', 'zip')),
    language    TEXT NOT NULL,
    title       TEXT NOT NULL,
    numbers     TEXT NOT NULL,
    printed     INTEGER NOT NULL,
    skipped     INTEGER NOT NULL,
    upload      TEXT NOT NULL,
    size        INTEGER NOT NULL,
    digest      BLOB NOT NULL CHECK (length(digest) = 32),
    failure     TEXT NOT NULL,
    actor_kind  TEXT NOT NULL,
    actor_name  TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    finished_at TEXT,
    expires_at  TEXT,
    lease       TEXT NOT NULL,
    lease_until TEXT,
    tries       INTEGER NOT NULL,
    UNIQUE (school, id)
) STRICT;
CREATE INDEX prints_running ON prints (seq) WHERE state = 'running';
CREATE INDEX prints_expiry ON prints (expires_at) WHERE expires_at IS NOT NULL;
