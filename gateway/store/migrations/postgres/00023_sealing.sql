-- SPDX-License-Identifier: Apache-2.0
-- The sealing of receipts: which of them wait for their place in the chain. The
-- database itself puts a receipt here, so that none can be recorded past it.
-- +goose Up
CREATE TABLE unsealed (
    school  TEXT NOT NULL,
    receipt TEXT NOT NULL,
    seq     BIGINT NOT NULL,
    PRIMARY KEY (school, receipt),
    FOREIGN KEY (school, receipt) REFERENCES receipts (school, id)
);

INSERT INTO unsealed (school, receipt, seq)
SELECT r.school, r.id, r.seq
  FROM receipts r
  LEFT JOIN seals s ON s.school = r.school AND s.receipt = r.id
 WHERE s.receipt IS NULL;

-- +goose StatementBegin
CREATE FUNCTION to_be_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unsealed (school, receipt, seq) VALUES (NEW.school, NEW.id, NEW.seq);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER receipts_to_be_sealed AFTER INSERT ON receipts FOR EACH ROW EXECUTE FUNCTION to_be_sealed();
CREATE TRIGGER seals_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON seals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
