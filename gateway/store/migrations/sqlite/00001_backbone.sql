-- SPDX-License-Identifier: Apache-2.0
--
-- Times are fixed-width UTC text (2006-01-02T15:04:05.000000Z): text order is
-- time order. Columns named *_enc are encrypted, *_hash are keyed hashes. Amounts
-- are cents. What belongs to a school carries its code, and no foreign key
-- crosses schools. The other database has the same tables and columns.

-- +goose Up
CREATE TABLE installation (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- One key per school, and the installation's own under '*'; wrapped.
CREATE TABLE data_keys (
    owner      TEXT NOT NULL PRIMARY KEY,
    wrapped    BLOB NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE schools (
    code                 TEXT NOT NULL PRIMARY KEY CHECK (length(code) = 11),
    name                 TEXT NOT NULL CHECK (name <> ''),
    iban                 TEXT NOT NULL,
    segregation          TEXT NOT NULL CHECK (length(segregation) = 2),
    broker               TEXT NOT NULL,
    station              TEXT NOT NULL,
    mechanograph         TEXT NOT NULL,
    cbill                TEXT NOT NULL,
    taxonomy             TEXT NOT NULL,
    postal_account       TEXT NOT NULL,
    postal_iban          TEXT NOT NULL,
    postal_holder        TEXT NOT NULL,
    postal_authorization TEXT NOT NULL,
    help_text            TEXT NOT NULL,
    created_at           TEXT NOT NULL,
    version              INTEGER NOT NULL CHECK (version >= 1)
) STRICT;
CREATE INDEX schools_station ON schools (broker, station);

CREATE TABLE iuv_counters (
    school      TEXT NOT NULL REFERENCES schools (code),
    segregation TEXT NOT NULL CHECK (length(segregation) = 2),
    key_wrapped BLOB NOT NULL,
    next        INTEGER NOT NULL CHECK (next >= 0),
    PRIMARY KEY (school, segregation)
) STRICT;

CREATE TABLE notices (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    school            TEXT NOT NULL REFERENCES schools (code),
    number            TEXT NOT NULL CHECK (length(number) = 18),
    state             TEXT NOT NULL CHECK (state IN ('draft', 'open', 'paid', 'cancelled', 'expired')),
    version           INTEGER NOT NULL CHECK (version >= 1),
    debtor_hash       BLOB,
    debtor_enc        BLOB NOT NULL,
    class             TEXT NOT NULL,
    description       TEXT NOT NULL,
    amount_cents      INTEGER NOT NULL CHECK (amount_cents BETWEEN 1 AND 99999999999),
    past_amounts      TEXT NOT NULL,
    due_date          TEXT NOT NULL,
    payable_after_due INTEGER NOT NULL CHECK (payable_after_due IN (0, 1)),
    held              INTEGER NOT NULL CHECK (held IN (0, 1)),
    taxonomy          TEXT NOT NULL,
    deduction         TEXT NOT NULL,
    external_id       TEXT NOT NULL,
    campaign          TEXT NOT NULL,
    transfers         TEXT NOT NULL,
    fingerprint       BLOB NOT NULL CHECK (length(fingerprint) = 32),
    created_at        TEXT NOT NULL,
    changed_at        TEXT NOT NULL,
    paid_at           TEXT,
    settled_by        TEXT NOT NULL,
    UNIQUE (school, number),
    CHECK ((state = 'paid') = (settled_by <> '')),
    CHECK ((state = 'paid') = (paid_at IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX notices_external_id ON notices (school, external_id) WHERE external_id <> '';
CREATE INDEX notices_seq ON notices (school, seq);
CREATE INDEX notices_class ON notices (school, class, seq);
CREATE INDEX notices_debtor ON notices (debtor_hash, school, seq);
CREATE INDEX notices_due ON notices (school, due_date);

CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    school     TEXT NOT NULL REFERENCES schools (code),
    number     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    receipt    TEXT NOT NULL,
    anomaly    TEXT NOT NULL,
    attempt    TEXT NOT NULL,
    state      TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX events_notice ON events (school, number, seq);

CREATE TABLE receipts (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    school       TEXT NOT NULL REFERENCES schools (code),
    id           TEXT NOT NULL CHECK (id <> ''),
    number       TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('creditor', 'beneficiary')),
    anomaly      TEXT NOT NULL,
    channel      TEXT NOT NULL CHECK (channel IN ('node', 'psp', 'connector')),
    settles      INTEGER NOT NULL CHECK (settles IN (0, 1)),
    receipt_id   TEXT NOT NULL,
    creditor     TEXT NOT NULL,
    reference    TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents BETWEEN 0 AND 99999999999),
    paid_at      TEXT,
    psp_id       TEXT NOT NULL,
    psp_name     TEXT NOT NULL,
    method       TEXT NOT NULL,
    digest       BLOB NOT NULL CHECK (length(digest) = 32),
    same         BLOB NOT NULL CHECK (length(same) = 32),
    content_enc  BLOB NOT NULL,
    raw_enc      BLOB NOT NULL,
    received_at  TEXT NOT NULL,
    UNIQUE (school, id),
    UNIQUE (school, creditor, reference, receipt_id),
    CHECK (NOT settles OR (number <> '' AND role = 'creditor'))
) STRICT;
CREATE UNIQUE INDEX receipts_settling ON receipts (school, number) WHERE settles;
CREATE INDEX receipts_seq ON receipts (school, seq);
CREATE INDEX receipts_notice ON receipts (school, number, seq);
CREATE INDEX receipts_paid ON receipts (school, paid_at);
CREATE INDEX receipts_anomaly ON receipts (school, anomaly, seq) WHERE anomaly <> '';

CREATE TABLE seals (
    school   TEXT NOT NULL REFERENCES schools (code),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    receipt  TEXT NOT NULL,
    digest   BLOB NOT NULL CHECK (length(digest) = 32),
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (school, sequence),
    UNIQUE (school, receipt),
    FOREIGN KEY (school, receipt) REFERENCES receipts (school, id)
) STRICT;

-- Bytes that prove something but are no receipt: the school may be anybody's or
-- missing, so it is no key. owner names the data key.
CREATE TABLE evidence (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL CHECK (kind IN ('altered_copy', 'inconsistent', 'refused', 'syntax')),
    operation   TEXT NOT NULL,
    school      TEXT NOT NULL,
    receipt_id  TEXT NOT NULL,
    number      TEXT NOT NULL,
    digest      BLOB NOT NULL CHECK (length(digest) = 32),
    owner       TEXT NOT NULL REFERENCES data_keys (owner),
    raw_enc     BLOB NOT NULL,
    received_at TEXT NOT NULL
) STRICT;
CREATE INDEX evidence_school ON evidence (school, seq);

CREATE TABLE refunds (
    school       TEXT NOT NULL REFERENCES schools (code),
    id           TEXT NOT NULL,
    receipt      TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents BETWEEN 0 AND 99999999999),
    reason       TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state <> ''),
    requested_by TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    changed_at   TEXT NOT NULL,
    PRIMARY KEY (school, id),
    FOREIGN KEY (school, receipt) REFERENCES receipts (school, id)
) STRICT;

-- Carts and attempts belong to the installation and name notices by (school,
-- number) without a foreign key.
CREATE TABLE carts (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    state       TEXT NOT NULL CHECK (state IN ('open', 'redirected', 'closed_ok', 'closed_partial', 'closed_ko', 'closed_expired')),
    method      TEXT NOT NULL,
    psp         TEXT NOT NULL,
    account     TEXT NOT NULL,
    school      TEXT NOT NULL,
    request_key TEXT NOT NULL UNIQUE,
    email_enc   BLOB NOT NULL,
    return_url  TEXT NOT NULL,
    fee_cents   INTEGER NOT NULL CHECK (fee_cents BETWEEN 0 AND 99999999999),
    redirect    TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    changed_at  TEXT NOT NULL,
    version     INTEGER NOT NULL CHECK (version >= 1)
) STRICT;
CREATE INDEX carts_account ON carts (account, seq) WHERE account <> '';

CREATE TABLE cart_notices (
    cart         TEXT NOT NULL REFERENCES carts (id),
    position     INTEGER NOT NULL CHECK (position BETWEEN 1 AND 5),
    school       TEXT NOT NULL,
    number       TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents BETWEEN 1 AND 99999999999),
    settled      INTEGER NOT NULL CHECK (settled IN (0, 1)),
    PRIMARY KEY (cart, position),
    UNIQUE (cart, school, number)
) STRICT;

CREATE TABLE attempts (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    cart       TEXT NOT NULL REFERENCES carts (id),
    state      TEXT NOT NULL CHECK (state IN ('created', 'sent', 'unknown', 'authorised', 'settled', 'failed', 'abandoned', 'expired')),
    method     TEXT NOT NULL,
    psp        TEXT NOT NULL,
    fee_cents  INTEGER NOT NULL CHECK (fee_cents BETWEEN 0 AND 99999999999),
    reference  TEXT NOT NULL,
    redirect   TEXT NOT NULL,
    created_at TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    lapses_at  TEXT NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1)
) STRICT;
CREATE INDEX attempts_cart ON attempts (cart, seq);
CREATE INDEX attempts_due ON attempts (lapses_at) WHERE state IN ('created', 'sent', 'unknown');
CREATE INDEX attempts_live ON attempts (state) WHERE state IN ('created', 'sent', 'unknown', 'authorised');

CREATE TABLE attempt_notices (
    attempt TEXT NOT NULL REFERENCES attempts (id),
    school  TEXT NOT NULL,
    number  TEXT NOT NULL,
    live    INTEGER NOT NULL CHECK (live IN (0, 1)),
    PRIMARY KEY (attempt, school, number)
) STRICT;
CREATE UNIQUE INDEX attempt_notices_live ON attempt_notices (school, number) WHERE live;

CREATE TABLE pupils (
    school      TEXT NOT NULL REFERENCES schools (code),
    id          TEXT NOT NULL,
    code_hash   BLOB,
    person_enc  BLOB NOT NULL,
    class       TEXT NOT NULL,
    school_year TEXT NOT NULL,
    PRIMARY KEY (school, id)
) STRICT;
CREATE INDEX pupils_class ON pupils (school, class, id);
CREATE INDEX pupils_code ON pupils (school, code_hash);

CREATE TABLE payers (
    school     TEXT NOT NULL REFERENCES schools (code),
    id         TEXT NOT NULL,
    code_hash  BLOB,
    person_enc BLOB NOT NULL,
    language   TEXT NOT NULL,
    PRIMARY KEY (school, id)
) STRICT;
CREATE INDEX payers_code ON payers (code_hash, school);

CREATE TABLE pupil_payers (
    school   TEXT NOT NULL,
    pupil    TEXT NOT NULL,
    payer    TEXT NOT NULL,
    relation TEXT NOT NULL,
    since    TEXT NOT NULL,
    by_kind  TEXT NOT NULL,
    by_name  TEXT NOT NULL,
    PRIMARY KEY (school, pupil, payer),
    FOREIGN KEY (school, pupil) REFERENCES pupils (school, id),
    FOREIGN KEY (school, payer) REFERENCES payers (school, id)
) STRICT;
CREATE INDEX pupil_payers_payer ON pupil_payers (school, payer, pupil);

CREATE TABLE accounts (
    id            TEXT NOT NULL PRIMARY KEY,
    username_hash BLOB NOT NULL UNIQUE,
    code_hash     BLOB UNIQUE,
    person_enc    BLOB NOT NULL,
    password      TEXT NOT NULL,
    must_change   INTEGER NOT NULL CHECK (must_change IN (0, 1)),
    proven        INTEGER NOT NULL CHECK (proven IN (0, 1)),
    language      TEXT NOT NULL,
    last_method   TEXT NOT NULL,
    last_psp      TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    failures      INTEGER NOT NULL CHECK (failures >= 0),
    locked_until  TEXT
) STRICT;

CREATE TABLE sessions (
    token_hash BLOB NOT NULL PRIMARY KEY,
    data_enc   BLOB NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE clients (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    school     TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    secret     BLOB NOT NULL CHECK (length(secret) = 32),
    created_at TEXT NOT NULL,
    revoked_at TEXT
) STRICT;

CREATE TABLE outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    school      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    aggregate   TEXT NOT NULL,
    payload_enc BLOB NOT NULL,
    created_at  TEXT NOT NULL,
    run_at      TEXT NOT NULL,
    lease_until TEXT,
    tries       INTEGER NOT NULL DEFAULT 0,
    done_at     TEXT,
    parked_at   TEXT
) STRICT;
CREATE INDEX outbox_waiting ON outbox (seq) WHERE done_at IS NULL AND parked_at IS NULL;
CREATE INDEX outbox_order ON outbox (kind, aggregate, seq) WHERE done_at IS NULL AND parked_at IS NULL;
CREATE INDEX outbox_parked ON outbox (kind) WHERE parked_at IS NOT NULL;

CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    school     TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    action     TEXT NOT NULL,
    object     TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
CREATE INDEX audit_school ON audit (school, seq);

-- The answers of requests with an idempotency key.
CREATE TABLE once (
    scope       TEXT NOT NULL PRIMARY KEY,
    fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
    running     INTEGER NOT NULL CHECK (running IN (0, 1)),
    status      INTEGER NOT NULL,
    location    TEXT NOT NULL,
    body_enc    BLOB NOT NULL,
    created_at  TEXT NOT NULL,
    expires_at  TEXT NOT NULL
) STRICT;
CREATE INDEX once_expiry ON once (expires_at);

-- Receipts, evidence, events and audit are only added (I6).
-- +goose StatementBegin
CREATE TRIGGER receipts_kept BEFORE UPDATE ON receipts BEGIN SELECT RAISE(ABORT, 'receipts are only added'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER receipts_kept_whole BEFORE DELETE ON receipts BEGIN SELECT RAISE(ABORT, 'receipts are only added'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER evidence_kept BEFORE UPDATE ON evidence BEGIN SELECT RAISE(ABORT, 'evidence is only added'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER evidence_kept_whole BEFORE DELETE ON evidence BEGIN SELECT RAISE(ABORT, 'evidence is only added'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER events_kept BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER events_kept_whole BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are only added'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_kept BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is only added'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_kept_whole BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is only added'); END;
-- +goose StatementEnd
