// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"hash"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/nodogate/nodogate/gateway"
)

// Names are sealed, so no LIKE finds them. A school knows some thousand people:
// a search opens all of their names, a microsecond each, and keeps those that
// fit. Hashes of the first letters would find faster and tell a thief of the
// database who is called alike; this tells nothing, and costs one row a person
// at the first notice.
//
// Who has no fiscal code has no row: nothing leads from it to notices.
const (
	maxNameWords = 6
	// A search that finds more must be made narrower: nobody reads so many.
	maxNamesFound = 1000
)

// nameWords are the words of a name as they are compared: small letters without
// accents.
func nameWords(name string) []string {
	var b strings.Builder
	for _, r := range norm.NFD.String(strings.ToLower(name)) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(r)
		}
	}
	words := strings.FieldsFunc(b.String(), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return words[:min(len(words), maxNameWords)]
}

// namesLike says whether every word asked for begins a word of the name.
func namesLike(name, asked []string) bool {
	for _, a := range asked {
		if !slices.ContainsFunc(name, func(w string) bool { return strings.HasPrefix(w, a) }) {
			return false
		}
	}
	return true
}

// nameHash tells the names of one person apart; mac is a school's.
func nameHash(mac hash.Hash, words string) []byte {
	mac.Reset()
	mac.Write([]byte("name\x00" + words))
	return mac.Sum(nil)[:8]
}

const nameColumn = "names.name_enc"

const insertNames = `
INSERT INTO names (school, code_hash, name_hash, name_enc)
VALUES %s
    ON CONFLICT DO NOTHING`

const nameValues = 4

// named is a person to be found by name.
type named struct {
	school gateway.SchoolCode
	code   []byte // hash; nil: nobody, left out
	name   string
}

type nameRow struct {
	school     gateway.SchoolCode
	code, hash []byte
	words      string
	key        *dataKey
}

func (r nameRow) sealed() []byte { return r.key.seal(nameColumn, []byte(r.words)) }

// insertNames makes people findable. The rows go in one order for all, so that
// two who add the same do not wait for each other.
func (t *tx) insertNames(people []named) error {
	rows := make([]nameRow, 0, len(people))
	seen := make(map[string]bool, len(people))
	var mac hash.Hash
	var owner *dataKey // of mac
	for _, p := range people {
		key := string(p.school) + string(p.code) + p.name
		if p.code == nil || seen[key] {
			continue
		}
		seen[key] = true
		k, err := t.key(string(p.school))
		if err != nil {
			return err
		}
		if k != owner {
			mac, owner = hmac.New(sha256.New, k.index), k
		}
		words := strings.Join(nameWords(p.name), " ")
		rows = append(rows, nameRow{p.school, p.code, nameHash(mac, words), words, k})
	}
	slices.SortFunc(rows, func(a, b nameRow) int {
		return cmp.Or(cmp.Compare(a.school, b.school), bytes.Compare(a.code, b.code), bytes.Compare(a.hash, b.hash))
	})
	if t.copies(len(rows)) {
		return t.streamNames(rows)
	}
	for from, n := range chunks(len(rows)) {
		args := make([]any, 0, n*nameValues)
		for _, r := range rows[from : from+n] {
			args = append(args, r.school, r.code, r.hash, r.sealed())
		}
		if _, err := t.sql.ExecContext(t.ctx, fmt.Sprintf(insertNames, values(n, nameValues)), args...); err != nil {
			return err
		}
	}
	return nil
}

// Most of many are there already, so COPY would fail, and a row that meets a
// conflict costs seven times as much as looking whether it is there. So they are
// looked up first, and only those that are missing are sealed and added. The
// look-up is one per row, by the key, whatever the planner thinks of the table: a
// join that was planned while it was empty would read all of it each time.
const selectMissingNames = `
SELECT n.position
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) WITH ORDINALITY AS n (school, code_hash, name_hash, position)
 WHERE (
       SELECT t.school
         FROM names t
        WHERE t.school = n.school AND t.code_hash = n.code_hash AND t.name_hash = n.name_hash
        LIMIT 1) IS NULL
 ORDER BY n.position`

// Somebody may have added one since it was looked up.
const insertNameArrays = `
INSERT INTO names (school, code_hash, name_hash, name_enc)
SELECT school, code_hash, name_hash, name_enc
  FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS n (school, code_hash, name_hash, name_enc)
 ORDER BY school, code_hash, name_hash
    ON CONFLICT DO NOTHING`

func (t *tx) streamNames(rows []nameRow) error {
	columns := func(rows []nameRow) (schools []string, codes, hashes [][]byte) {
		schools, codes, hashes = make([]string, len(rows)), make([][]byte, len(rows)), make([][]byte, len(rows))
		for i, r := range rows {
			schools[i], codes[i], hashes[i] = string(r.school), r.code, r.hash
		}
		return schools, codes, hashes
	}
	schools, codes, hashes := columns(rows)
	found, err := t.sql.QueryContext(t.ctx, selectMissingNames, schools, codes, hashes)
	missing, err := collect(found, err, func(r row) (n nameRow, err error) {
		var position int // from 1
		if err = r.Scan(&position); err == nil {
			n = rows[position-1]
		}
		return n, err
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	schools, codes, hashes = columns(missing)
	names := make([][]byte, len(missing))
	for i, r := range missing {
		names[i] = r.sealed()
	}
	_, err = t.sql.ExecContext(t.ctx, insertNameArrays, schools, codes, hashes, names)
	return err
}

const selectNames = `SELECT code_hash, name_enc FROM names WHERE school = $1`

// codesNamed finds the code hashes of the school's people whose name has words
// that begin so; gateway.ErrTooBroad.
func (t *tx) codesNamed(school gateway.SchoolCode, asked string) (codes [][]byte, err error) {
	words := nameWords(asked)
	if len(words) == 0 {
		return nil, nil
	}
	k, err := t.key(string(school))
	if err != nil {
		return nil, err
	}
	rows, err := t.sql.QueryContext(t.ctx, selectNames, school)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	seen := map[string]bool{}
	for rows.Next() {
		var code, sealed sql.RawBytes
		if err := rows.Scan(&code, &sealed); err != nil {
			return nil, err
		}
		name, err := k.open(nameColumn, sealed)
		if err != nil {
			return nil, err
		}
		if !namesLike(strings.Fields(string(name)), words) || seen[string(code)] {
			continue
		}
		if len(codes) == maxNamesFound {
			return nil, gateway.ErrTooBroad
		}
		seen[string(code)] = true
		codes = append(codes, bytes.Clone(code))
	}
	return codes, rows.Err()
}
