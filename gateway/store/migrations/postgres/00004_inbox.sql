-- SPDX-License-Identifier: Apache-2.0
-- What PSPs call back with, each event once; and tokens that an attempt holds.
-- +goose Up
CREATE TABLE inbox (
    psp         TEXT NOT NULL,
    event       TEXT NOT NULL,
    attempt     TEXT NOT NULL,
    ok          BOOLEAN NOT NULL,
    raw_enc     BYTEA NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (psp, event)
);
CREATE INDEX inbox_attempt ON inbox (attempt);
ALTER TABLE tokens ADD COLUMN attempt TEXT NOT NULL DEFAULT '';
CREATE INDEX tokens_attempt ON tokens (attempt) WHERE attempt <> '';
