-- SPDX-License-Identifier: Apache-2.0
-- The register of refunds: who asked, who decided, who gives the money back; and
-- the payments that PSPs give back whole, each once.
-- +goose Up
CREATE TABLE refunds_next (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    school         TEXT NOT NULL REFERENCES schools (code),
    id             TEXT NOT NULL,
    receipt        TEXT NOT NULL,
    amount_cents   INTEGER NOT NULL CHECK (amount_cents BETWEEN 0 AND 99999999999),
    reason         TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('requested', 'approved', 'executed', 'rejected')),
    requested_by   TEXT NOT NULL,
    created_at     TEXT NOT NULL,
    changed_at     TEXT NOT NULL,
    requested_kind TEXT NOT NULL DEFAULT 'system',
    decided_kind   TEXT NOT NULL DEFAULT '',
    decided_by     TEXT NOT NULL DEFAULT '',
    execution      TEXT NOT NULL DEFAULT '' CHECK (execution IN ('', 'school', 'waiting', 'psp', 'psp_refused')),
    attempt        TEXT NOT NULL DEFAULT '',
    details_enc    BLOB,
    version        INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1),
    UNIQUE (school, id),
    FOREIGN KEY (school, receipt) REFERENCES receipts (school, id)
) STRICT;
INSERT INTO refunds_next (school, id, receipt, amount_cents, reason, state, requested_by, created_at, changed_at)
SELECT school, id, receipt, amount_cents, reason, state, requested_by, created_at, changed_at
  FROM refunds
 ORDER BY created_at, id;
DROP TABLE refunds;
ALTER TABLE refunds_next RENAME TO refunds;
CREATE INDEX refunds_seq ON refunds (school, seq);
CREATE INDEX refunds_receipt ON refunds (school, receipt);
CREATE TABLE psp_refunds (
    attempt    TEXT NOT NULL PRIMARY KEY REFERENCES attempts (id),
    psp        TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('asking', 'done', 'refused', 'dropped')),
    asked      INTEGER NOT NULL CHECK (asked >= 0),
    ask_at     TEXT,
    created_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    CHECK ((state = 'asking') = (ask_at IS NOT NULL))
) STRICT;
CREATE INDEX psp_refunds_ask ON psp_refunds (ask_at) WHERE ask_at IS NOT NULL;
ALTER TABLE events ADD COLUMN refund TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN refund_state TEXT NOT NULL DEFAULT '';
