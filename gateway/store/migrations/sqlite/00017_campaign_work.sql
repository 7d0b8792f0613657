-- SPDX-License-Identifier: Apache-2.0
-- What is being done to the notices of a campaign, step by step; whether a
-- school's campaigns need approval; reminders that a school asked for.
-- +goose Up
ALTER TABLE campaigns ADD COLUMN work TEXT NOT NULL DEFAULT '{}';
ALTER TABLE schools ADD COLUMN campaigns_need_approval INTEGER NOT NULL DEFAULT 0 CHECK (campaigns_need_approval IN (0, 1));

-- One for each notice and day.
CREATE TABLE asked_reminders (
    school TEXT NOT NULL REFERENCES schools (code),
    number TEXT NOT NULL,
    day    TEXT NOT NULL,
    at     TEXT NOT NULL,
    PRIMARY KEY (school, number, day)
) STRICT;
