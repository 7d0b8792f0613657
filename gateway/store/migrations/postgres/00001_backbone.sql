-- SPDX-License-Identifier: Apache-2.0
--
-- Columns named *_enc are encrypted, *_hash are keyed hashes. Amounts are cents.
-- What belongs to a school carries its code, and no foreign key crosses schools;
-- primary and unique keys of a school's tables contain it, so that they can be
-- partitioned. Texts that lists are ordered by have the collation "C", so that
-- the order is the other database's. That one has the same tables and columns.

-- +goose Up
CREATE TABLE installation (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- One key per school, and the installation's own under '*'; wrapped.
CREATE TABLE data_keys (
    owner      TEXT NOT NULL PRIMARY KEY,
    wrapped    BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE schools (
    code                 TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(code) = 11),
    name                 TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
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
    created_at           TIMESTAMPTZ NOT NULL,
    version              BIGINT NOT NULL CHECK (version >= 1)
);
CREATE INDEX schools_station ON schools (broker, station);

CREATE TABLE iuv_counters (
    school      TEXT NOT NULL REFERENCES schools (code),
    segregation TEXT NOT NULL CHECK (length(segregation) = 2),
    key_wrapped BYTEA NOT NULL,
    next        BIGINT NOT NULL CHECK (next >= 0),
    PRIMARY KEY (school, segregation)
);

CREATE TABLE notices (
    seq               BIGINT GENERATED ALWAYS AS IDENTITY,
    school            TEXT NOT NULL REFERENCES schools (code),
    number            TEXT NOT NULL CHECK (length(number) = 18),
    state             TEXT NOT NULL CHECK (state IN ('draft', 'open', 'paid', 'cancelled', 'expired')),
    version           BIGINT NOT NULL CHECK (version >= 1),
    debtor_hash       BYTEA,
    debtor_enc        BYTEA NOT NULL,
    class             TEXT NOT NULL,
    description       TEXT NOT NULL,
    amount_cents      BIGINT NOT NULL CHECK (amount_cents BETWEEN 1 AND 99999999999),
    past_amounts      TEXT NOT NULL,
    due_date          DATE NOT NULL,
    payable_after_due BOOLEAN NOT NULL,
    held              BOOLEAN NOT NULL,
    taxonomy          TEXT NOT NULL,
    deduction         TEXT NOT NULL,
    external_id       TEXT NOT NULL,
    campaign          TEXT NOT NULL,
    transfers         TEXT NOT NULL,
    fingerprint       BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    created_at        TIMESTAMPTZ NOT NULL,
    changed_at        TIMESTAMPTZ NOT NULL,
    paid_at           TIMESTAMPTZ,
    settled_by        TEXT NOT NULL,
    PRIMARY KEY (school, number),
    CHECK ((state = 'paid') = (settled_by <> '')),
    CHECK ((state = 'paid') = (paid_at IS NOT NULL))
);
CREATE UNIQUE INDEX notices_external_id ON notices (school, external_id) WHERE external_id <> '';
CREATE INDEX notices_seq ON notices (school, seq);
CREATE INDEX notices_class ON notices (school, class, seq);
CREATE INDEX notices_debtor ON notices (debtor_hash, school, seq);
CREATE INDEX notices_due ON notices (school, due_date);

CREATE TABLE events (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY,
    school     TEXT NOT NULL REFERENCES schools (code),
    number     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    receipt    TEXT NOT NULL,
    anomaly    TEXT NOT NULL,
    attempt    TEXT NOT NULL,
    state      TEXT NOT NULL,
    at         TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (school, number, seq)
);

CREATE TABLE receipts (
    seq          BIGINT GENERATED ALWAYS AS IDENTITY,
    school       TEXT NOT NULL REFERENCES schools (code),
    id           TEXT NOT NULL CHECK (id <> ''),
    number       TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('creditor', 'beneficiary')),
    anomaly      TEXT NOT NULL,
    channel      TEXT NOT NULL CHECK (channel IN ('node', 'psp', 'connector')),
    settles      BOOLEAN NOT NULL,
    receipt_id   TEXT NOT NULL,
    creditor     TEXT NOT NULL,
    reference    TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents BETWEEN 0 AND 99999999999),
    paid_at      TIMESTAMPTZ,
    psp_id       TEXT NOT NULL,
    psp_name     TEXT NOT NULL,
    method       TEXT NOT NULL,
    digest       BYTEA NOT NULL CHECK (length(digest) = 32),
    same         BYTEA NOT NULL CHECK (length(same) = 32),
    content_enc  BYTEA NOT NULL,
    raw_enc      BYTEA NOT NULL,
    received_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (school, id),
    UNIQUE (school, creditor, reference, receipt_id),
    CHECK (NOT settles OR (number <> '' AND role = 'creditor'))
);
CREATE UNIQUE INDEX receipts_settling ON receipts (school, number) WHERE settles;
CREATE INDEX receipts_seq ON receipts (school, seq);
CREATE INDEX receipts_notice ON receipts (school, number, seq);
CREATE INDEX receipts_paid ON receipts (school, paid_at);
CREATE INDEX receipts_anomaly ON receipts (school, anomaly, seq) WHERE anomaly <> '';

CREATE TABLE seals (
    school   TEXT NOT NULL REFERENCES schools (code),
    sequence BIGINT NOT NULL CHECK (sequence >= 1),
    receipt  TEXT NOT NULL,
    digest   BYTEA NOT NULL CHECK (length(digest) = 32),
    previous BYTEA NOT NULL CHECK (length(previous) = 32),
    hash     BYTEA NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (school, sequence),
    UNIQUE (school, receipt),
    FOREIGN KEY (school, receipt) REFERENCES receipts (school, id)
);

-- Bytes that prove something but are no receipt: the school may be anybody's or
-- missing, so it is no key. owner names the data key.
CREATE TABLE evidence (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY,
    id          TEXT NOT NULL PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('altered_copy', 'inconsistent', 'refused', 'syntax')),
    operation   TEXT NOT NULL,
    school      TEXT NOT NULL,
    receipt_id  TEXT NOT NULL,
    number      TEXT NOT NULL,
    digest      BYTEA NOT NULL CHECK (length(digest) = 32),
    owner       TEXT NOT NULL REFERENCES data_keys (owner),
    raw_enc     BYTEA NOT NULL,
    received_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX evidence_school ON evidence (school, seq);

CREATE TABLE refunds (
    school       TEXT NOT NULL REFERENCES schools (code),
    id           TEXT NOT NULL,
    receipt      TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents BETWEEN 0 AND 99999999999),
    reason       TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state <> ''),
    requested_by TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    changed_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (school, id),
    FOREIGN KEY (school, receipt) REFERENCES receipts (school, id)
);

-- Carts and attempts belong to the installation and name notices by (school,
-- number) without a foreign key.
CREATE TABLE carts (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY,
    id          TEXT NOT NULL PRIMARY KEY,
    state       TEXT NOT NULL CHECK (state IN ('open', 'redirected', 'closed_ok', 'closed_partial', 'closed_ko', 'closed_expired')),
    method      TEXT NOT NULL,
    psp         TEXT NOT NULL,
    account     TEXT NOT NULL,
    school      TEXT NOT NULL,
    request_key TEXT NOT NULL UNIQUE,
    email_enc   BYTEA NOT NULL,
    return_url  TEXT NOT NULL,
    fee_cents   BIGINT NOT NULL CHECK (fee_cents BETWEEN 0 AND 99999999999),
    redirect    TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    changed_at  TIMESTAMPTZ NOT NULL,
    version     BIGINT NOT NULL CHECK (version >= 1)
);
CREATE INDEX carts_account ON carts (account, seq) WHERE account <> '';

CREATE TABLE cart_notices (
    cart         TEXT NOT NULL REFERENCES carts (id),
    position     BIGINT NOT NULL CHECK (position BETWEEN 1 AND 5),
    school       TEXT NOT NULL,
    number       TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents BETWEEN 1 AND 99999999999),
    settled      BOOLEAN NOT NULL,
    PRIMARY KEY (cart, position),
    UNIQUE (cart, school, number)
);

CREATE TABLE attempts (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY,
    id         TEXT NOT NULL PRIMARY KEY,
    cart       TEXT NOT NULL REFERENCES carts (id),
    state      TEXT NOT NULL CHECK (state IN ('created', 'sent', 'unknown', 'authorised', 'settled', 'failed', 'abandoned', 'expired')),
    method     TEXT NOT NULL,
    psp        TEXT NOT NULL,
    fee_cents  BIGINT NOT NULL CHECK (fee_cents BETWEEN 0 AND 99999999999),
    reference  TEXT NOT NULL,
    redirect   TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    lapses_at  TIMESTAMPTZ NOT NULL,
    version    BIGINT NOT NULL CHECK (version >= 1)
);
CREATE INDEX attempts_cart ON attempts (cart, seq);
CREATE INDEX attempts_due ON attempts (lapses_at) WHERE state IN ('created', 'sent', 'unknown');
CREATE INDEX attempts_live ON attempts (state) WHERE state IN ('created', 'sent', 'unknown', 'authorised');

CREATE TABLE attempt_notices (
    attempt TEXT NOT NULL REFERENCES attempts (id),
    school  TEXT NOT NULL,
    number  TEXT NOT NULL,
    live    BOOLEAN NOT NULL,
    PRIMARY KEY (attempt, school, number)
);
CREATE UNIQUE INDEX attempt_notices_live ON attempt_notices (school, number) WHERE live;

CREATE TABLE pupils (
    school      TEXT NOT NULL REFERENCES schools (code),
    id          TEXT COLLATE "C" NOT NULL,
    code_hash   BYTEA,
    person_enc  BYTEA NOT NULL,
    class       TEXT COLLATE "C" NOT NULL,
    school_year TEXT NOT NULL,
    PRIMARY KEY (school, id)
);
CREATE INDEX pupils_class ON pupils (school, class, id);
CREATE INDEX pupils_code ON pupils (school, code_hash);

CREATE TABLE payers (
    school     TEXT NOT NULL REFERENCES schools (code),
    id         TEXT NOT NULL,
    code_hash  BYTEA,
    person_enc BYTEA NOT NULL,
    language   TEXT NOT NULL,
    PRIMARY KEY (school, id)
);
CREATE INDEX payers_code ON payers (code_hash, school);

CREATE TABLE pupil_payers (
    school   TEXT NOT NULL,
    pupil    TEXT NOT NULL,
    payer    TEXT NOT NULL,
    relation TEXT NOT NULL,
    since    TIMESTAMPTZ NOT NULL,
    by_kind  TEXT NOT NULL,
    by_name  TEXT NOT NULL,
    PRIMARY KEY (school, pupil, payer),
    FOREIGN KEY (school, pupil) REFERENCES pupils (school, id),
    FOREIGN KEY (school, payer) REFERENCES payers (school, id)
);
CREATE INDEX pupil_payers_payer ON pupil_payers (school, payer, pupil);

CREATE TABLE accounts (
    id            TEXT NOT NULL PRIMARY KEY,
    username_hash BYTEA NOT NULL UNIQUE,
    code_hash     BYTEA UNIQUE,
    person_enc    BYTEA NOT NULL,
    password      TEXT NOT NULL,
    must_change   BOOLEAN NOT NULL,
    proven        BOOLEAN NOT NULL,
    language      TEXT NOT NULL,
    last_method   TEXT NOT NULL,
    last_psp      TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    failures      BIGINT NOT NULL CHECK (failures >= 0),
    locked_until  TIMESTAMPTZ
);

CREATE TABLE sessions (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    data_enc   BYTEA NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE clients (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY,
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    school     TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    secret     BYTEA NOT NULL CHECK (length(secret) = 32),
    created_at TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ
);

CREATE TABLE outbox (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY,
    id          TEXT NOT NULL PRIMARY KEY,
    school      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    aggregate   TEXT NOT NULL,
    payload_enc BYTEA NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    run_at      TIMESTAMPTZ NOT NULL,
    lease_until TIMESTAMPTZ,
    tries       BIGINT NOT NULL DEFAULT 0,
    done_at     TIMESTAMPTZ,
    parked_at   TIMESTAMPTZ
);
CREATE INDEX outbox_waiting ON outbox (seq) WHERE done_at IS NULL AND parked_at IS NULL;
CREATE INDEX outbox_order ON outbox (kind, aggregate, seq) WHERE done_at IS NULL AND parked_at IS NULL;
CREATE INDEX outbox_parked ON outbox (kind) WHERE parked_at IS NOT NULL;

CREATE TABLE audit (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY,
    school     TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    action     TEXT NOT NULL,
    object     TEXT NOT NULL,
    at         TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (school, seq)
);

-- The answers of requests with an idempotency key.
CREATE TABLE once (
    scope       TEXT NOT NULL PRIMARY KEY,
    fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    running     BOOLEAN NOT NULL,
    status      BIGINT NOT NULL,
    location    TEXT NOT NULL,
    body_enc    BYTEA NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX once_expiry ON once (expires_at);

-- Receipts, evidence, events and audit are only added (I6).
-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER receipts_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON receipts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER evidence_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
