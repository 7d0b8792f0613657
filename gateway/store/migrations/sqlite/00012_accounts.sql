-- SPDX-License-Identifier: Apache-2.0
-- What a family decides for itself: consents, e-mail, the places it is logged in
-- at, and the cart it left behind. The town of a school, to be found by.
-- +goose Up
ALTER TABLE schools ADD COLUMN town TEXT NOT NULL DEFAULT '';

ALTER TABLE accounts ADD COLUMN consents_at TEXT;
ALTER TABLE accounts ADD COLUMN mail_consent INTEGER NOT NULL DEFAULT 0 CHECK (mail_consent IN (0, 1));
ALTER TABLE accounts ADD COLUMN choice_consent INTEGER NOT NULL DEFAULT 0 CHECK (choice_consent IN (0, 1));

CREATE TABLE logins (
    id         TEXT NOT NULL PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    device     TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seen_at    TEXT NOT NULL,
    ended_at   TEXT
) STRICT;
CREATE INDEX logins_account ON logins (account, created_at);

CREATE TABLE email_changes (
    account    TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    token_hash BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    email_enc  BLOB NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;

CREATE TABLE baskets (
    account TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    notices TEXT NOT NULL
) STRICT;
