// SPDX-License-Identifier: Apache-2.0

package pafornode_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/soap"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
)

// The benchmarks measure one operation over HTTP with inFlight callers, and in
// the same run what bounds it: a bare Gin answer of the same size, and the
// database doing the one statement that cannot be saved. The metric "of-…" is
// the ratio of the throughputs: 1 would be the limit itself.
const inFlight = 16

// limitTable is where the bare statements go.
const limitTable = `CREATE TABLE limit_probe (id TEXT PRIMARY KEY, body TEXT NOT NULL)`

// eachDatabase runs a benchmark on both databases, with a bare connection to
// another database of the same kind and settings.
func eachDatabase(b *testing.B, run func(b *testing.B, g *gatewaytest.Gateway, bare *sql.DB)) {
	b.Run("sqlite", func(b *testing.B) {
		file := filepath.Join(b.TempDir(), "bare.db")
		bare, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate")
		probe(b, bare, err)
		run(b, gatewaytest.On(b, openForBench(b, storetest.NewSQLite(b))), bare)
	})
	b.Run("postgres", func(b *testing.B) {
		address := storetest.NewPostgres(b)
		u, err := url.Parse(storetest.NewPostgres(b))
		if err != nil {
			b.Fatal(err)
		}
		q := u.Query()
		q.Del("pool_max_conns") // pgxpool's word, not the driver's
		u.RawQuery = q.Encode()
		bare, err := sql.Open("pgx", u.String())
		probe(b, bare, err)
		run(b, gatewaytest.On(b, openForBench(b, address)), bare)
	})
}

func openForBench(b *testing.B, address string) *store.DB {
	b.Helper()
	db, err := store.OpenMigrated(context.Background(), store.Config{URL: address, Secret: storetest.Secret, Now: storetest.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

func probe(b *testing.B, bare *sql.DB, err error) {
	b.Helper()
	if err == nil {
		bare.SetMaxOpenConns(inFlight)
		bare.SetMaxIdleConns(inFlight)
		_, err = bare.Exec(limitTable)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { bare.Close() })
}

// timed does n operations with inFlight workers.
func timed(b *testing.B, n int, op func(i int) error) time.Duration {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range inFlight {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := op(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// caller posts and wants 200 with an OK inside.
func caller(address string) func(body []byte) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}}
	return func(body []byte) error {
		resp, err := client.Post(address, "text/xml; charset=utf-8", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != 200 || !bytes.Contains(answer, []byte("<outcome>OK"))) {
			err = fmt.Errorf("answer %d %s", resp.StatusCode, answer)
		}
		return err
	}
}

func envelopeOf(element string) []byte {
	return []byte(`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>` + element + `</soapenv:Body></soapenv:Envelope>`)
}

func benchFace(b *testing.B, g *gatewaytest.Gateway) string {
	server := httptest.NewServer(pafornode.New(pafornode.Config{Service: g.Service, Duration: soap.NewDuration(g.Reg)}))
	b.Cleanup(server.Close)
	return server.URL + pafornode.Path
}

// bareGin answers a fixed text of a verify's size.
func bareGin(b *testing.B) string {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	answer := append([]byte("<outcome>OK</outcome>"), bytes.Repeat([]byte("x"), 700)...)
	engine.POST(pafornode.Path, func(c *gin.Context) {
		if _, err := io.Copy(io.Discard, c.Request.Body); err != nil {
			c.Status(http.StatusBadRequest)
			return
		}
		c.Data(http.StatusOK, "text/xml; charset=utf-8", answer)
	})
	server := httptest.NewServer(engine)
	b.Cleanup(server.Close)
	return server.URL + pafornode.Path
}

func BenchmarkVerify(b *testing.B) {
	eachDatabase(b, func(b *testing.B, g *gatewaytest.Gateway, bare *sql.DB) {
		var bodies [][]byte
		for range 64 {
			bodies = append(bodies, envelopeOf(verify(ours, "80014480828", g.Issue().Number.String())))
		}
		if _, err := bare.Exec(`INSERT INTO limit_probe (id, body) VALUES ('one', 'x')`); err != nil {
			b.Fatal(err)
		}
		ask, askGin := caller(benchFace(b, g)), caller(bareGin(b))
		b.ResetTimer()
		took := timed(b, b.N, func(i int) error { return ask(bodies[i%len(bodies)]) })
		b.StopTimer()
		gin := timed(b, b.N, func(i int) error { return askGin(bodies[i%len(bodies)]) })
		read := timed(b, b.N, func(int) error {
			var body string
			return bare.QueryRow(`SELECT body FROM limit_probe WHERE id = $1`, "one").Scan(&body)
		})
		b.ReportMetric(float64(b.N)/took.Seconds(), "op/s")
		b.ReportMetric(gin.Seconds()/took.Seconds(), "of-bare-gin")
		b.ReportMetric(read.Seconds()/took.Seconds(), "of-bare-select")
	})
}

func BenchmarkReceipt(b *testing.B) {
	eachDatabase(b, func(b *testing.B, g *gatewaytest.Gateway, bare *sql.DB) {
		bodies := make([][]byte, 0, b.N)
		for len(bodies) < b.N {
			var in []gateway.NewNotice
			for range min(1000, b.N-len(bodies)) {
				in = append(in, gateway.NewNotice{DebtorCode: "RSSMRA10A41H501F", DebtorName: "Maria Rossi", Description: "Viaggio", Amount: 1650, DueDate: "2026-12-31"})
			}
			out, err := g.Service.Issue(context.Background(), gatewaytest.Operator, gatewaytest.SchoolCode, in, false)
			if err != nil {
				b.Fatal(err)
			}
			for _, n := range out {
				bodies = append(bodies, envelopeOf(receiptOf(n.Notice, "token-"+n.Notice.Number.String()).String()))
			}
		}
		send, askGin := caller(benchFace(b, g)), caller(bareGin(b))
		b.ResetTimer()
		took := timed(b, b.N, func(i int) error { return send(bodies[i]) })
		b.StopTimer()
		gin := timed(b, b.N, func(i int) error { return askGin(bodies[i]) })
		write := timed(b, b.N, func(i int) error {
			_, err := bare.Exec(`INSERT INTO limit_probe (id, body) VALUES ($1, $2)`, fmt.Sprint(i), bodies[i])
			return err
		})
		b.ReportMetric(float64(b.N)/took.Seconds(), "op/s")
		b.ReportMetric(gin.Seconds()/took.Seconds(), "of-bare-gin")
		b.ReportMetric(write.Seconds()/took.Seconds(), "of-bare-insert")
	})
}
