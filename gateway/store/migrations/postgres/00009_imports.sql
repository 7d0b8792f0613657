-- SPDX-License-Identifier: Apache-2.0
-- Imports of notices from files: the file in parts until it is done, what was
-- found wrong, and what the columns of a header were said to be.
-- +goose Up
CREATE TABLE uploads (
    school     TEXT NOT NULL REFERENCES schools (code),
    id         TEXT NOT NULL,
    part       BIGINT NOT NULL CHECK (part >= 0),
    data_enc   BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (school, id, part)
);
CREATE INDEX uploads_age ON uploads (created_at) WHERE part = 0;

CREATE TABLE imports (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY,
    school      TEXT NOT NULL REFERENCES schools (code),
    id          TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    dry_run     BOOLEAN NOT NULL,
    on_error    TEXT NOT NULL CHECK (on_error IN ('stop', 'skip')),
    upload      TEXT NOT NULL,
    size        BIGINT NOT NULL,
    digest      BYTEA NOT NULL CHECK (length(digest) = 32),
    actor_kind  TEXT NOT NULL,
    actor_name  TEXT NOT NULL,
    detail_enc  BYTEA NOT NULL,
    counts      TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    lease       TEXT NOT NULL,
    lease_until TIMESTAMPTZ,
    tries       BIGINT NOT NULL,
    PRIMARY KEY (school, id)
);
CREATE INDEX imports_running ON imports (seq) WHERE state = 'running';
CREATE INDEX imports_seq ON imports (school, seq);
CREATE INDEX imports_finished ON imports (finished_at);

CREATE TABLE import_errors (
    school  TEXT NOT NULL,
    import  TEXT NOT NULL,
    seq     BIGINT NOT NULL,
    content_enc BYTEA NOT NULL,
    PRIMARY KEY (school, import, seq),
    FOREIGN KEY (school, import) REFERENCES imports (school, id)
);

CREATE TABLE import_mappings (
    school     TEXT NOT NULL REFERENCES schools (code),
    header     BYTEA NOT NULL CHECK (length(header) = 32),
    mapping_enc BYTEA NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (school, header)
);
