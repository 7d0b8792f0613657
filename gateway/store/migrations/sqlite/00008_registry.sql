-- SPDX-License-Identifier: Apache-2.0
-- The registry in order of arrival, delegates of classes, the official taxonomy,
-- new secrets of clients, and what evidence and audit are listed by.
-- +goose Up
ALTER TABLE pupils ADD COLUMN created_at TEXT NOT NULL DEFAULT '2000-01-01T00:00:00.000000Z';
CREATE INDEX pupils_created ON pupils (school, created_at, id);

-- A delegation (delega del rappresentante di classe) is for the school year it
-- was given in, and kept when it has ended. The payer may be gone then.
CREATE TABLE delegates (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    school        TEXT NOT NULL REFERENCES schools (code),
    class         TEXT NOT NULL,
    payer         TEXT NOT NULL,
    since         TEXT NOT NULL,
    by_kind       TEXT NOT NULL,
    by_name       TEXT NOT NULL,
    ended_at      TEXT,
    ended_by_kind TEXT NOT NULL,
    ended_by_name TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX delegates_live ON delegates (school, payer, class) WHERE ended_at IS NULL;
CREATE INDEX delegates_class ON delegates (school, class) WHERE ended_at IS NULL;

CREATE TABLE taxonomy (
    code       TEXT NOT NULL,
    valid_from TEXT NOT NULL,
    valid_to   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    area       TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    PRIMARY KEY (code, valid_from)
) STRICT;

ALTER TABLE clients ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX evidence_owner ON evidence (owner, seq);
CREATE INDEX audit_object ON audit (school, object, seq);
