// SPDX-License-Identifier: Apache-2.0

package storetest

import "testing"

// SameTables compares the tables and columns of both databases.
func SameTables(t *testing.T) {
	t.Parallel()
	tables := func(newDB func(testing.TB) string) map[string]string {
		w := world{T: t, url: newDB(t)}
		w.DB = open(t, w.url)
		return w.tables()
	}
	want := tables(NewPostgres) // may skip
	got := tables(NewSQLite)
	for name, kind := range got {
		if want[name] != kind {
			t.Errorf("%s is %q in SQLite, %q in PostgreSQL", name, kind, want[name])
		}
	}
	for name, kind := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is %q in PostgreSQL only", name, kind)
		}
	}
	if len(got) < 100 {
		t.Errorf("%d columns compared, want all", len(got))
	}
}
