// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/cache"
	"github.com/nodogate/nodogate/gateway/egress"
	"github.com/nodogate/nodogate/gateway/notify"
	"github.com/nodogate/nodogate/gateway/store"
)

// secretFile reads the root secret and never makes one.
func (d *doctor) secretFile() {
	const subject = "secret"
	secret, err := store.ReadSecret(d.cfg.SecretFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(d.cfg.DatabaseURL, "sqlite://") && !d.sqliteThere():
		d.ok(subject, "%s is not there yet; the first start makes it", d.cfg.SecretFile)
	case errors.Is(err, fs.ErrNotExist):
		d.fail(subject, "%s is missing: put the one of this database back from your copy (for a new PostgreSQL database: openssl rand -base64 32, mode 0600)", d.cfg.SecretFile)
	case err != nil:
		d.fail(subject, "%v", err) // it says what to do
	default:
		d.secret = secret
		d.ok(subject, "%s is 32 bytes that others cannot read; keep a copy apart from the database", d.cfg.SecretFile)
	}
}

func (d *doctor) sqliteThere() bool {
	info, err := os.Stat(strings.TrimPrefix(d.cfg.DatabaseURL, "sqlite://"))
	return err == nil && info.Size() > 0
}

// database opens the database for the checks that need one, if it is there and
// its tables are this version's.
func (d *doctor) database(ctx context.Context) {
	const subject = "database"
	sqlite := strings.HasPrefix(d.cfg.DatabaseURL, "sqlite://")
	if sqlite && !d.sqliteThere() {
		d.warn(subject, "there is none yet at %s; `nodogate migrate up`, or the first start, makes it", d.cfg.DatabaseURL)
		return
	}
	secret := d.secret
	if secret == nil {
		secret = make([]byte, 32) // enough to look at the tables
	}
	ask, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	db, err := store.Open(ask, store.Config{URL: d.cfg.DatabaseURL, Secret: secret, Now: d.now})
	if err != nil {
		what := "start it, or correct NODOGATE_DATABASE_URL"
		if sqlite {
			what = "see whether the file is the database and its user may read and write it; if it is damaged, put back a copy"
		}
		d.fail(subject, "%v: %s", err, what)
		return
	}
	usable := d.tables(ask, db) && d.key(ask, db)
	if usable {
		d.db = db
	}
	d.integrity(ctx, db, usable)
	if !usable {
		_ = db.Close()
	}
}

func (d *doctor) tables(ctx context.Context, db *store.DB) bool {
	const subject = "database"
	list, err := db.MigrationStatus(ctx)
	if err != nil {
		d.fail(subject, "%v: see whether its user may read and write", err)
		return false
	}
	at, err := db.SchemaVersion(ctx)
	if err != nil {
		d.fail(subject, "%v: see whether its user may read and write", err)
		return false
	}
	var pending []string
	for _, m := range list {
		if m.AppliedAt.IsZero() {
			pending = append(pending, m.Name)
		}
	}
	last := list[len(list)-1]
	switch {
	case at > last.Number:
		d.fail(subject, "a newer nodogate has changed its tables (migration %d, this version knows %d): run the newer one, or put back a copy of before", at, last.Number)
		return false
	case len(pending) > 0:
		d.warn(subject, "%d migrations to come (%s): `nodogate migrate up`, or the next start, does them", len(pending), strings.Join(pending, ", "))
		return false
	}
	d.ok(subject, "answers, its tables are those of this version (%s)", last.Name)
	return true
}

func (d *doctor) key(ctx context.Context, db *store.DB) bool {
	const subject = "secret of the database"
	if d.secret == nil {
		return false // the secret's own line says why
	}
	err := db.CheckKey(ctx)
	switch {
	case errors.Is(err, store.ErrWrongSecret):
		d.fail(subject, "%s is not the secret that this database was made with: put that one back; nothing can be read without it", d.cfg.SecretFile)
	case errors.Is(err, gateway.ErrNotFound):
		return true // nothing was sealed yet
	case err != nil:
		d.fail(subject, "%v", err)
	default:
		d.ok(subject, "opens it")
		return true
	}
	return false
}

// integrity has the database look at itself.
func (d *doctor) integrity(ctx context.Context, db *store.DB, usable bool) {
	const subject = "integrity"
	limit := quickTime
	if d.deep {
		limit = 24 * time.Hour
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found, err := db.CheckIntegrity(ctx, d.deep)
	switch {
	case err == nil && len(found) > 0:
		d.fail(subject, "the database is damaged (%s): stop the gateway and put back a copy", strings.Join(found, "; "))
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		d.warn(subject, "the look at it was not over after %s: run `nodogate doctor --deep` when there is time", limit)
	case err != nil:
		d.fail(subject, "%v", err)
	case !d.deep || !usable:
		d.ok(subject, "the database finds nothing wrong with itself; --deep reads all of it")
	default:
		if err := db.CheckInvariants(ctx); err != nil {
			d.fail(subject, "a rule that must hold does not: %v; stop, and ask for help with this line", err)
			return
		}
		d.ok(subject, "all of the database was read, and money adds up")
	}
}

// How much room is little, and how much is too little.
const (
	roomWarn  = 1 << 30
	roomFault = 100 << 20
)

// folders are where files are written.
func (d *doctor) folders() {
	var dirs []string
	if path, ok := strings.CutPrefix(d.cfg.DatabaseURL, "sqlite://"); ok {
		dirs = append(dirs, filepath.Dir(path))
	}
	dirs = append(dirs, d.mailDir)
	type disk struct{ free, size uint64 }
	var seen []disk
	for i, dir := range dirs {
		dir = existing(dir)
		if dirs[i] = dir; slices.Contains(dirs[:i], dir) {
			continue
		}
		subject := "disk of " + dir
		free, size, err := d.free(dir)
		if err == nil {
			// Two folders on one disk are one line.
			if slices.Contains(seen, disk{free, size}) {
				continue
			}
			seen = append(seen, disk{free, size})
		}
		switch {
		case err != nil:
			d.warn(subject, "its room cannot be told: %v", err)
		case free < roomFault:
			d.fail(subject, "%d MB left: make room now; a full disk stops payments", free>>20)
		case free < roomWarn || size > 0 && free < size/50:
			d.warn(subject, "%d MB left of %d: make room", free>>20, size>>20)
		default:
			d.ok(subject, "%d MB left of %d", free>>20, size>>20)
		}
	}
}

// existing is dir, or the nearest folder above it that is there.
func existing(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return dir
		}
		dir = up
	}
}

func (d *doctor) mail(ctx context.Context) {
	const subject = "mail"
	if d.cfg.SMTPURL == "" {
		dir := existing(d.mailDir)
		f, err := os.CreateTemp(dir, ".doctor-*")
		if err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
		if err != nil {
			d.fail(subject, "nothing can be written to %s (%v): run this as the gateway's user, or give the folder to it", dir, err)
			return
		}
		d.warn(subject, "mails become files in %s, nobody gets them: set NODOGATE_SMTP_URL", d.mailDir)
		return
	}
	s, err := notify.NewSMTP(d.cfg.SMTPURL)
	if err != nil {
		return // the configuration told
	}
	ctx, cancel := context.WithTimeout(ctx, 2*reachTime)
	defer cancel()
	if err := s.Check(ctx); err != nil {
		d.fail(subject, "%v: correct NODOGATE_SMTP_URL, or ask who runs the server", err)
		return
	}
	d.ok(subject, "the server takes us")
}

func (d *doctor) redis(ctx context.Context) {
	const subject = "redis"
	if d.cfg.RedisURL == "" {
		return
	}
	client, err := cache.NewClient(d.cfg.RedisURL)
	if err != nil {
		return // the configuration told
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		d.fail(subject, "%v: start it, or correct NODOGATE_REDIS_URL", err)
		return
	}
	d.ok(subject, "answers")
}

// certificates are those that we show and those that we trust.
func (d *doctor) certificates(c connectors.Catalogue) {
	host := ""
	if u, err := url.Parse(d.cfg.PublicURL); err == nil {
		host = u.Hostname()
	}
	d.pair("certificate (NODOGATE_TLS_CERT)", d.cfg.TLSCert, d.cfg.TLSKey, host)
	d.authority("peers' authority (NODOGATE_PEER_CA)", d.cfg.PeerCA)
	for _, p := range c.PSPs {
		d.pair("client certificate of "+string(p.ID), p.ClientCert, p.ClientKey, "")
		d.authority("authority of "+string(p.ID), p.CA)
	}
}

// pair looks at a certificate and its key; host, when not empty, must be its.
func (d *doctor) pair(subject, certFile, keyFile, host string) {
	if certFile == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		d.fail(subject, "%s, %s: %v: give the certificate and the key that belongs to it, both in PEM and readable for the gateway", certFile, keyFile, err)
		return
	}
	if host != "" {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			d.fail(subject, "%s is not for %s, which is in NODOGATE_PUBLIC_URL: get one that is", certFile, host)
			return
		}
	}
	if info, err := os.Stat(keyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		d.warn(subject, "everybody here can read %s: chmod 0640, and give it to the gateway's group", keyFile)
	}
	d.validity(subject, certFile, []*x509.Certificate{pair.Leaf})
}

// authority looks at certificates that we trust.
func (d *doctor) authority(subject, file string) {
	if file == "" {
		return
	}
	text, err := os.ReadFile(file)
	if err != nil {
		d.fail(subject, "%v", err)
		return
	}
	var list []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			d.fail(subject, "%s holds a certificate that cannot be read: get the file again", file)
			return
		}
		list = append(list, cert)
	}
	if len(list) == 0 {
		d.fail(subject, "%s holds no certificate: give it in PEM", file)
		return
	}
	d.validity(subject, file, list)
}

// validity is how long the first of some certificates to end is good.
func (d *doctor) validity(subject, file string, list []*x509.Certificate) {
	first := slices.MinFunc(list, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	now, until := d.now(), first.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case !now.Before(first.NotAfter):
		d.fail(subject, "%s is over since %s: renew it now", file, until)
	case now.Before(first.NotBefore):
		d.fail(subject, "%s is good from %s on only: look at the clock, or get the right one", file, first.NotBefore.UTC().Format(time.DateTime))
	case first.NotAfter.Sub(now) < soonTime:
		d.warn(subject, "%s ends on %s: renew it", file, until)
	default:
		d.ok(subject, "%s is good until %s", file, until)
	}
}

// providers are the PSPs of the catalogue, each by itself: one that is wrong must
// not hide another.
func (d *doctor) providers(ctx context.Context, c connectors.Catalogue) {
	good := true
	for _, p := range c.PSPs {
		subject := "psp " + string(p.ID)
		one := connectors.Catalogue{PSPs: []connectors.PSP{p}}
		err := d.assemble(one)
		if slices.Contains(d.cfg.Faces, "node") {
			_, err2 := nodePSPs(one, d.getenv, nil)
			err = errors.Join(err, err2)
		}
		if err != nil {
			good = false
			d.fail(subject, "%v", err)
			continue
		}
		if p.Endpoint == "" {
			d.ok(subject, "has no address to call")
			continue
		}
		transport := egress.Transport(reachTime, 1, d.cfg.AllowPrivate)
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if pair, err := tls.LoadX509KeyPair(p.ClientCert, p.ClientKey); p.ClientCert != "" && err == nil {
			transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
		}
		if text, err := os.ReadFile(p.CA); p.CA != "" && err == nil {
			transport.TLSClientConfig.RootCAs = x509.NewCertPool()
			transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text)
		}
		d.reach(ctx, findingFail, subject, p.Endpoint, transport)
	}
	if err := d.assemble(c); good && err != nil {
		d.fail("catalogue", "%v", err) // what is wrong of them together
	}
}

// assemble builds connectors as serve does, and drops them.
func (d *doctor) assemble(c connectors.Catalogue) error {
	_, err := connectors.New(connectors.Config{
		Catalogue: c, Drivers: drivers, AllowPrivate: d.cfg.AllowPrivate, Getenv: d.getenv, Now: d.now,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	return err
}

// services are the other addresses that the gateway calls.
func (d *doctor) services(ctx context.Context) {
	transport := func() *http.Transport { return egress.Transport(reachTime, 1, d.cfg.AllowPrivate) }
	if entries, err := d.cfg.identityEntries(d.getenv); err == nil {
		for _, e := range entries {
			d.reach(ctx, findingFail, "identity provider "+e.ID, strings.TrimSuffix(e.Issuer, "/")+"/.well-known/openid-configuration", transport())
		}
	}
	for _, s := range []struct{ subject, address string }{
		{"archive of notices (NODOGATE_ACA_URL)", d.cfg.ACAURL}, {"fee calculator (NODOGATE_AFM_URL)", d.cfg.AFMURL},
	} {
		if s.address != "" {
			d.reach(ctx, findingFail, s.subject, s.address, transport())
		}
	}
	if d.cfg.AppIOKey != "" || d.cfg.AppIOKeys != "" {
		d.reach(ctx, findingFail, "App IO (NODOGATE_APPIO_URL)", d.cfg.AppIOURL, transport())
	}
}

// reach says whether something answers at an address. Whatever it answers to a
// question that is none, it is there; and it says what time it is.
func (d *doctor) reach(ctx context.Context, level, subject, address string, transport *http.Transport) {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		d.fail(subject, "its address cannot be called: correct it")
		return
	}
	client := http.Client{Transport: transport, CheckRedirect: egress.NoRedirects}
	defer transport.CloseIdleConnections()
	asked := d.now()
	resp, err := client.Do(req)
	if err != nil {
		why := egress.Reason(err)
		if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
			why = "its certificate is of an authority that is not trusted here"
		}
		d.say(level, subject, "%s: %s: see whether it is up and the address right", req.URL.Host, why)
		return
	}
	_ = resp.Body.Close()
	took := d.now().Sub(asked)
	// The header has whole seconds: half of one is its middle.
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		d.offsets = append(d.offsets, offset{req.URL.Host, at.Add(500 * time.Millisecond).Sub(asked.Add(took / 2))})
	}
	d.ok(subject, "%s answers (%d, %d ms)", req.URL.Host, resp.StatusCode, took.Milliseconds())
}

func (d *doctor) outbox(ctx context.Context) {
	const subject = "outbox"
	if d.db == nil {
		return
	}
	stats, err := d.db.OutboxStats(ctx, d.now())
	if err != nil {
		d.fail(subject, "%v", err)
		return
	}
	quiet := true
	for _, kind := range outboxKinds {
		s := stats[kind]
		if s.Parked > 0 {
			quiet = false
			d.warn(subject, "%d messages of kind %s were given up: `nodogate outbox parked --kind %s` lists them, `nodogate outbox retry --kind %s` has them tried again", s.Parked, kind, kind, kind)
		}
		if s.Pending > 0 && s.Oldest > time.Hour {
			quiet = false
			d.warn(subject, "a message of kind %s waits for %s: see whether the gateway runs, and its log", kind, s.Oldest.Round(time.Minute))
		}
	}
	if quiet {
		d.ok(subject, "nothing was given up, nothing waits for long")
	}
}

// maxSchoolLines bounds the lines about schools; where many lack the same, some
// tell.
const maxSchoolLines = 20

func (d *doctor) schools(ctx context.Context, c connectors.Catalogue) {
	const subject = "schools"
	if d.db == nil {
		return
	}
	bulletins := slices.ContainsFunc(c.PSPs, func(p connectors.PSP) bool { return slices.Contains(p.Methods, gateway.MethodBulletin) })
	svc, err := gateway.New(gateway.Config{Store: d.db, Clock: gateway.NewClock(d.now, time.Time{}), PublicURL: &url.URL{Scheme: "http", Host: "localhost"}})
	var schools []gateway.School
	if err == nil {
		schools, err = svc.Schools(ctx)
	}
	if err != nil {
		d.fail(subject, "%v", err)
		return
	}
	if len(schools) == 0 {
		d.warn(subject, "none yet: `nodogate school add`")
		return
	}
	lines := 0
	for _, s := range schools {
		list, err := d.schoolLacks(ctx, svc, s, bulletins)
		if err != nil {
			d.fail(subject, "%v", err)
			return
		}
		if len(list) == 0 {
			continue
		}
		if lines++; lines <= maxSchoolLines {
			d.warn("school "+string(s.Code), "%s", strings.Join(list, "; "))
		}
	}
	if lines > maxSchoolLines {
		d.warn(subject, "%d more schools lack something", lines-maxSchoolLines)
	}
	if lines == 0 {
		d.ok(subject, "%d, each with its own collection code, account and help", len(schools))
	}
}

// schoolLacks says what a school needs, and how it is given.
func (d *doctor) schoolLacks(ctx context.Context, svc *gateway.Service, s gateway.School, bulletins bool) (list []string, err error) {
	change := "`nodogate school change " + string(s.Code)
	if s.Taxonomy == gateway.DefaultTaxonomy {
		list = append(list, "has the general collection code "+s.Taxonomy+": give its own, "+change+" --taxonomy CODE`; `nodogate taxonomy list --kind 08` lists those of schools")
	} else {
		problem, err := svc.JudgeTaxonomy(ctx, s.Taxonomy)
		if err != nil {
			return nil, err
		}
		if problem != "" {
			list = append(list, "its collection code "+s.Taxonomy+" cannot be used ("+problem+"): "+change+" --taxonomy CODE`")
		}
	}
	if s.IBAN == "" {
		list = append(list, "has no account: "+change+" --iban IBAN`")
	}
	switch p := s.Postal; {
	case p == gateway.PostalAccount{}:
		if bulletins {
			list = append(list, "has no postal account, so its notices cannot be paid by postal bulletin: "+change+" --postal-account …` with --postal-iban, --postal-holder and --postal-authorization")
		}
	case p.Account == "" || p.IBAN == "" || p.Holder == "" || p.Authorization == "":
		list = append(list, "its postal account lacks something, so no slip is printed: "+change+" --postal-account …` with --postal-iban, --postal-holder and --postal-authorization")
	}
	if s.HelpText == "" && d.cfg.HelpText == "" {
		list = append(list, "families are not told whom to ask: "+change+" --help-text TEXT`, or NODOGATE_HELP_TEXT for all")
	}
	return list, nil
}

// publicAddress is where families go. The gateway may be stopped, so that nobody
// there is no fault.
func (d *doctor) publicAddress(ctx context.Context) {
	if d.cfg.PublicURL == "" {
		return
	}
	d.reach(ctx, findingWarn, "public address (NODOGATE_PUBLIC_URL)", d.cfg.PublicURL, egress.Transport(reachTime, 1, true))
}

// clock compares ours with the database's, else with those of peers that
// answered: tokens, signatures and due dates hang on it.
func (d *doctor) clock(ctx context.Context) {
	const subject = "clock"
	if d.db != nil {
		floor, err := d.db.ClockMark(ctx)
		if err != nil {
			d.fail(subject, "%v", err)
			return
		}
		if back := floor.Sub(d.now()); back > clockWarn {
			d.fail(subject, "it is %s behind an instant that this installation has seen: set it right; until then nothing expires", back.Round(time.Second))
			return
		}
		before := d.now()
		at, err := d.db.ServerTime(ctx)
		if err != nil {
			d.fail(subject, "%v", err)
			return
		}
		if !at.IsZero() {
			d.compare(offset{"the database's", at.Sub(before.Add(d.now().Sub(before) / 2))})
			return
		}
	}
	if len(d.offsets) == 0 {
		d.ok(subject, "%s; nothing to compare it with, so keep NTP running", d.now().UTC().Format(time.RFC3339))
		return
	}
	// One peer that is wrong does not make us wrong.
	d.compare(slices.MinFunc(d.offsets, func(a, b offset) int { return int(a.by.Abs() - b.by.Abs()) }))
}

func (d *doctor) compare(o offset) {
	const subject = "clock"
	by := o.by.Round(100 * time.Millisecond)
	switch {
	case o.by.Abs() > clockFault:
		d.fail(subject, "differs by %s from %s: set it right and keep NTP running; signatures and tokens fail", fmtOffset(by), o.of)
	case o.by.Abs() > clockWarn:
		d.warn(subject, "differs by %s from %s: keep NTP running", fmtOffset(by), o.of)
	default:
		d.ok(subject, "within %s of %s", by.Abs(), o.of)
	}
}

func fmtOffset(by time.Duration) string { return fmt.Sprintf("%+.1f s", by.Seconds()) }
