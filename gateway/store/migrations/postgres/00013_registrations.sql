-- SPDX-License-Identifier: Apache-2.0
-- How families get in: registrations by mail, links for a new password, identities
-- of OpenID providers, invitations on paper.
-- +goose Up
CREATE TABLE registrations (
    id         TEXT NOT NULL PRIMARY KEY,
    code_hash  BYTEA NOT NULL,
    person_enc BYTEA NOT NULL,
    language   TEXT NOT NULL,
    account    TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX registrations_code ON registrations (code_hash, created_at);
CREATE INDEX registrations_age ON registrations (created_at);

CREATE TABLE password_links (
    id         TEXT NOT NULL PRIMARY KEY,
    account    TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at    TIMESTAMPTZ
);
CREATE INDEX password_links_account ON password_links (account, created_at);
CREATE INDEX password_links_age ON password_links (created_at);

CREATE TABLE identities (
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    account    TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_account ON identities (account);

CREATE TABLE invitations (
    hash       BYTEA NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    school     TEXT NOT NULL REFERENCES schools (code),
    payer      TEXT NOT NULL,
    by_kind    TEXT NOT NULL,
    by_name    TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at    TIMESTAMPTZ
);
CREATE INDEX invitations_payer ON invitations (school, payer);

ALTER TABLE accounts ADD COLUMN password_until TIMESTAMPTZ;
ALTER TABLE accounts ADD COLUMN password_used BOOLEAN NOT NULL DEFAULT FALSE;
