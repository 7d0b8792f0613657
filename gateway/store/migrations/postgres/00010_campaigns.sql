-- SPDX-License-Identifier: Apache-2.0
-- Campaigns: what a school asks, and of which pupils.
-- +goose Up
CREATE TABLE campaigns (
    seq           BIGINT GENERATED ALWAYS AS IDENTITY,
    school        TEXT NOT NULL REFERENCES schools (code),
    id            TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('draft', 'approved', 'published', 'closed')),
    content       TEXT NOT NULL,
    author_kind   TEXT NOT NULL,
    author_name   TEXT NOT NULL,
    approver_kind TEXT NOT NULL,
    approver_name TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    changed_at    TIMESTAMPTZ NOT NULL,
    version       BIGINT NOT NULL,
    PRIMARY KEY (school, id)
);
CREATE INDEX campaigns_seq ON campaigns (school, seq);
