-- SPDX-License-Identifier: Apache-2.0
-- Where a school takes questions of families, and how many confirmations an
-- address was sent lately.
-- +goose Up
ALTER TABLE schools ADD COLUMN help_mail TEXT NOT NULL DEFAULT '';

CREATE TABLE help_mails (
    address_hash BYTEA NOT NULL,
    at           TIMESTAMPTZ NOT NULL
);
CREATE INDEX help_mails_address ON help_mails (address_hash, at);
