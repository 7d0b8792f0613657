-- SPDX-License-Identifier: Apache-2.0
-- The register of refunds: who asked, who decided, who gives the money back; and
-- the payments that PSPs give back whole, each once.
-- +goose Up
ALTER TABLE refunds
    ADD COLUMN seq            BIGINT GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN requested_kind TEXT NOT NULL DEFAULT 'system',
    ADD COLUMN decided_kind   TEXT NOT NULL DEFAULT '',
    ADD COLUMN decided_by     TEXT NOT NULL DEFAULT '',
    ADD COLUMN execution      TEXT NOT NULL DEFAULT '' CHECK (execution IN ('', 'school', 'waiting', 'psp', 'psp_refused')),
    ADD COLUMN attempt        TEXT NOT NULL DEFAULT '',
    ADD COLUMN details_enc    BYTEA,
    ADD COLUMN version        BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1),
    ADD CONSTRAINT refunds_states CHECK (state IN ('requested', 'approved', 'executed', 'rejected'));
CREATE INDEX refunds_seq ON refunds (school, seq);
CREATE INDEX refunds_receipt ON refunds (school, receipt);
CREATE TABLE psp_refunds (
    attempt    TEXT NOT NULL PRIMARY KEY REFERENCES attempts (id),
    psp        TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('asking', 'done', 'refused', 'dropped')),
    asked      BIGINT NOT NULL CHECK (asked >= 0),
    ask_at     TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    CHECK ((state = 'asking') = (ask_at IS NOT NULL))
);
CREATE INDEX psp_refunds_ask ON psp_refunds (ask_at) WHERE ask_at IS NOT NULL;
ALTER TABLE events ADD COLUMN refund TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN refund_state TEXT NOT NULL DEFAULT '';
