-- SPDX-License-Identifier: Apache-2.0
-- What a family decides for itself: consents, e-mail, the places it is logged in
-- at, and the cart it left behind. The town of a school, to be found by.
-- +goose Up
ALTER TABLE schools ADD COLUMN town TEXT NOT NULL DEFAULT '';

ALTER TABLE accounts ADD COLUMN consents_at TIMESTAMPTZ;
ALTER TABLE accounts ADD COLUMN mail_consent BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE accounts ADD COLUMN choice_consent BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE logins (
    id         TEXT NOT NULL PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    device     TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    seen_at    TIMESTAMPTZ NOT NULL,
    ended_at   TIMESTAMPTZ
);
CREATE INDEX logins_account ON logins (account, created_at);

CREATE TABLE email_changes (
    account    TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    token_hash BYTEA NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    email_enc  BYTEA NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE baskets (
    account TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    notices TEXT NOT NULL
);
