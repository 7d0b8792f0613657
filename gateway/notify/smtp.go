// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// SMTP hands mails to a mail server, each in a connection of its own.
type SMTP struct {
	host     string
	port     int
	user     *url.Userinfo
	implicit bool             // TLS from the first byte
	policy   gomail.TLSPolicy // of STARTTLS
	roots    *x509.CertPool   // nil: the system's
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
}

// connectTime is what every outgoing connection is given.
const connectTime = 2 * time.Second

// NewSMTP reads smtp://user:password@host:587, with STARTTLS required unless the
// host is this machine, or smtps://… with TLS from the first byte. Its error does
// not repeat the address, which holds a password.
func NewSMTP(address string) (*SMTP, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the mail server's address must be like smtp://user:password@host:587")
	}
	s := &SMTP{host: u.Hostname(), user: u.User, policy: gomail.TLSMandatory, dial: (&net.Dialer{Timeout: connectTime}).DialContext}
	port := "587" // RFC 6409
	switch u.Scheme {
	case "smtp":
		if ip := net.ParseIP(s.host); s.host == "localhost" || ip != nil && ip.IsLoopback() {
			s.policy = gomail.NoTLS
		}
	case "smtps":
		s.implicit, s.policy, port = true, gomail.NoTLS, "465" // RFC 8314
	default:
		return nil, errors.New("the mail server's address must begin with smtp:// or smtps://")
	}
	if s.port, err = strconv.Atoi(cmp.Or(u.Port(), port)); err != nil || s.port < 1 || s.port > 65535 {
		return nil, errors.New("the mail server's port must be 1 to 65535")
	}
	return s, nil
}

// Send delivers within half a minute, all told.
func (s *SMTP) Send(ctx context.Context, m Mail) error {
	msg, err := m.message()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if err == nil || msg.IsDelivered() {
		return nil // the server took it; how it said goodbye does not matter
	}
	return smtpError(err)
}

// Check says whether the server lets us in, as far as it can be known without a
// mail.
func (s *SMTP) Check(ctx context.Context) error {
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	if err := client.DialWithContext(ctx); err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	_ = client.Close() // how it says goodbye does not matter
	return nil
}

// client is for one connection, which ends with ctx.
func (s *SMTP) client(ctx context.Context) (*gomail.Client, error) {
	conf := &tls.Config{ServerName: s.host, RootCAs: s.roots, MinVersion: tls.VersionTLS12}
	options := []gomail.Option{
		gomail.WithPort(s.port), gomail.WithTLSPolicy(s.policy), gomail.WithTLSConfig(conf),
		gomail.WithDialContextFunc(func(connect context.Context, network, addr string) (net.Conn, error) {
			conn, err := s.dial(connect, network, addr)
			if err != nil {
				return nil, err
			}
			// The library gives each step a time of its own, and does not look at
			// the context once it has a connection.
			context.AfterFunc(ctx, func() { conn.Close() })
			if s.implicit {
				secure := tls.Client(conn, conf)
				return secure, secure.HandshakeContext(connect)
			}
			return conn, nil
		}),
	}
	if s.user != nil {
		password, _ := s.user.Password()
		options = append(options, gomail.WithUsername(s.user.Username()), gomail.WithPassword(password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	return client, nil
}

// smtpError keeps of a refusal what may be logged: the server's words quote the
// address as a rule.
func smtpError(err error) error {
	var e *gomail.SendError
	if !errors.As(err, &e) {
		return fmt.Errorf("smtp: %w", err) // before any address was named
	}
	kind := errors.New("refused for now")
	if recipientRefused(e) {
		kind = ErrPermanent
	}
	return fmt.Errorf("smtp: %s: %w: %d %s", e.Reason, kind, e.ErrorCode(), e.EnhancedStatusCode())
}

// recipientRefused says whether the server will never take a mail for this
// recipient: RFC 5321, section 4.2.1, 55x to RCPT or to the message. A policy
// refusal (RFC 3463, X.7.Y: relaying denied, say) is for the operator to mend, and
// the mails are to go then.
func recipientRefused(e *gomail.SendError) bool {
	return (e.Reason == gomail.ErrSMTPRcptTo || e.Reason == gomail.ErrSMTPDataClose) &&
		e.ErrorCode()/10 == 55 && !strings.HasPrefix(e.EnhancedStatusCode(), "5.7.")
}
