-- SPDX-License-Identifier: Apache-2.0
-- Who in the registry is no pupil: staff, and other adults.
-- +goose Up
ALTER TABLE pupils ADD COLUMN kind TEXT NOT NULL DEFAULT '' CHECK (kind IN ('', 'staff', 'adult'));
CREATE INDEX pupils_kind ON pupils (school, kind, created_at, id) WHERE kind <> '';
