-- SPDX-License-Identifier: Apache-2.0
-- How families get in: registrations by mail, links for a new password, identities
-- of OpenID providers, invitations on paper.
-- +goose Up
CREATE TABLE registrations (
    id         TEXT NOT NULL PRIMARY KEY,
    code_hash  BLOB NOT NULL,
    person_enc BLOB NOT NULL,
    language   TEXT NOT NULL,
    account    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX registrations_code ON registrations (code_hash, created_at);
CREATE INDEX registrations_age ON registrations (created_at);

CREATE TABLE password_links (
    id         TEXT NOT NULL PRIMARY KEY,
    account    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at    TEXT
) STRICT;
CREATE INDEX password_links_account ON password_links (account, created_at);
CREATE INDEX password_links_age ON password_links (created_at);

CREATE TABLE identities (
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    account    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE INDEX identities_account ON identities (account);

CREATE TABLE invitations (
    hash       BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    school     TEXT NOT NULL REFERENCES schools (code),
    payer      TEXT NOT NULL,
    by_kind    TEXT NOT NULL,
    by_name    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at    TEXT
) STRICT;
CREATE INDEX invitations_payer ON invitations (school, payer);

ALTER TABLE accounts ADD COLUMN password_until TEXT;
ALTER TABLE accounts ADD COLUMN password_used INTEGER NOT NULL DEFAULT 0 CHECK (password_used IN (0, 1));
