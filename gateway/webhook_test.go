// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// strict is a Service on the same store that lets nothing be on private
// addresses.
func strict(t *testing.T, g *gatewaytest.Gateway) *gateway.Service {
	t.Helper()
	public, err := url.Parse("https://pagamenti.example")
	if err != nil {
		t.Fatal(err)
	}
	svc, err := gateway.New(gateway.Config{Store: g.Store, Clock: gateway.NewClock(g.Time.Now, time.Time{}), PublicURL: public})
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func TestWebhookAddresses(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	svc := strict(t, g)
	const wrong, right, allowed = 0, 1, 2 // allowed: with AllowPrivateTargets
	for address, want := range map[string]int{
		"https://gestionale.example/pagamenti?scuola=1":           right,
		"https://gestionale.example:8443/":                        right,
		"https://8.8.8.8/x":                                       right,
		"https://[2001:4860:4860::8888]/":                         right,
		"http://gestionale.example/":                              allowed,
		"https://127.0.0.1/":                                      allowed,
		"https://10.1.2.3/":                                       allowed,
		"https://169.254.169.254/latest/meta-data":                allowed,
		"https://[::1]/":                                          allowed,
		"https://[::ffff:192.168.1.1]/":                           allowed,
		"https://0.0.0.0/":                                        allowed,
		"https://localhost/":                                      allowed,
		"https://LOCALHOST./":                                     allowed,
		"https://db.localhost/":                                   allowed,
		"https://intranet/":                                       allowed,
		"https://stampante.local/":                                allowed,
		"https://user:password@gestionale.example/":               wrong,
		"https://gestionale.example/#x":                           wrong,
		"ftp://gestionale.example/":                               wrong,
		"javascript:alert(1)":                                     wrong,
		"https:///path":                                           wrong,
		"//gestionale.example/":                                   wrong,
		"/path":                                                   wrong,
		"":                                                        wrong,
		"https://gestionale.example/a b":                          wrong,
		"https://gestionale.example/\r\nX: y":                     wrong,
		"https://gestionale.example/città":                        wrong,
		"https://gestionale.example/RSSMRA10A41H501F":             wrong,
		"https://gestionale.example/" + strings.Repeat("a", 2048): wrong,
	} {
		for name, s := range map[string]*gateway.Service{"strict": svc, "private allowed": g.Service} {
			h, err := s.AddWebhook(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, address, []string{"notice.paid"})
			ok := want == right || want == allowed && s == g.Service
			var bad *gateway.Invalid
			switch {
			case ok && (err != nil || h.URL != address):
				t.Errorf("%s, %q: %v", name, address, err)
			case !ok && (!errors.As(err, &bad) || len(bad.Fields) != 1 || bad.Fields[0].Field != "url" || strings.Contains(bad.Error(), "password@")):
				t.Errorf("%s, %q: %v, want what is wrong with url", name, address, err)
			}
			if ok {
				if err := s.DeleteWebhook(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, h.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestWebhookEvents(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	for _, c := range []struct {
		events []string
		fields []string
	}{
		{nil, []string{"events"}},
		{[]string{"notice.paid", "notice.paid"}, []string{"events[1]"}},
		{[]string{"notice.paid", "payment.started", "*", ""}, []string{"events[1]", "events[2]", "events[3]"}},
	} {
		_, err := g.AddWebhook(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, "https://gestionale.example/", c.events)
		var bad *gateway.Invalid
		if !errors.As(err, &bad) {
			t.Errorf("%q: %v", c.events, err)
			continue
		}
		var fields []string
		for _, f := range bad.Fields {
			fields = append(fields, f.Field)
		}
		if !slices.Equal(fields, c.fields) {
			t.Errorf("%q: wrong are %q, want %q", c.events, fields, c.fields)
		}
	}
	if _, err := g.AddWebhook(t.Context(), gatewaytest.Operator, "00000000000", "https://gestionale.example/", []string{"notice.paid"}); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("of an unknown school: %v", err)
	}
}

func TestTooManyWebhooks(t *testing.T) {
	t.Parallel()
	g := gatewaytest.New(t)
	add := func() (gateway.Webhook, error) {
		return g.AddWebhook(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, "https://gestionale.example/", []string{"notice.paid"})
	}
	secrets := map[string]bool{}
	var last gateway.Webhook
	for range gateway.MaxWebhooks {
		h, err := add()
		if err != nil {
			t.Fatal(err)
		}
		last = h
		secrets[h.Keys[0].Secret()] = true
	}
	if len(secrets) != gateway.MaxWebhooks {
		t.Errorf("%d different secrets", len(secrets))
	}
	if _, err := add(); !errors.Is(err, gateway.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if err := g.DeleteWebhook(t.Context(), gatewaytest.Operator, gatewaytest.SchoolCode, last.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := add(); err != nil {
		t.Errorf("in the place of another: %v", err)
	}
}

// A notice past its last day is told of once, whatever the clock and the school
// do meanwhile, and not while a payer holds it.
func TestExpireNotices(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		ctx := t.Context()
		due := func(day string, after bool) gateway.Notice {
			return g.Issue(func(n *gateway.NewNotice) { n.DueDate, n.PayableAfterDue = day, after })
		}
		today, tomorrow, after := due("2026-11-23", false), due("2026-11-24", false), due("2026-11-23", true)
		held, paid := due("2026-11-23", false), due("2026-11-23", false)
		g.Settle(paid, "")
		expire := func(want int) {
			t.Helper()
			if got, err := g.ExpireNotices(ctx); got != want || err != nil {
				t.Errorf("ExpireNotices = %d, %v, want %d", got, err, want)
			}
		}
		told := func(n gateway.Notice) (count int) {
			t.Helper()
			events, err := g.Events(ctx, n.School, n.Number)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if e.Kind == gateway.EventNoticeExpired {
					count++
				}
			}
			return count
		}
		// 23:59:59.999999 in Rome; the job looks a moment before and after.
		g.Time.Advance(15*time.Hour - time.Microsecond)
		if _, err := g.Pay(ctx, gateway.PayRequest{
			Key: "k", Notices: []gateway.NoticeRef{{School: held.School, Number: held.Number}}, Method: gateway.MethodCard, Email: "x@example.org", Actor: gatewaytest.Operator,
		}); err != nil {
			t.Fatal(err)
		}
		expire(0)
		g.Time.Advance(time.Microsecond)
		expire(1)
		expire(0)
		if g.State(today) != gateway.NoticeExpired || told(today) != 1 || told(tomorrow)+told(after)+told(held)+told(paid) != 0 {
			t.Errorf("told: today %d, tomorrow %d, payable after %d, held %d, paid %d", told(today), told(tomorrow), told(after), told(held), told(paid))
		}
		// The page of the held one lapses.
		g.Time.Advance(time.Hour)
		if _, err := g.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		expire(1)
		// A late receipt pays an expired notice all the same.
		if v, err := g.Deliver(gatewaytest.Receipt(today, "rt-late")); err != nil || !v.Receipt.Settles || v.Receipt.Anomaly != gateway.AnomalyExpired {
			t.Errorf("late receipt: %+v, %v", v, err)
		}
		g.Time.Advance(24 * time.Hour)
		expire(1)
		if told(tomorrow) != 1 {
			t.Errorf("told of tomorrow's %d times", told(tomorrow))
		}
		if _, err := g.Cancel(ctx, gatewaytest.Operator, tomorrow.School, tomorrow.Number); err != nil {
			t.Errorf("cancel an expired notice: %v", err)
		}
	})
}
