-- SPDX-License-Identifier: Apache-2.0
-- Open voluntary contributions: what anybody may make a notice of.
-- +goose Up
CREATE TABLE contributions (
    school           TEXT NOT NULL REFERENCES schools (code),
    id               TEXT NOT NULL,
    service          TEXT NOT NULL CHECK (length(service) = 5),
    description      TEXT NOT NULL,
    amount_cents     INTEGER NOT NULL CHECK (amount_cents BETWEEN 1 AND 99999999999),
    min_amount_cents INTEGER NOT NULL CHECK (min_amount_cents BETWEEN 0 AND amount_cents),
    free_amount      INTEGER NOT NULL CHECK (free_amount IN (0, 1)),
    due_date         TEXT NOT NULL,
    taxonomy         TEXT NOT NULL,
    deduction        TEXT NOT NULL,
    closed           INTEGER NOT NULL CHECK (closed IN (0, 1)),
    created_at       TEXT NOT NULL,
    version          INTEGER NOT NULL,
    PRIMARY KEY (school, id)
) STRICT;
CREATE UNIQUE INDEX contributions_service ON contributions (service);
