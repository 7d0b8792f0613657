// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/receipts"
)

// invariants are the rules of the data that must hold after every test, crash
// or fault. Each query finds the rows that break one.
var invariants = []struct{ rule, query string }{
	{"I1: a paid notice has its settling receipt", `
SELECT n.school, n.number
  FROM notices n
  LEFT JOIN receipts r ON r.school = n.school AND r.id = n.settled_by AND r.number = n.number AND r.settles
 WHERE n.state = 'paid' AND r.id IS NULL`},
	{"I1: the notice of a settling receipt is paid by it", `
SELECT r.school, r.id
  FROM receipts r
  LEFT JOIN notices n ON n.school = r.school AND n.number = r.number
 WHERE r.settles AND (n.state IS NULL OR n.state <> 'paid' OR n.settled_by <> r.id)`},
	{"I1: a notice has one settling receipt", `
SELECT school, number
  FROM receipts
 WHERE settles
 GROUP BY school, number
HAVING count(*) > 1`},
	{"I2: settling receipts sum to the paid notices", `
SELECT n.school, ''
  FROM notices n
  JOIN receipts r ON r.school = n.school AND r.number = n.number AND r.settles
 WHERE r.anomaly <> 'amount_mismatch'
 GROUP BY n.school
HAVING sum(r.amount_cents) <> sum(n.amount_cents)`},
	{"I2: a settling receipt has the notice's amount, or is flagged", `
SELECT r.school, r.id
  FROM receipts r
  JOIN notices n ON n.school = r.school AND n.number = r.number
 WHERE r.settles AND r.amount_cents <> n.amount_cents AND r.anomaly <> 'amount_mismatch'`},
	{"I4: a notice has one live attempt", `
SELECT school, number
  FROM attempt_notices
 WHERE live
 GROUP BY school, number
HAVING count(*) > 1`},
	{"I4: an attempt that ended holds no notice", `
SELECT an.school, an.attempt
  FROM attempt_notices an
  JOIN attempts a ON a.id = an.attempt
 WHERE an.live AND a.state NOT IN ('created', 'sent', 'unknown', 'authorised')`},
	{"I4: a paid notice is held by no attempt of the cart that paid it", `
SELECT an.school, an.number
  FROM attempt_notices an
  JOIN attempts a ON a.id = an.attempt
  JOIN cart_notices c ON c.cart = a.cart AND c.school = an.school AND c.number = an.number
 WHERE an.live AND c.settled`},
	{"section 4: a token that is paid has its receipt", `
SELECT k.school, k.id
  FROM tokens k
  LEFT JOIN receipts r ON r.school = k.school AND r.receipt_id = k.id AND r.role = 'creditor'
 WHERE (k.state = 'paid' OR k.outcome = 'OK') AND r.id IS NULL`},
	{"I5: carts and attempts name notices that are there", `
SELECT c.school, c.number
  FROM cart_notices c
  LEFT JOIN notices n ON n.school = c.school AND n.number = c.number
 WHERE n.number IS NULL
 UNION ALL
SELECT an.school, an.number
  FROM attempt_notices an
  LEFT JOIN notices n ON n.school = an.school AND n.number = an.number
 WHERE n.number IS NULL`},
	{"I5: every school has its key", `
SELECT s.code, ''
  FROM schools s
  LEFT JOIN data_keys k ON k.owner = s.code
 WHERE k.owner IS NULL`},
	{"I6: a receipt is sealed, or waits for it", `
SELECT r.school, r.id
  FROM receipts r
  LEFT JOIN seals s ON s.school = r.school AND s.receipt = r.id
  LEFT JOIN unsealed u ON u.school = r.school AND u.receipt = r.id
 WHERE (s.receipt IS NULL) = (u.receipt IS NULL)`},
	{"I6: a chain of seals has no gap, and seals what is there", `
SELECT s.school, s.receipt
  FROM seals s
  JOIN receipts r ON r.school = s.school AND r.id = s.receipt
  LEFT JOIN seals p ON p.school = s.school AND p.sequence = s.sequence - 1
 WHERE s.digest <> r.digest OR s.sequence > 1 AND (p.hash IS NULL OR p.hash <> s.previous)`},
	{"I8: what a receipt did to a notice stands in its history", `
SELECT r.school, r.id
  FROM receipts r
  LEFT JOIN events e ON e.school = r.school AND e.number = r.number AND e.kind = 'receipt.recorded' AND e.receipt = r.id
 WHERE r.number <> '' AND e.receipt IS NULL`},
	{"section 4: a cart that closed well has all its receipts", `
SELECT c.school, c.cart
  FROM cart_notices c
  JOIN carts k ON k.id = c.cart
 WHERE k.state = 'closed_ok' AND NOT c.settled`},
	{"section 4: refunds give back no more than was received", `
SELECT f.school, f.receipt
  FROM refunds f
  JOIN receipts r ON r.school = f.school AND r.id = f.receipt
 WHERE f.state <> 'rejected'
 GROUP BY f.school, f.receipt, r.amount_cents
HAVING sum(f.amount_cents) > r.amount_cents`},
	{"section 4: another approved a refund than asked for it", `
SELECT school, id
  FROM refunds
 WHERE state IN ('approved', 'executed') AND (decided_by = '' OR execution = '' OR requested_kind = decided_kind AND requested_by = decided_by)`},
	{"section 4: a refund of a PSP's is executed when the PSP did it", `
SELECT f.school, f.id
  FROM refunds f
  LEFT JOIN psp_refunds p ON p.attempt = f.attempt
 WHERE f.execution = 'psp' AND (p.attempt IS NULL OR p.state NOT IN ('asking', 'done') OR (f.state = 'executed') <> (p.state = 'done'))`},
	{"section 4: a PSP gives back a payment whose refunds are all approved", `
SELECT k.school, k.id
  FROM psp_refunds p
  JOIN tokens k ON k.attempt = p.attempt
  LEFT JOIN receipts r ON r.school = k.school AND r.receipt_id = k.id AND r.role = 'creditor'
  LEFT JOIN refunds f ON f.school = r.school AND f.receipt = r.id AND f.attempt = p.attempt AND f.amount_cents = r.amount_cents
       AND f.state IN ('approved', 'executed')
 WHERE p.state = 'asking' AND f.id IS NULL`},
	{"section 4: a cart that was only printed holds no notice", `
SELECT c.id, a.id
  FROM carts c
  JOIN attempts a ON a.cart = c.id
 WHERE c.state = 'redirected' AND c.redirect = '' AND a.state IN ('created', 'sent', 'unknown', 'authorised')`},
	{"section 4: a notice settled in a cart is paid", `
SELECT c.school, c.number
  FROM cart_notices c
  LEFT JOIN notices n ON n.school = c.school AND n.number = c.number
 WHERE c.settled AND (n.state IS NULL OR n.state <> 'paid')`},
}

const selectAllReceipts = selectReceipt + `, r.raw_enc, r.receipt_id, r.creditor, r.reference, r.amount_cents` + fromReceipts

// CheckInvariants checks I1 to I6 of the reliability rules, and what goes with
// them, over the whole database on one reading. It reads everything: it is for
// tests and for an operator in doubt.
func (db *DB) CheckInvariants(ctx context.Context) error {
	return db.View(ctx, func(g gateway.Tx) error {
		t := g.(*tx)
		var broken []error
		for _, inv := range invariants {
			rows, err := t.sql.QueryContext(ctx, inv.query)
			found, err := collect(rows, err, func(r row) (s [2]string, err error) {
				err = r.Scan(&s[0], &s[1])
				return s, err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", inv.rule, err)
			}
			for _, s := range found {
				broken = append(broken, fmt.Errorf("%s: not so for school %s, %s", inv.rule, s[0], s[1]))
			}
		}
		wrong, err := t.checkReceipts()
		return errors.Join(append(append(broken, wrong...), err)...)
	})
}

// checkReceipts checks what only the opened receipts tell: I3, and that the
// columns, the bytes and their digest fit (I6).
func (t *tx) checkReceipts() (broken []error, err error) {
	rows, err := t.sql.QueryContext(t.ctx, selectAllReceipts)
	type full struct {
		gateway.Receipt
		sealed []byte
		col    receipts.Receipt
	}
	list, err := collectOpened(rows, err, func(r row) (opener[full], error) {
		var f full
		open, err := t.scanReceipt(r, &f.sealed, &f.col.ID, &f.col.Creditor, &f.col.CreditorReferenceID, &f.col.Amount)
		return func() (_ full, err error) {
			f.Receipt, err = open()
			return f, err
		}, err
	})
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		c := f.Content
		no := func(rule string) {
			broken = append(broken, fmt.Errorf("%s: not so for school %s, receipt %s", rule, f.School, f.ID))
		}
		if receipts.Check(c) != nil {
			no("I3: a receipt's transfers sum to its amount, and its reference is its notice's")
		}
		if f.Settles && (c.Notice != f.Notice || c.Creditor != string(f.School)) {
			no("I3: a settling receipt names its notice and school")
		}
		if c.ID != f.col.ID || c.Creditor != f.col.Creditor || c.CreditorReferenceID != f.col.CreditorReferenceID || c.Amount != f.col.Amount {
			no("I6: a receipt's columns say what it says")
		}
		k, err := t.key(string(f.School))
		if err != nil {
			return nil, err
		}
		raw, err := k.open(rawColumn, f.sealed)
		if err != nil {
			return nil, err
		}
		if receipts.Digest(raw) != f.Digest || c.Content() != f.Same {
			no("I6: a receipt's bytes and content are those that were digested")
		}
	}
	return broken, nil
}
