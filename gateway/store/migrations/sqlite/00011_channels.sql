-- SPDX-License-Identifier: Apache-2.0
-- The outbox's other channels: pagoPA's archive of notices, and webhooks.
-- +goose Up

-- Which of several receivers of one kind a message is for; empty where there is
-- one.
ALTER TABLE outbox ADD COLUMN target TEXT NOT NULL DEFAULT '';
CREATE INDEX outbox_lane ON outbox (kind, target, seq) WHERE done_at IS NULL AND parked_at IS NULL;
DROP INDEX outbox_order;
CREATE INDEX outbox_order ON outbox (kind, target, aggregate, seq) WHERE done_at IS NULL AND parked_at IS NULL;
DROP INDEX outbox_waiting;
CREATE INDEX outbox_target ON outbox (target, seq) WHERE target <> '';

-- What the archive was last told of a notice, written before it is told
-- (asked) and after.
CREATE TABLE archive_positions (
    school     TEXT NOT NULL REFERENCES schools (code),
    number     TEXT NOT NULL CHECK (length(number) = 18),
    state      TEXT NOT NULL CHECK (state IN ('asked', 'open', 'closed', 'refused')),
    version    INTEGER NOT NULL,
    due_date   TEXT NOT NULL,
    lapses     INTEGER NOT NULL CHECK (lapses IN (0, 1)),
    code       INTEGER NOT NULL,
    changed_at TEXT NOT NULL,
    PRIMARY KEY (school, number)
) STRICT;
CREATE INDEX archive_positions_refused ON archive_positions (school, number) WHERE state = 'refused';

-- Where a school wants to be called. The address and the keys are encrypted: an
-- address may hold a secret too.
CREATE TABLE webhooks (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    school       TEXT NOT NULL REFERENCES schools (code),
    id           TEXT NOT NULL UNIQUE,
    events       TEXT NOT NULL,
    endpoint_enc BLOB NOT NULL,
    created_at   TEXT NOT NULL,
    changed_at   TEXT NOT NULL,
    version      INTEGER NOT NULL CHECK (version >= 1)
) STRICT;
CREATE INDEX webhooks_school ON webhooks (school, seq);

-- A delivery is the outbox row of kind webhook; this is how each try ended.
CREATE TABLE delivery_tries (
    delivery    TEXT NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    try         INTEGER NOT NULL,
    at          TEXT NOT NULL,
    code        INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    problem     TEXT NOT NULL,
    answer_enc  BLOB NOT NULL,
    PRIMARY KEY (delivery, try)
) STRICT;

-- The job that tells that a notice's last day is over finds them here.
CREATE INDEX notices_lapsing ON notices (due_date) WHERE state = 'open' AND NOT payable_after_due;
