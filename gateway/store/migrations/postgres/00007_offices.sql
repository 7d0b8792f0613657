-- SPDX-License-Identifier: Apache-2.0
-- Plans: a notice that may also be paid in instalments. Indexes for every filter
-- of the lists. What names are found by. And the ETag of a saved answer.
-- +goose Up
ALTER TABLE notices ADD COLUMN plan TEXT NOT NULL DEFAULT '';
ALTER TABLE notices ADD COLUMN instalment BIGINT NOT NULL DEFAULT 0;
ALTER TABLE notices ADD COLUMN plan_parts BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX notices_plan ON notices (school, plan, instalment) WHERE plan <> '';
CREATE INDEX notices_state ON notices (school, state, seq);
CREATE INDEX notices_campaign ON notices (school, campaign, seq) WHERE campaign <> '';
CREATE INDEX notices_paid ON notices (school, paid_at) WHERE paid_at IS NOT NULL;

-- The people of a school who owe notices and have a code, to find them by name:
-- the names are sealed, and opened to be compared.
CREATE TABLE names (
    school    TEXT NOT NULL REFERENCES schools (code),
    code_hash BYTEA NOT NULL,
    name_hash BYTEA NOT NULL,
    name_enc  BYTEA NOT NULL,
    PRIMARY KEY (school, code_hash, name_hash)
);

ALTER TABLE once ADD COLUMN etag TEXT NOT NULL DEFAULT '';
