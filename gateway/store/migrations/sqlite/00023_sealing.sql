-- SPDX-License-Identifier: Apache-2.0
-- The sealing of receipts: which of them wait for their place in the chain. The
-- database itself puts a receipt here, so that none can be recorded past it.
-- +goose Up
CREATE TABLE unsealed (
    school  TEXT NOT NULL,
    receipt TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (school, receipt),
    FOREIGN KEY (school, receipt) REFERENCES receipts (school, id)
) STRICT;

INSERT INTO unsealed (school, receipt, seq)
SELECT r.school, r.id, r.seq
  FROM receipts r
  LEFT JOIN seals s ON s.school = r.school AND s.receipt = r.id
 WHERE s.receipt IS NULL;

-- +goose StatementBegin
CREATE TRIGGER receipts_to_be_sealed AFTER INSERT ON receipts BEGIN INSERT INTO unsealed (school, receipt, seq) VALUES (NEW.school, NEW.id, NEW.seq); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER seals_kept BEFORE UPDATE ON seals BEGIN SELECT RAISE(ABORT, 'seals are only added'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER seals_kept_whole BEFORE DELETE ON seals BEGIN SELECT RAISE(ABORT, 'seals are only added'); END;
-- +goose StatementEnd
