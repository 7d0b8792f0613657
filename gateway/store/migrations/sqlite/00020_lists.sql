-- SPDX-License-Identifier: Apache-2.0
-- Lists that were read from the newest on until enough of a kind were found: of a
-- long trail that is most of it. Now each filter has its index.
-- +goose Up
CREATE INDEX evidence_kind ON evidence (owner, kind, seq);
CREATE INDEX refunds_state ON refunds (school, state, seq);
CREATE INDEX audit_action ON audit (school, action, seq);
CREATE INDEX audit_actor ON audit (school, actor_name, seq);
CREATE INDEX audit_at ON audit (school, at);
-- Pupils of a class or with a code, newest first.
CREATE INDEX pupils_class_created ON pupils (school, class, created_at, id);
DROP INDEX pupils_code;
CREATE INDEX pupils_code ON pupils (school, code_hash, created_at, id);
-- The search among schools reads them in the order it shows them in.
CREATE INDEX schools_name ON schools (name, code);
