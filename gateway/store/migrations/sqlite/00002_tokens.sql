-- SPDX-License-Identifier: Apache-2.0
-- The node face: tokens that keep a notice for a payer at a PSP. And an index for
-- the job that drops delivered messages.
-- +goose Up
CREATE TABLE tokens (
    id           TEXT NOT NULL PRIMARY KEY,
    school       TEXT NOT NULL REFERENCES schools (code),
    number       TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('active', 'paid', 'ko', 'expired')),
    psp          TEXT NOT NULL,
    psp_name     TEXT NOT NULL,
    broker       TEXT NOT NULL,
    channel      TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents BETWEEN 1 AND 99999999999),
    transfers    TEXT NOT NULL,
    payment_note TEXT NOT NULL,
    once         TEXT NOT NULL,
    outcome      TEXT NOT NULL CHECK (outcome IN ('', 'OK', 'KO')),
    created_at   TEXT NOT NULL,
    expires_at   TEXT NOT NULL,
    changed_at   TEXT NOT NULL,
    FOREIGN KEY (school, number) REFERENCES notices (school, number)
) STRICT;
CREATE UNIQUE INDEX tokens_active ON tokens (school, number) WHERE state = 'active';
CREATE INDEX tokens_notice ON tokens (school, number, created_at);
CREATE INDEX schools_postal ON schools (postal_account) WHERE postal_account <> '';
CREATE INDEX outbox_done ON outbox (done_at) WHERE done_at IS NOT NULL;
