-- SPDX-License-Identifier: Apache-2.0
-- Campaigns: what a school asks, and of which pupils.
-- +goose Up
CREATE TABLE campaigns (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    school        TEXT NOT NULL REFERENCES schools (code),
    id            TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('draft', 'approved', 'published', 'closed')),
    content       TEXT NOT NULL,
    author_kind   TEXT NOT NULL,
    author_name   TEXT NOT NULL,
    approver_kind TEXT NOT NULL,
    approver_name TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    changed_at    TEXT NOT NULL,
    version       INTEGER NOT NULL,
    UNIQUE (school, id)
) STRICT;
CREATE INDEX campaigns_seq ON campaigns (school, seq);
