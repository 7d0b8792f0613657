// SPDX-License-Identifier: Apache-2.0

package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

// timeForm is fixed-width UTC, so that in SQLite, which keeps text, text order
// is time order. PostgreSQL reads it too.
const timeForm = "2006-01-02T15:04:05.000000Z"

// at is an instant as a query's argument; NULL for the zero time.
func at(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeForm)
}

// instant scans what at wrote.
type instant struct{ to *time.Time }

func (s instant) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*s.to = time.Time{}
		return nil
	case time.Time:
		*s.to = v.UTC()
		return nil
	case string:
		t, err := time.Parse(timeForm, v)
		*s.to = t
		return err
	}
	return fmt.Errorf("a time cannot be %T", v)
}

// day scans a date.
type day struct{ to *gateway.Date }

func (s day) Scan(v any) error {
	switch v := v.(type) {
	case time.Time:
		*s.to = gateway.Date{Year: v.Year(), Month: v.Month(), Day: v.Day()}
		return nil
	case string:
		d, err := gateway.ParseDate(v)
		*s.to = d
		return err
	}
	return fmt.Errorf("a date cannot be %T", v)
}

// number scans a notice number; the empty text is the zero Number.
type number struct{ to *iuv.Number }

func (s number) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("a notice number cannot be %T", v)
	}
	return s.to.UnmarshalText([]byte(text))
}

// digest scans 32 bytes.
type digest struct{ to *[32]byte }

func (s digest) Scan(v any) error {
	b, ok := v.([]byte)
	if !ok || len(b) != len(s.to) {
		return errors.New("a digest must be 32 bytes")
	}
	copy(s.to[:], b)
	return nil
}

// jsonText scans a column of JSON.
type jsonText struct{ to any }

func (s jsonText) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("JSON cannot be %T", v)
	}
	return json.Unmarshal([]byte(text), s.to)
}

// asJSON is v as a query's argument. Only types that marshal are given to it.
func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("store: " + err.Error())
	}
	return string(b)
}

// row is *sql.Row or *sql.Rows.
type row interface{ Scan(dest ...any) error }

// collect reads all rows by scan.
func collect[T any](rows *sql.Rows, err error, scan func(row) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// opener is a row that was read and is still to be decrypted. That may ask the
// database for a key, which cannot be done while rows are being read.
type opener[T any] func() (T, error)

// collectOpened reads all rows by scan and then opens them.
func collectOpened[T any](rows *sql.Rows, err error, scan func(row) (opener[T], error)) ([]T, error) {
	sealed, err := collect(rows, err, scan)
	if err != nil || len(sealed) == 0 {
		return nil, err
	}
	list := make([]T, len(sealed))
	for i, open := range sealed {
		if list[i], err = open(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// opened opens the one row that scan read.
func opened[T any](open opener[T], err error) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	return open()
}

// notFound turns "no rows" into the domain's word.
func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return gateway.ErrNotFound
	}
	return err
}

// affected is how many rows a statement changed.
func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// changed runs a statement; none is the error when it changes no row.
func (t *tx) changed(none error, query string, args ...any) error {
	n, err := affected(t.sql.ExecContext(t.ctx, query, args...))
	if err == nil && n == 0 {
		return none
	}
	return err
}

// chunks cuts n rows into runs of few different lengths, so that the databases
// see few different statements; from is where a run starts. Longer runs are no
// faster: SQLite looks every $n up in a list of all.
func chunks(n int) iter.Seq2[int, int] {
	return func(yield func(from, length int) bool) {
		from := 0
		for _, length := range []int{16, 4, 1} {
			for ; n-from >= length; from += length {
				if !yield(from, length) {
					return
				}
			}
		}
	}
}

// values is the placeholders of rows: ($1, $2), ($3, $4).
func values(rows, columns int) string {
	var b strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			b.WriteString("($")
		case i%columns == 0:
			b.WriteString("), ($")
		default:
			b.WriteString(", $")
		}
		b.WriteString(strconv.Itoa(i + 1))
	}
	b.WriteByte(')')
	return b.String()
}

// where gathers conditions and their arguments.
type where struct {
	text strings.Builder
	args []any
}

// and adds a condition; each ? in it becomes the next placeholder.
func (w *where) and(condition string, args ...any) {
	if w.text.Len() == 0 {
		w.text.WriteString(" WHERE ")
	} else {
		w.text.WriteString(" AND ")
	}
	w.text.WriteString(w.number(condition, args))
}

// then adds what follows the conditions.
func (w *where) then(clause string, args ...any) {
	w.text.WriteByte(' ')
	w.text.WriteString(w.number(clause, args))
}

func (w *where) number(s string, args []any) string {
	w.args = append(w.args, args...)
	n := len(w.args) - len(args)
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
