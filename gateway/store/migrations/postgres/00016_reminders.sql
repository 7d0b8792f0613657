-- SPDX-License-Identifier: Apache-2.0
-- Which families were reminded of: a notice, and the day it fell due then.
-- +goose Up
CREATE TABLE reminders (
    school   TEXT NOT NULL REFERENCES schools (code),
    number   TEXT NOT NULL,
    due_date DATE NOT NULL,
    at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (school, number, due_date)
);
