// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/mail"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// sink is a mail server that keeps what it gets and refuses what it is told to.
type sink struct {
	t      *testing.T
	addr   string
	mu     sync.Mutex
	refuse map[string]error // by command: AUTH, MAIL, RCPT, DATA; guarded by mu
	got    []received       // guarded by mu
}

type received struct {
	user, from, to string
	secure         bool
	raw            string
	eml            eml // of raw, for the test
}

// newSink serves on a port of the kernel's: with a configuration it speaks
// STARTTLS, or TLS from the first byte when that is implicit.
func newSink(t *testing.T, conf *tls.Config, implicit bool) *sink {
	t.Helper()
	s := &sink{t: t, refuse: map[string]error{}}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, secure := c.TLSConnectionState()
		return &session{sink: s, received: received{secure: secure}}, nil
	}))
	server.Domain, server.TLSConfig, server.AllowInsecureAuth = "mail.example", conf, true
	server.ErrorLog = silent{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	if implicit {
		l = tls.NewListener(l, conf)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { server.Close(); serving.Wait() })
	return s
}

type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

func (s *sink) refuses(command string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.refuse)
	s.refuse[command] = err
}

func (s *sink) says(command string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuse[command]
}

// took is the one mail that came, if one did.
func (s *sink) took() (received, bool) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.got) == 0 {
		return received{}, false
	}
	if len(s.got) > 1 {
		s.t.Fatalf("%d mails came", len(s.got))
	}
	r := s.got[0]
	r.eml = readMail(s.t, strings.NewReader(r.raw))
	s.got = nil
	return r, true
}

type session struct {
	*sink
	received
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != "p@ss" {
			return smtp.ErrAuthFailed
		}
		s.user = user
		return s.says("AUTH")
	}), nil
}
func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return s.says("MAIL") }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error   { s.to = to; return s.says("RCPT") }
func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.says("DATA"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = string(b)
	s.got = append(s.got, s.received)
	return nil
}
func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// certificate is one for mail.example, and the pool that trusts it.
func certificate(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// dialing sends what is meant for mail.example to addr.
func dialing(t testing.TB, address, addr string, roots *x509.CertPool) *SMTP {
	t.Helper()
	s, err := NewSMTP(address)
	if err != nil {
		t.Fatal(err)
	}
	s.roots = roots
	s.dial = func(ctx context.Context, network, asked string) (net.Conn, error) {
		if !strings.HasPrefix(asked, "mail.example:") {
			t.Errorf("dialled %s", asked)
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return s
}

var letter = Mail{
	ID: "m1", From: mail.Address{Address: "no-reply@pagamenti.example"}, To: "father@example.org", Date: gatewaytest.Start,
	Subject: "Nuovo avviso di pagamento: Scuola à", Text: "Ciao, perché no?\n", HTML: "<p>Ciao</p>\n",
}

func TestSMTP(t *testing.T) {
	t.Parallel()
	conf, roots := certificate(t)
	plain, starttls, implicit := newSink(t, nil, false), newSink(t, conf, false), newSink(t, conf, true)
	loopback, err := NewSMTP("smtp://" + plain.addr)
	if err != nil {
		t.Fatal(err)
	}
	withPassword, err := NewSMTP("smtp://office:p%40ss@" + plain.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		mailer *SMTP
		sink   *sink
		user   string
		secure bool
	}{
		{"loopback", loopback, plain, "", false},
		{"loopback with password", withPassword, plain, "office", false},
		{"STARTTLS", dialing(t, "smtp://office:p%40ss@mail.example", starttls.addr, roots), starttls, "office", true},
		{"TLS", dialing(t, "smtps://office:p%40ss@mail.example", implicit.addr, roots), implicit, "office", true},
	} {
		if err := c.mailer.Send(t.Context(), letter); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		r, ok := c.sink.took()
		if !ok || r.user != c.user || r.secure != c.secure || r.from != "no-reply@pagamenti.example" || r.to != "father@example.org" {
			t.Errorf("%s: came %v: %+v", c.name, ok, r)
		}
		if s := r.eml.subject(t); s != letter.Subject || r.eml.parts[textPart] != letter.Text || r.eml.parts[htmlPart] != letter.HTML {
			t.Errorf("%s: came as %q %q", c.name, s, r.eml.parts)
		}
	}
}

// What must be encrypted is not sent otherwise.
func TestSMTPRefusesPlain(t *testing.T) {
	t.Parallel()
	conf, roots := certificate(t)
	_, others := certificate(t)
	plain, starttls, implicit := newSink(t, nil, false), newSink(t, conf, false), newSink(t, conf, true)
	for name, c := range map[string]struct {
		mailer *SMTP
		sink   *sink
	}{
		"no STARTTLS":               {dialing(t, "smtp://office:p%40ss@mail.example:587", plain.addr, nil), plain},
		"no STARTTLS, no password":  {dialing(t, "smtp://mail.example", plain.addr, nil), plain},
		"STARTTLS of somebody else": {dialing(t, "smtp://mail.example", starttls.addr, others), starttls},
		"TLS of somebody else":      {dialing(t, "smtps://mail.example", implicit.addr, others), implicit},
		"TLS asked of a plain one":  {dialing(t, "smtps://mail.example", plain.addr, nil), plain},
		"wrong password over TLS":   {dialing(t, "smtp://office:wrong@mail.example", starttls.addr, roots), starttls},
		"nobody there":              {dialing(t, "smtp://mail.example", "127.0.0.1:1", nil), plain},
	} {
		err := c.mailer.Send(t.Context(), letter)
		if err == nil || errors.Is(err, ErrPermanent) {
			t.Errorf("%s: %v, want a temporary failure", name, err)
		} else if strings.Contains(err.Error(), "p@ss") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: the password stands in %v", name, err)
		}
		if _, ok := c.sink.took(); ok {
			t.Errorf("%s: the mail came", name)
		}
	}
}

func TestSMTPRefusals(t *testing.T) {
	t.Parallel()
	s := newSink(t, nil, false)
	mailer, err := NewSMTP("smtp://office:p%40ss@" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	reply := func(code, class, subject, detail int) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: "<father@example.org> of Mario Rossi"}
	}
	for _, c := range []struct {
		name, command string
		err           error
		permanent     bool
	}{
		{"greylisting", "RCPT", reply(451, 4, 7, 1), false},
		{"mailbox busy", "RCPT", reply(450, 4, 2, 1), false},
		{"mailbox full for now", "RCPT", reply(452, 4, 2, 2), false},
		{"no such mailbox", "RCPT", reply(550, 5, 1, 1), true},
		{"mailbox moved", "RCPT", reply(551, 5, 1, 6), true},
		{"relaying denied", "RCPT", reply(550, 5, 7, 1), false},
		{"authentication wanted", "RCPT", reply(530, 5, 7, 0), false},
		{"command unknown", "RCPT", reply(500, 5, 5, 1), false},
		{"sender refused", "MAIL", reply(550, 5, 1, 8), false},
		{"password refused", "AUTH", reply(535, 5, 7, 8), false},
		{"message refused", "DATA", reply(554, 5, 6, 0), true},
		{"message refused by policy", "DATA", reply(554, 5, 7, 1), false},
		{"disk full", "DATA", reply(452, 4, 3, 1), false},
	} {
		s.refuses(c.command, c.err)
		err := mailer.Send(t.Context(), letter)
		if err == nil || errors.Is(err, ErrPermanent) != c.permanent {
			t.Errorf("%s: %v, want permanent %v", c.name, err, c.permanent)
		} else if c.command != "AUTH" && (strings.Contains(err.Error(), "@") || strings.Contains(err.Error(), "Rossi")) {
			t.Errorf("%s: the error names the recipient: %v", c.name, err)
		}
		if _, ok := s.took(); ok {
			t.Errorf("%s: the mail came all the same", c.name)
		}
		// A look that sends nothing sees what comes before a mail.
		if err := mailer.Check(t.Context()); (err == nil) != (c.command != "AUTH") {
			t.Errorf("%s: Check says %v", c.name, err)
		}
	}
	s.refuses("RCPT", nil)
	if err := mailer.Send(t.Context(), letter); err != nil {
		t.Error(err)
	}
}

// Through the worker: what the server refuses for now comes later, what it
// refuses for good is parked.
func TestSMTPThroughWorker(t *testing.T) {
	t.Parallel()
	s := newSink(t, nil, false)
	mailer, err := NewSMTP("smtp://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	o := newOffice(gatewaytest.New(t), func(c *Config) { c.Mailer = mailer })
	o.family()
	o.parent("mother", "", "it")
	n := o.Issue()
	s.refuses("RCPT", &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "<father@example.org> greylisted"})
	o.drain()
	o.wantCount(templateIssued, retried, 1)
	s.refuses("RCPT", nil)
	o.Time.Advance(5 * time.Second)
	o.drain()
	if r, ok := s.took(); !ok || r.to != "father@example.org" {
		t.Errorf("came %v: %+v", ok, r)
	}
	s.refuses("RCPT", &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<father@example.org> unknown"})
	o.Settle(n, "")
	o.drain()
	o.wantCount(templatePaid, parked, 1)
	o.wantOutbox(kindMail, 0, 1)
	o.wantSilence(n.Number.String())
}

// A server that says nothing is left when the time is over.
func TestSMTPSilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mailer, err := NewSMTP("smtp://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := mailer.Send(ctx, letter); err == nil || errors.Is(err, ErrPermanent) {
		t.Errorf("Send = %v, want a temporary failure", err)
	}
}

func TestNewSMTP(t *testing.T) {
	t.Parallel()
	for address, port := range map[string]int{
		"smtp://mail.example": 587, "smtp://mail.example:25/": 25, "smtps://u:p@mail.example": 465, "smtps://mail.example:2465": 2465,
	} {
		if s, err := NewSMTP(address); err != nil || s.port != port || s.host != "mail.example" {
			t.Errorf("NewSMTP(%s) = %+v, %v", address, s, err)
		}
	}
	for _, address := range []string{
		"", "mail.example:587", "http://u:geheim@mail.example", "smtp://u:geheim@", "smtp://u:geheim@mail.example:99999", "smtp://u:geheim@mail.example:0",
		"smtp://u:geheim@mail.example/path", "smtp://u:geheim@mail.example?x=1", "smtp://u:geheim\n@mail.example", "smtp://u:ge%zzheim@mail.example",
	} {
		if s, err := NewSMTP(address); err == nil {
			t.Errorf("NewSMTP(%q) = %+v, want an error", address, s)
		} else if strings.Contains(err.Error(), "heim") {
			t.Errorf("NewSMTP(%q): the password stands in %v", address, err)
		}
	}
	if s, err := NewSMTP("smtp://" + url.UserPassword("a", "b").String() + "@localhost"); err != nil || s.user.Username() != "a" {
		t.Errorf("NewSMTP = %+v, %v", s, err)
	}
}
