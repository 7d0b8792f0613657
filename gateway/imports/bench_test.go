// SPDX-License-Identifier: Apache-2.0

package imports_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/httpapi"
	"github.com/nodogate/nodogate/gateway/imports"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
)

// The benchmarks issue notices over HTTP, from the first byte sent to the state
// done, and then let PostgreSQL COPY the very rows that came of it, encoded
// beforehand, into empty tables with the same indexes: "of-copy-notices" counts
// the notices alone as the work, "of-copy-rows" all rows that an issue writes
// (events, messages and names too). 1 would be the limit itself. Run them with
// -benchtime 1x.
const (
	manyRows = 100_000
	liteRows = 10_000
	people   = 5_000 // as many as five large schools have
)

// crowd makes the codes of invented people.
func crowd(n int) []string {
	codes := make([]string, n)
	for i := range codes {
		s := fmt.Sprintf("RSSMRA%02dA%02dH%03d", i/900%100, 1+i/30%30, i%900+100)
		codes[i] = s + string(rune(gateway.FiscalCodeCheck(s)))
	}
	return codes
}

func bigFile(rows int) []byte {
	codes := crowd(people)
	var b bytes.Buffer
	b.WriteString(header)
	for i := range rows {
		fmt.Fprintf(&b, "gita-2026-%06d;%s;Rossi Maria;%dB;Viaggio di istruzione a Siena;16,50;31/12/2026\n", i, codes[i%people], 1+i%5)
	}
	return b.Bytes()
}

// server is a gateway over HTTP.
type server struct {
	*gatewaytest.Gateway
	url, token string
}

func serve(b *testing.B, address string) server {
	b.Helper()
	db, err := store.OpenMigrated(context.Background(), store.Config{URL: address, Secret: storetest.Secret, Now: storetest.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	g := gatewaytest.On(b, db)
	h, err := httpapi.New(httpapi.Config{
		Service: g.Service, TokenKey: bytes.Repeat([]byte{7}, 32), PDF: func(gateway.Receipt, gateway.School) ([]byte, error) { return nil, nil },
		NoticePDF: func(context.Context, gateway.Notice, gateway.School, string) ([]byte, error) { return nil, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	web := httptest.NewServer(h)
	b.Cleanup(web.Close)
	s := server{g, web.URL, ""}
	c, secret := g.Client(gatewaytest.SchoolCode, gateway.ScopeNoticesWrite)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ID}, "client_secret": {secret}}
	var out struct {
		Token string `json:"access_token"`
	}
	s.ask(b, "POST", "/oauth2/token", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), &out)
	s.token = out.Token
	return s
}

func (s server) ask(b *testing.B, method, path, kind string, body io.Reader, out any) {
	b.Helper()
	r, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Idempotency-Key", fmt.Sprint(time.Now().UnixNano()))
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		b.Fatalf("%s %s: %d %.500s %v", method, path, resp.StatusCode, all, err)
	}
	if out != nil {
		if err := json.Unmarshal(all, out); err != nil {
			b.Fatal(err)
		}
	}
}

// peak watches the heap until stop is called, and tells how far it grew.
func peak() (stop func() float64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapAlloc, m.HeapAlloc
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}()
	return func() float64 {
		close(end)
		<-done
		return float64(most-before) / (1 << 20)
	}
}

const schoolPath = "/api/v1/schools/" + string(gatewaytest.SchoolCode)

// byImport sends a file and does the import.
func byImport(b *testing.B, s server, rows int, config imports.Config) (took time.Duration, grown float64) {
	file := bigFile(rows)
	config.Service, config.Name = s.Service, "bench"
	w, err := imports.New(config)
	if err != nil {
		b.Fatal(err)
	}
	stop := peak()
	start := time.Now()
	s.ask(b, "POST", schoolPath+"/imports", "text/csv", bytes.NewReader(file), nil)
	if _, err := w.Once(context.Background()); err != nil {
		b.Fatal(err)
	}
	took = time.Since(start)
	grown = stop()
	list, err := s.Imports(context.Background(), gatewaytest.SchoolCode, "", 1)
	if err != nil || list[0].State != gateway.ImportDone || list[0].Issued != rows {
		b.Fatalf("import %+v, %v", list, err)
	}
	return took, grown
}

// byBatch sends the same notices a thousand at a time, callers at once.
func byBatch(b *testing.B, s server, rows, callers int) (took time.Duration, grown float64) {
	codes := crowd(people)
	stop := peak()
	start := time.Now()
	next := make(chan int)
	done := make(chan struct{})
	for range callers {
		go func() {
			defer func() { done <- struct{}{} }()
			for from := range next {
				var body bytes.Buffer
				body.WriteString(`{"notices":[`)
				for i := from; i < from+1000; i++ {
					if i > from {
						body.WriteByte(',')
					}
					fmt.Fprintf(&body, `{"external_id":"gita-2026-%06d","debtor":{"fiscal_code":"%s","full_name":"Maria Rossi","class":"%dB"},"description":"Viaggio di istruzione a Siena","amount_cents":1650,"due_date":"2026-12-31"}`,
						i, codes[i%people], 1+i%5)
				}
				body.WriteString(`]}`)
				s.ask(b, "POST", schoolPath+"/notices/batch", "application/json", &body, nil)
			}
		}()
	}
	for from := 0; from < rows; from += 1000 {
		next <- from
	}
	close(next)
	for range callers {
		<-done
	}
	return time.Since(start), stop()
}

// copied lets PostgreSQL COPY what is in the tables into empty ones like them.
func copied(b *testing.B, address string, tables ...string) time.Duration {
	b.Helper()
	ctx := context.Background()
	u, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	q := u.Query()
	q.Del("pool_max_conns") // pgxpool's word, not the driver's
	u.RawQuery = q.Encode()
	c, err := pgx.Connect(ctx, u.String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(ctx)
	var took time.Duration
	for _, table := range tables {
		var rows bytes.Buffer
		_, err := c.PgConn().CopyTo(ctx, &rows, "COPY "+table+" TO STDOUT (FORMAT binary)")
		if err == nil {
			_, err = c.Exec(ctx, "CREATE TABLE bare (LIKE "+table+" INCLUDING ALL)")
		}
		var tag pgconn.CommandTag
		if err == nil {
			start := time.Now()
			tag, err = c.PgConn().CopyFrom(ctx, &rows, "COPY bare FROM STDIN (FORMAT binary)")
			took += time.Since(start)
		}
		if err == nil {
			_, err = c.Exec(ctx, "DROP TABLE bare")
		}
		if err != nil || tag.RowsAffected() == 0 {
			b.Fatalf("copy %s: %d rows, %v", table, tag.RowsAffected(), err)
		}
	}
	return took
}

func BenchmarkIssue(b *testing.B) {
	b.Run("sqlite/import", func(b *testing.B) {
		for range b.N {
			took, grown := byImport(b, serve(b, storetest.NewSQLite(b)), liteRows, imports.Config{Chunk: 500})
			b.ReportMetric(took.Seconds(), "s/10000")
			b.ReportMetric(grown, "MiB-grown")
		}
	})
	for name, issue := range map[string]func(*testing.B, server) (time.Duration, float64){
		"import": func(b *testing.B, s server) (time.Duration, float64) {
			return byImport(b, s, manyRows, imports.Config{})
		},
		"batch": func(b *testing.B, s server) (time.Duration, float64) { return byBatch(b, s, manyRows, 2) },
	} {
		b.Run("postgres/"+name, func(b *testing.B) {
			for range b.N {
				address := storetest.NewPostgres(b)
				took, grown := issue(b, serve(b, address))
				notices, all := copied(b, address, "notices"), copied(b, address, "notices", "events", "outbox", "names")
				b.ReportMetric(took.Seconds(), "s/100000")
				b.ReportMetric(grown, "MiB-grown")
				b.ReportMetric(notices.Seconds(), "s-copy-notices")
				b.ReportMetric(notices.Seconds()/took.Seconds(), "of-copy-notices")
				b.ReportMetric(all.Seconds()/took.Seconds(), "of-copy-rows")
			}
		})
	}
}
