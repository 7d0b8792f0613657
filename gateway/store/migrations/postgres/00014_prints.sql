-- SPDX-License-Identifier: Apache-2.0
-- Prints of many notices; their files are uploads.
-- +goose Up
CREATE TABLE prints (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY,
    school      TEXT NOT NULL REFERENCES schools (code),
    id          TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    format      TEXT NOT NULL CHECK (format IN ('pdf', 'zip')),
    language    TEXT NOT NULL,
    title       TEXT NOT NULL,
    numbers     TEXT NOT NULL,
    printed     BIGINT NOT NULL,
    skipped     BIGINT NOT NULL,
    upload      TEXT NOT NULL,
    size        BIGINT NOT NULL,
    digest      BYTEA NOT NULL CHECK (length(digest) = 32),
    failure     TEXT NOT NULL,
    actor_kind  TEXT NOT NULL,
    actor_name  TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    expires_at  TIMESTAMPTZ,
    lease       TEXT NOT NULL,
    lease_until TIMESTAMPTZ,
    tries       BIGINT NOT NULL,
    PRIMARY KEY (school, id)
);
CREATE INDEX prints_running ON prints (seq) WHERE state = 'running';
CREATE INDEX prints_expiry ON prints (expires_at) WHERE expires_at IS NOT NULL;
