// SPDX-License-Identifier: Apache-2.0

package bollettino

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/connectortest"
	"github.com/nodogate/nodogate/gateway"
)

const attempt = connectortest.Attempt

func TestConnector(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, func(t *testing.T) connectortest.Fixture {
		return connectortest.Fixture{
			Driver: Driver,
			Accept: func(w http.ResponseWriter, _ *http.Request, page string) {
				answer(w, http.StatusCreated, payment{ID: attempt, Reference: "psp-1", URL: page, Timeout: 600_000})
			},
			Refuse: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusUnprocessableEntity)
				io.WriteString(w, `{"title":"Refused","status":422,"detail":"famiglia@posta.example is no address"}`)
			},
			Ask: connectortest.Ask{
				Words: map[string]connectortest.Word{
					"open": {Answer: state("open"), Word: gateway.WordOpen}, "ordered": {Answer: state("ordered"), Word: gateway.WordAuthorised},
					"refused": {Answer: state("refused"), Word: gateway.WordNo}, "expired": {Answer: state("expired"), Word: gateway.WordNo},
				},
				Other: func(w http.ResponseWriter, _ *http.Request) {
					answer(w, http.StatusOK, payment{ID: strings.Repeat("0", 32), Reference: "psp-1", State: "expired"})
				},
			},
			Cancel: connectortest.Cancel{
				Done:    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
				Refused: map[string]http.HandlerFunc{"ordered": problem(http.StatusConflict), "not there": problem(http.StatusNotFound)},
			},
		}
	})
}

func answer(w http.ResponseWriter, status int, p payment) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(p)
}

// psp serves a scripted PSP to a Set.
func psp(t *testing.T, h http.HandlerFunc) *connectors.Set {
	t.Helper()
	srv := httptest.NewServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(srv.Close)
	return connectortest.New(t, Driver, srv.URL+"/api", io.Discard)
}

func problem(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"title":"No","status":%d}`, status)
	}
}

func TestStartSendsTheOrder(t *testing.T) {
	t.Parallel()
	order := connectortest.Order(t)
	order.Notices[0].Token, order.Notices[1].Token = "t1", "t2"
	order.Notices[1].PostalAccount = "000000001016"
	var got any
	set := psp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/api/bollettini" || r.Header.Get("Ocp-Apim-Subscription-Key") != connectortest.Secret {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		answer(w, http.StatusOK, payment{ID: attempt, Reference: "psp-1", URL: "https://pagine.example/p/1", Timeout: 600_000})
	})
	started, err := set.Start(t.Context(), connectortest.PSP, order)
	if want := (gateway.Started{Redirect: "https://pagine.example/p/1", Reference: "psp-1", Timeout: 10 * time.Minute}); err != nil || started != want {
		t.Errorf("Start = %+v, %v; want %+v", started, err, want)
	}
	notice := func(i int, description, token string) map[string]any {
		return map[string]any{"noticeNumber": order.Notices[i].Number.String(), "fiscalCode": "80014480828", "companyName": "IC 6 Grosseto",
			"description": description, "amount": 1650.0, "paymentToken": token}
	}
	second := notice(1, "Assicurazione", "t2")
	second["ccPost"] = "000000001016"
	want := map[string]any{
		"id": attempt, "fee": 100.0, "returnUrl": "https://paga.example/carrello/esito/cart1", "email": "famiglia@posta.example",
		"notices": []any{notice(0, "Viaggio di istruzione 3B", "t1"), second},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sent\n%v\nwant\n%v", got, want)
	}
}

// An order whose answer is lost is looked for by our id, and never sent again.
func TestStartFindsALostOrder(t *testing.T) {
	t.Parallel()
	good := payment{ID: attempt, Reference: "psp-1", URL: "https://pagine.example/p/1", Timeout: 600_000, State: "open"}
	for name, c := range map[string]struct {
		post, get http.HandlerFunc
		want      error
	}{
		"cut":                 {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, nil},
		"503":                 {problem(503), nil, nil},
		"nonsense":            {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "?") }, nil, nil},
		"cut, and not there":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, problem(404), gateway.ErrOutcomeUnknown},
		"cut, and not asked":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, problem(503), gateway.ErrOutcomeUnknown},
		"cut, and over":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, state("expired"), gateway.ErrOutcomeUnknown},
		"a no is not doubted": {problem(422), nil, gateway.ErrRefused},
		"nor a wrong key":     {problem(401), nil, gateway.ErrPSPUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var posts atomic.Int32
			set := psp(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPost:
					posts.Add(1)
					c.post(w, r)
				case r.URL.Path != "/api/bollettini/"+attempt:
					t.Errorf("asked at %s", r.URL)
				case c.get != nil:
					c.get(w, r)
				default:
					answer(w, http.StatusOK, good)
				}
			})
			started, err := set.Start(t.Context(), connectortest.PSP, connectortest.Order(t))
			if posts.Load() != 1 || !errors.Is(err, c.want) || (err == nil) != (started.Redirect == good.URL) {
				t.Errorf("Start = %+v, %v after %d orders; want %v", started, err, posts.Load(), c.want)
			}
		})
	}
}

func state(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, payment{ID: attempt, Reference: "psp-1", URL: "https://pagine.example/p/1", State: s})
	}
}

func TestStartRefusesUnsent(t *testing.T) {
	t.Parallel()
	set := psp(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was sent", r.Method) })
	order := connectortest.Order(t)
	order.Notices[1].Amount = gateway.MaxBulletin + 1
	if started, err := set.Start(t.Context(), connectortest.PSP, order); !errors.Is(err, gateway.ErrRefused) {
		t.Errorf("Start = %+v, %v; want refused", started, err)
	}
}

func TestStartBelievesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*payment){
		"another id":    func(p *payment) { p.ID = strings.Repeat("0", 32) },
		"no reference":  func(p *payment) { p.Reference = "" },
		"a long one":    func(p *payment) { p.Reference = strings.Repeat("x", 256) },
		"negative time": func(p *payment) { p.Timeout = -1 },
		"too long":      func(p *payment) { p.Timeout = 1_800_001 },
		"far too long":  func(p *payment) { p.Timeout = 1 << 62 },
	} {
		set := psp(t, func(w http.ResponseWriter, _ *http.Request) {
			p := payment{ID: attempt, Reference: "psp-1", URL: "https://pagine.example/p/1", Timeout: 600_000, State: "open"}
			change(&p)
			answer(w, http.StatusOK, p)
		})
		if started, err := set.Start(t.Context(), connectortest.PSP, connectortest.Order(t)); !errors.Is(err, gateway.ErrOutcomeUnknown) {
			t.Errorf("%s: Start = %+v, %v", name, started, err)
		}
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	pay := gateway.Payment{Attempt: attempt, Reference: "psp-1", Method: gateway.MethodBulletin}
	for name, c := range map[string]struct {
		psp http.HandlerFunc
		err error
	}{
		"ordered": {state("ordered"), nil}, "a new word": {state("paid"), gateway.ErrOutcomeUnknown}, "no word": {state(""), gateway.ErrOutcomeUnknown},
		"another reference": {func(w http.ResponseWriter, _ *http.Request) {
			answer(w, 200, payment{ID: attempt, Reference: "psp-2", State: "expired"})
		}, gateway.ErrOutcomeUnknown},
		// Not there: nobody says that it will not be paid.
		"not there": {problem(404), gateway.ErrRefused},
	} {
		set := psp(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Path != "/api/bollettini/"+attempt || r.Header.Get("Ocp-Apim-Subscription-Key") != connectortest.Secret {
				t.Errorf("%s: %s %s", name, r.Method, r.URL)
			}
			c.psp(w, r)
		})
		if e, err := set.Ask(t.Context(), connectortest.PSP, pay); !errors.Is(err, c.err) || err == nil && (e.Reference != "psp-1" || len(e.Raw) == 0) {
			t.Errorf("%s: Ask = %+v, %v; want %v", name, e, err, c.err)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		psp  http.HandlerFunc
		want error
	}{
		"a gate":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(409) }, gateway.ErrOutcomeUnknown},
		"promised": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }, gateway.ErrOutcomeUnknown},
	} {
		set := psp(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodDelete || r.URL.Path != "/api/bollettini/"+attempt {
				t.Errorf("%s: %s %s", name, r.Method, r.URL)
			}
			c.psp(w, r)
		})
		if err := set.Cancel(t.Context(), connectortest.PSP, gateway.Payment{Attempt: attempt, Reference: "psp-1"}); !errors.Is(err, c.want) {
			t.Errorf("%s: Cancel = %v, want %v", name, err, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	endpoint := &url.URL{Scheme: "https", Host: "psp.example"}
	for name, c := range map[string]struct {
		cfg   connectors.DriverConfig
		print bool
		wrong string
	}{
		"left out":           {connectors.DriverConfig{Endpoint: endpoint}, false, ""},
		"yes":                {connectors.DriverConfig{Endpoint: endpoint, Options: map[string]string{"online": "yes"}}, false, ""},
		"no":                 {connectors.DriverConfig{Options: map[string]string{"online": "no"}}, true, ""},
		"no, and an address": {connectors.DriverConfig{Endpoint: endpoint, Options: map[string]string{"online": "no"}}, false, "leave them out"},
		"no, and a key":      {connectors.DriverConfig{Secret: "x", Options: map[string]string{"online": "no"}}, false, "leave them out"},
		"other":              {connectors.DriverConfig{Endpoint: endpoint, Options: map[string]string{"online": "false"}}, false, "options.online"},
		"unknown":            {connectors.DriverConfig{Endpoint: endpoint, Options: map[string]string{"onlin": "no"}}, false, "options.onlin"},
	} {
		got, err := newConnector(c.cfg)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v, want %s", name, err, c.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, prints := got.(connectors.PrintOnly); prints != c.print {
			t.Errorf("%s: prints only is %v, want %v", name, prints, c.print)
		}
	}
}

// A printer stands in the catalogue without an address, and is offered.
func TestPrintOnlyInASet(t *testing.T) {
	t.Parallel()
	text := "psps:\n  - {id: POSTE, name: Poste, methods: [postal_bulletin], connector: bollettino, options: {online: \"no\"}, fees: [{fee_cents: 150}]}\n"
	catalogue, err := connectors.ParseCatalogue([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	set, err := newSet(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	offers := set.Offers(t.Context(), gateway.OfferRequest{Amount: 1650})
	if len(offers) != 1 || len(offers[0].PSPs) != 1 || !offers[0].PSPs[0].PrintOnly || !offers[0].PSPs[0].Available {
		t.Errorf("Offers = %+v", offers)
	}
	if can := set.Abilities("POSTE"); can != (gateway.Abilities{}) {
		t.Errorf("a printer can %+v", can)
	}
	if started, err := set.Start(t.Context(), "POSTE", connectortest.Order(t)); !errors.Is(err, gateway.ErrRefused) {
		t.Errorf("Start = %+v, %v", started, err)
	}
	catalogue.PSPs[0].Options = nil
	if _, err := newSet(catalogue); err == nil || !strings.Contains(err.Error(), "endpoint: give an absolute address") {
		t.Errorf("online without an address: %v", err)
	}
}

func newSet(c connectors.Catalogue) (*connectors.Set, error) {
	return connectors.New(connectors.Config{
		Catalogue: c, Drivers: []connectors.Driver{Driver}, Getenv: func(string) string { return "" },
		Now: func() time.Time { return connectortest.Now }, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
}
