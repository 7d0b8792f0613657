-- SPDX-License-Identifier: Apache-2.0
-- Payments whose PSP can be asked what became of them: when to ask next, and how
-- often it was asked.
-- +goose Up
ALTER TABLE attempts ADD COLUMN poll_at TIMESTAMPTZ;
ALTER TABLE attempts ADD COLUMN polls BIGINT NOT NULL DEFAULT 0;
CREATE INDEX attempts_poll ON attempts (poll_at) WHERE poll_at IS NOT NULL;
