// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
)

// patient is an installation that lacks nothing, until a test takes something
// away.
type patient struct {
	t      *testing.T
	dir    string
	env    map[string]string
	psp    *httptest.Server
	doctor *doctor
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	dir := t.TempDir()
	psp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
	t.Cleanup(psp.Close)
	p := &patient{t: t, dir: dir, psp: psp, env: map[string]string{
		"NODOGATE_DATABASE_URL": "sqlite://" + filepath.Join(dir, "n.db"), "NODOGATE_SECRET_FILE": filepath.Join(dir, "secret"),
		"NODOGATE_PEER_AUTH": "none", "NODOGATE_ALLOW_PRIVATE_TARGETS": "true", "NODOGATE_HELP_TEXT": "Segreteria, 0564 000000",
		"NODOGATE_PSPS": filepath.Join(dir, "psps.yaml"), "NODOGATE_SMTP_URL": "smtp://" + mailServer(t), "NODOGATE_PUBLIC_URL": psp.URL,
		"BANCAUNO_SECRET": "0123456789abcdef0123456789abcdef", "BANCAUNO_NODE_PASSWORD": "password-1",
	}}
	p.write("psps.yaml", "psps:\n  - {id: BANCAUNO, name: Banca Uno, methods: [card], connector: redirect, endpoint: "+psp.URL+`, secret_env: BANCAUNO_SECRET,
     fees: [{fee_cents: 150}], node: {broker: "97735020584", channel: "97735020584_01", password_env: BANCAUNO_NODE_PASSWORD}}
`)
	p.nodogate("school", "add", "--fiscal-code", "80014480828", "--name", "IC 6 Grosseto", "--iban", "IT60X0542811101000000123456",
		"--segregation-code", "01", "--taxonomy", "9/0801101SP/")
	p.doctor = &doctor{now: time.Now, free: func(string) (uint64, uint64, error) { return 50 << 30, 100 << 30, nil }, mailDir: filepath.Join(dir, "mail")}
	return p
}

// mailServer takes connections and says hello.
func mailServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return noMails{}, nil }))
	server.Domain, server.ErrorLog = "mail.example", quiet{}
	done := make(chan struct{})
	go func() { _ = server.Serve(l); close(done) }()
	t.Cleanup(func() { server.Close(); <-done })
	return l.Addr().String()
}

// noMails is a session in which none is sent.
type noMails struct{ smtp.Session }

func (noMails) Reset()        {}
func (noMails) Logout() error { return nil }

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func (p *patient) environ() (list []string) {
	for name, value := range p.env {
		list = append(list, name+"="+value)
	}
	return list
}

func (p *patient) write(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// nodogate runs a command on the installation.
func (p *patient) nodogate(args ...string) {
	p.t.Helper()
	if code, _, errs := here(p.t, p.environ(), args...); code != 0 {
		p.t.Fatal(errs)
	}
}

// sql changes the database behind the gateway's back.
func (p *patient) sql(query string) {
	p.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(p.dir, "n.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) examine() (list []finding) {
	d := p.doctor
	d.environ = p.environ()
	d.getenv, d.tell = lookup(d.environ), func(f finding) { list = append(list, f) }
	d.examine(p.t.Context())
	return list
}

// certificate is a self-signed one and its key, in files.
func (p *patient) certificate(name, host string, until time.Time) (cert, key string) {
	p.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		p.t.Fatal(err)
	}
	der2, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		p.write(name+"-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der2})))
}

func TestDoctorFindsNothing(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	for _, deep := range []bool{false, true} {
		p.doctor.deep = deep
		list := p.examine()
		for _, f := range list {
			if f.Level != findingOK {
				t.Errorf("%s  %s: %s", f.Level, f.Subject, f.Message)
			}
		}
		var subjects []string
		for _, f := range list {
			subjects = append(subjects, f.Subject)
		}
		for _, want := range []string{"configuration", "secret", "database", "secret of the database", "integrity", "disk of ", "mail", "psp BANCAUNO", "outbox", "schools", "public address", "clock"} {
			if !strings.Contains(strings.Join(subjects, "\n")+"\n", want) {
				t.Errorf("nothing is said of %s: %q", want, subjects)
			}
		}
	}
}

func TestDoctorFinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		harm func(p *patient)
		// want are level, subject and a part of the message of the one line that is
		// not ok; more than one where a fault has others in its train.
		want []string
	}{
		"a setting":                       {func(p *patient) { p.env["NODOGATE_FACES"] = "other" }, []string{"fail  configuration: NODOGATE_FACES"}},
		"a file that is no configuration": {func(p *patient) { p.env["NODOGATE_CONFIG"] = p.write("c.yaml", "NODOGATE_NO: 1\n") }, []string{"fail  configuration: NODOGATE_NO"}},
		"a catalogue":                     {func(p *patient) { p.write("psps.yaml", "psps: [{id: X, colour: red}]\n") }, []string{"fail  catalogue: "}},
		"no catalogue":                    {func(p *patient) { p.write("psps.yaml", "psps: []\n") }, []string{"warn  catalogue: no PSP"}},
		"no secret":                       {func(p *patient) { os.Remove(p.env["NODOGATE_SECRET_FILE"]) }, []string{"fail  secret: "}},
		"an open secret":                  {func(p *patient) { os.Chmod(p.env["NODOGATE_SECRET_FILE"], 0o644) }, []string{"fail  secret: the root secret"}},
		"another secret":                  {func(p *patient) { p.write("secret", "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=") }, []string{"fail  secret of the database: "}},
		"no database yet": {func(p *patient) {
			os.Remove(p.env["NODOGATE_SECRET_FILE"])
			p.env["NODOGATE_DATABASE_URL"] = "sqlite://" + filepath.Join(p.dir, "new", "n.db")
		}, []string{"warn  database: there is none yet"}},
		"no database file": {func(p *patient) { p.write("n.db", strings.Repeat("not a database ", 100)) }, []string{"fail  database: "}},
		"a database away": {func(p *patient) {
			p.env["NODOGATE_DATABASE_URL"] = "postgres://nobody:hunter2@127.0.0.1:1/none?connect_timeout=1"
		}, []string{"fail  database: "}},
		"migrations to come": {func(p *patient) {
			p.sql("DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)")
		}, []string{"warn  database: 1 migrations to come"}},
		"a newer database": {func(p *patient) {
			p.sql("INSERT INTO goose_db_version (version_id, is_applied, tstamp) VALUES (99999, 1, CURRENT_TIMESTAMP)")
		}, []string{"fail  database: a newer nodogate"}},
		"a damaged database": {func(p *patient) {
			p.sql("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 3 WHERE name = 'schools_station'")
		}, []string{"fail  integrity: "}},
		"little room": {func(p *patient) { p.room(500 << 20) }, []string{"warn  disk of "}},
		"no room":     {func(p *patient) { p.room(50 << 20) }, []string{"fail  disk of "}},
		"unknown room": {func(p *patient) {
			p.doctor.free = func(string) (uint64, uint64, error) { return 0, 0, errors.New("no") }
		}, []string{"warn  disk of "}},
		"no mail server":     {func(p *patient) { delete(p.env, "NODOGATE_SMTP_URL") }, []string{"warn  mail: mails become files"}},
		"a mail server away": {func(p *patient) { p.env["NODOGATE_SMTP_URL"] = "smtp://127.0.0.1:1" }, []string{"fail  mail: smtp"}},
		"a folder for mails that takes none": {func(p *patient) {
			if runtime.GOOS != "linux" {
				p.t.Skip("no folder that root cannot write to")
			}
			delete(p.env, "NODOGATE_SMTP_URL")
			p.doctor.mailDir = "/proc/self"
		}, []string{"fail  mail: nothing can be written"}},
		"redis away":                   {func(p *patient) { p.env["NODOGATE_REDIS_URL"] = "redis://127.0.0.1:1" }, []string{"fail  redis: "}},
		"a certificate that is over":   {func(p *patient) { p.serveTLS("localhost", -time.Hour) }, []string{"fail  certificate (NODOGATE_TLS_CERT): "}},
		"a certificate that ends soon": {func(p *patient) { p.serveTLS("localhost", 10*24*time.Hour) }, []string{"warn  certificate (NODOGATE_TLS_CERT): "}},
		"another host's certificate":   {func(p *patient) { p.serveTLS("altro.example", time.Hour*24*300) }, []string{"fail  certificate (NODOGATE_TLS_CERT): "}},
		"a key of another certificate": {func(p *patient) {
			p.serveTLS("localhost", time.Hour*24*300)
			_, p.env["NODOGATE_TLS_KEY"] = p.certificate("other", "localhost", time.Now().AddDate(0, 6, 0))
		}, []string{"fail  certificate (NODOGATE_TLS_CERT): "}},
		"a key for everybody": {func(p *patient) {
			p.serveTLS("localhost", time.Hour*24*300)
			os.Chmod(p.env["NODOGATE_TLS_KEY"], 0o644)
		}, []string{"warn  certificate (NODOGATE_TLS_CERT): everybody"}},
		"peers' authority that is over": {func(p *patient) { p.env["NODOGATE_PEER_CA"], _ = p.certificate("ca", "ca", time.Now().Add(-time.Hour)) }, []string{"fail  peers' authority"}},
		"peers' authority of nothing":   {func(p *patient) { p.env["NODOGATE_PEER_CA"] = p.write("ca.pem", "hello") }, []string{"fail  peers' authority"}},
		"a client certificate that ends soon": {func(p *patient) {
			cert, key := p.certificate("client", "client", time.Now().Add(5*24*time.Hour))
			p.psps(`connector: redirect, secret_env: BANCAUNO_SECRET, client_cert: "`+cert+`", client_key: "`+key+`"`, p.psp.URL)
		}, []string{"warn  client certificate of BANCAUNO: "}},
		"a PSP's secret":          {func(p *patient) { delete(p.env, "BANCAUNO_SECRET") }, []string{"fail  psp BANCAUNO: "}},
		"a PSP's node password":   {func(p *patient) { p.env["BANCAUNO_NODE_PASSWORD"] = "short" }, []string{"fail  psp BANCAUNO: psp BANCAUNO: BANCAUNO_NODE_PASSWORD"}},
		"a PSP that is down":      {func(p *patient) { p.psps("connector: redirect, secret_env: BANCAUNO_SECRET", "http://127.0.0.1:1") }, []string{"fail  psp BANCAUNO: 127.0.0.1:1: connection refused"}},
		"an archive that is down": {func(p *patient) { p.env["NODOGATE_ACA_URL"], p.env["NODOGATE_ACA_KEY"] = "http://127.0.0.1:1", "k" }, []string{"fail  archive of notices"}},
		"messages given up": {func(p *patient) {
			p.sql(`INSERT INTO outbox (id, school, kind, aggregate, payload_enc, created_at, run_at, tries, parked_at)
VALUES ('m-1', '80014480828', 'mail', 'x', x'00', '2026-11-23T08:00:00.000000Z', '2026-11-23T08:00:00.000000Z', 15, '2026-11-27T08:00:00.000000Z')`)
		}, []string{"warn  outbox: 1 messages of kind mail were given up"}},
		"messages that wait": {func(p *patient) {
			p.sql(`INSERT INTO outbox (id, school, kind, aggregate, payload_enc, created_at, run_at)
VALUES ('m-1', '80014480828', 'mail', 'x', x'00', '2020-11-23T08:00:00.000000Z', '2020-11-23T08:00:00.000000Z')`)
		}, []string{"warn  outbox: a message of kind mail waits"}},
		"no school":           {func(p *patient) { p.sql("DELETE FROM data_keys WHERE owner = '80014480828'; DELETE FROM schools") }, []string{"warn  schools: none yet"}},
		"a school's taxonomy": {func(p *patient) { p.nodogate("school", "change", "80014480828", "--taxonomy", gateway.DefaultTaxonomy) }, []string{"warn  school 80014480828: has the general collection code"}},
		"a taxonomy that is not official": {func(p *patient) {
			p.sql("INSERT INTO taxonomy (code, valid_from, valid_to, kind, area, name, version) VALUES ('0801100AP', '2020-01-01', '2099-12-31', '08', 'x', 'x', '1')")
		}, []string{"warn  school 80014480828: its collection code 9/0801101SP/ cannot be used"}},
		"a school without help":    {func(p *patient) { delete(p.env, "NODOGATE_HELP_TEXT") }, []string{"warn  school 80014480828: families are not told"}},
		"a postal account in part": {func(p *patient) { p.sql("UPDATE schools SET postal_account = '001234567890'") }, []string{"warn  school 80014480828: its postal account lacks"}},
		"no postal account for bulletins": {func(p *patient) {
			text, err := os.ReadFile(filepath.Join(p.dir, "psps.yaml"))
			if err != nil {
				p.t.Fatal(err)
			}
			p.write("psps.yaml", strings.Replace(string(text), "[card]", "[postal_bulletin]", 1))
		}, []string{"warn  school 80014480828: has no postal account"}},
		"nobody at the public address": {func(p *patient) { p.env["NODOGATE_PUBLIC_URL"] = "http://127.0.0.1:1" }, []string{"warn  public address"}},
		"a clock that was set back": {func(p *patient) {
			p.sql("INSERT INTO installation (name, value) VALUES ('clock_mark', '2099-01-01T00:00:00.000000Z') ON CONFLICT (name) DO UPDATE SET value = excluded.value")
		}, []string{"fail  clock: it is "}},
		"a clock that is ahead":        {func(p *patient) { p.doctor.now = func() time.Time { return time.Now().Add(10 * time.Minute) } }, []string{"fail  clock: differs by -"}},
		"a clock that is a little off": {func(p *patient) { p.doctor.now = func() time.Time { return time.Now().Add(20 * time.Second) } }, []string{"warn  clock: differs by -"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			tc.harm(p)
			var lines []string
			for _, f := range p.examine() {
				if f.Level != findingOK {
					lines = append(lines, fmt.Sprintf("%-4s  %s: %s", f.Level, f.Subject, f.Message))
				}
				if strings.Contains(f.Message, "hunter2") || strings.ContainsAny(f.Message, "\r\n") {
					t.Errorf("a line says %q", f.Message)
				}
			}
			for _, want := range tc.want {
				if !strings.Contains("\n"+strings.Join(lines, "\n"), "\n"+want) {
					t.Errorf("%q is not said:\n%s", want, strings.Join(lines, "\n"))
				}
			}
			if len(lines) != len(tc.want) {
				t.Errorf("%d lines, want %d:\n%s", len(lines), len(tc.want), strings.Join(lines, "\n"))
			}
		})
	}
}

func (p *patient) room(free uint64) {
	p.doctor.free = func(string) (uint64, uint64, error) { return free, 100 << 30, nil }
}

// serveTLS has the public listener show a certificate of a host.
func (p *patient) serveTLS(host string, left time.Duration) {
	p.env["NODOGATE_TLS_CERT"], p.env["NODOGATE_TLS_KEY"] = p.certificate("cert", host, time.Now().Add(left))
	p.env["NODOGATE_PUBLIC_URL"] = strings.Replace(p.psp.URL, "127.0.0.1", "localhost", 1)
}

// psps is a catalogue of one PSP without a node.
func (p *patient) psps(how, endpoint string) {
	p.write("psps.yaml", "psps:\n  - {id: BANCAUNO, name: Banca Uno, methods: [card], "+how+", endpoint: "+endpoint+", fees: [{fee_cents: 150}]}\n")
}

// The doctor makes and changes nothing.
func TestDoctorTouchesNothing(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	dir := filepath.Join(p.dir, "empty")
	p.env["NODOGATE_DATABASE_URL"], p.env["NODOGATE_SECRET_FILE"] = "sqlite://"+filepath.Join(dir, "n.db"), filepath.Join(dir, "secret")
	p.doctor.mailDir = filepath.Join(dir, "mail")
	p.examine()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the doctor made %s: %v", dir, err)
	}
}

func TestDoctorOnPostgres(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.env["NODOGATE_DATABASE_URL"] = storetest.NewPostgres(t)
	p.nodogate("school", "add", "--fiscal-code", "80014480828", "--name", "IC 6 Grosseto", "--iban", "IT60X0542811101000000123456",
		"--segregation-code", "01", "--taxonomy", "9/0801101SP/")
	for _, f := range p.examine() {
		if f.Level != findingOK {
			t.Errorf("%s  %s: %s", f.Level, f.Subject, f.Message)
		}
		if f.Subject == "clock" && !strings.Contains(f.Message, "the database's") {
			t.Errorf("the clock was not compared with the database's: %s", f.Message)
		}
	}
	p.doctor.now = func() time.Time { return time.Now().Add(-time.Hour) }
	list := p.examine()
	if f := list[len(list)-1]; f.Level != findingFail || f.Subject != "clock" {
		t.Errorf("an hour late: %+v", f)
	}
}

func TestDoctorCommand(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	code, out, errs := here(t, p.environ(), "doctor")
	if code != 0 || errs != "" || !strings.Contains(out, "ok    database: ") {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
	p.env["NODOGATE_HELP_TEXT"] = "" // a warning is no fault
	if code, out, _ := here(t, p.environ(), "doctor"); code != 0 || !strings.Contains(out, "warn  school 80014480828: ") {
		t.Errorf("with a warning: exit %d\n%s", code, out)
	}
	delete(p.env, "BANCAUNO_SECRET")
	code, out, errs = here(t, p.environ(), "doctor", "--json")
	var list []finding
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 1 || len(list) < 10 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "one fault") {
		t.Errorf("with a fault: exit %d, %v, %s\n%s", code, err, errs, out)
	}
	var none bytes.Buffer
	if code := run(context.Background(), cli{nil, io.Discard, &none}, []string{"doctor", "everything"}); code != 2 {
		t.Errorf("with a word too much: exit %d", code)
	}
}

func TestDoctorReadsWithoutWriting(t *testing.T) {
	t.Parallel()
	if _, err := store.ReadSecret(filepath.Join(t.TempDir(), "secret")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a secret that is not there: %v", err)
	}
}
