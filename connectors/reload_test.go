// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nodogate/nodogate/gateway"
)

// caller is a connector whose PSP calls back; made counts its kind.
type caller struct {
	fake
	cfg  DriverConfig
	made int
}

func (c *caller) Callback(cb gateway.Callback) (gateway.PSPEvent, error) {
	return gateway.PSPEvent{PSP: cb.PSP, ID: fmt.Sprint(c.made)}, nil
}

func (c *caller) Answer(gateway.PSPEvent, error) Answer { return Answer{Status: http.StatusAccepted} }

func entry(id string, fee int) string {
	return fmt.Sprintf(`{id: %[1]s, name: Name of %[1]s, methods: [card], connector: fake, endpoint: "https://psp.example/%[1]s", fees: [{up_to_cents: 100, fee_cents: 1}, {fee_cents: %[2]d}]}`, id, fee)
}

func psps(entries ...string) string { return "psps: [" + strings.Join(entries, ", ") + "]" }

func reload(s *Set, yaml string) error {
	c, err := ParseCatalogue([]byte(yaml))
	if err != nil {
		return err
	}
	return s.Reload(c)
}

// reloadSet is a set of UNO and DUE; the n-th connector made answers callbacks
// with n.
func reloadSet(t *testing.T, f fake, change func(*Config)) (*Set, *prometheus.Registry) {
	t.Helper()
	reg, made := prometheus.NewRegistry(), 0
	set, err := newTestSet(t, psps(entry("UNO", 100), entry("DUE", 200)), func(c *Config) {
		c.Registerer = reg
		c.Drivers = []Driver{{Name: "fake", New: func(cfg DriverConfig) (Connector, error) {
			made++
			return &caller{f, cfg, made}, nil
		}}}
		if change != nil {
			change(c)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return set, reg
}

func offered(s *Set) string {
	var ids []string
	for _, m := range s.Offers(context.Background(), gateway.OfferRequest{Amount: 1000}) {
		for _, p := range m.PSPs {
			ids = append(ids, fmt.Sprintf("%s %d", p.ID, p.Fee))
		}
	}
	return strings.Join(ids, ", ")
}

func madeOf(t *testing.T, s *Set, id gateway.PSPID) string {
	t.Helper()
	e, err := s.Callback(gateway.Callback{PSP: id})
	if err != nil {
		t.Fatalf("callback of %s: %v", id, err)
	}
	return e.ID
}

func listedStates(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		if f.GetName() != "nodogate_connector_breaker_state" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "psp" {
					got = append(got, fmt.Sprintf("%s=%v", l.GetValue(), m.GetGauge().GetValue()))
				}
			}
		}
	}
	return strings.Join(got, " ")
}

func TestReloadKeepsWhatDidNotChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		set, reg := reloadSet(t, func(context.Context, gateway.Order) (gateway.Started, error) {
			return gateway.Started{}, gateway.ErrPSPUnavailable
		}, nil)
		for _, id := range []gateway.PSPID{"UNO", "DUE"} {
			for range failuresInARow {
				if _, err := set.Start(t.Context(), id, gateway.Order{}); err == nil {
					t.Fatal("no failure")
				}
			}
		}
		if got := listedStates(t, reg); got != "DUE=2 UNO=2" {
			t.Fatalf("breakers %s, want both open", got)
		}

		// UNO as before, DUE at another price, TRE new.
		if err := reload(set, psps(entry("TRE", 300), entry("DUE", 250), entry("UNO", 100))); err != nil {
			t.Fatal(err)
		}
		if got, want := listedStates(t, reg), "DUE=0 TRE=0 UNO=2"; got != want {
			t.Errorf("breakers %s, want %s", got, want)
		}
		if got, want := offered(set), "DUE 250, TRE 300, UNO 100"; got != want {
			t.Errorf("offered %s, want %s", got, want)
		}
		if got := madeOf(t, set, "UNO"); got != "1" {
			t.Errorf("UNO has connector %s, want its first", got)
		}
		if got := madeOf(t, set, "DUE"); got == "2" {
			t.Error("DUE has its first connector still")
		}

		// Gone and back again as it was: what is known of it was not forgotten.
		if err := reload(set, psps(entry("TRE", 300))); err != nil {
			t.Fatal(err)
		}
		if got, want := listedStates(t, reg), "TRE=0"; got != want {
			t.Errorf("breakers %s, want %s", got, want)
		}
		if err := reload(set, psps(entry("UNO", 100))); err != nil {
			t.Fatal(err)
		}
		if got, want := listedStates(t, reg), "UNO=2"; got != want {
			t.Errorf("breakers %s, want %s", got, want)
		}
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
			t.Errorf("promlint: %v %v", problems, err)
		}
	})
}

func TestReloadTakesAnotherSecret(t *testing.T) {
	t.Parallel()
	secret := "first"
	set, _ := reloadSet(t, nil, func(c *Config) { c.Getenv = func(string) string { return secret } })
	yaml := strings.Replace(psps(entry("UNO", 100)), "name:", "secret_env: KEY, name:", 1)
	for i, s := range []string{"first", "first", "second"} {
		secret = s
		if err := reload(set, yaml); err != nil {
			t.Fatal(err)
		}
		want := []string{"3", "3", "4"}[i]
		if got := madeOf(t, set, "UNO"); got != want {
			t.Errorf("reload %d: connector %s, want %s", i, got, want)
		}
		if got := set.lineup.Load().listed["UNO"].connector.(*caller).cfg.Secret; got != s {
			t.Errorf("reload %d: secret %q, want %q", i, got, s)
		}
	}
}

func TestReloadLetsRemovedPSPsSettle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		set, _ := reloadSet(t, func(context.Context, gateway.Order) (gateway.Started, error) {
			<-release
			return gateway.Started{Redirect: "https://psp.example/page"}, nil
		}, nil)
		ended := make(chan error, 1)
		go func() {
			_, err := set.Start(context.Background(), "UNO", gateway.Order{})
			ended <- err
		}()
		synctest.Wait()
		if err := reload(set, psps(entry("DUE", 200))); err != nil {
			t.Fatal(err)
		}
		if _, err := set.Start(t.Context(), "UNO", gateway.Order{}); !errors.Is(err, gateway.ErrPSPUnavailable) {
			t.Errorf("a new payment: %v, want unavailable", err)
		}
		if got := offered(set); got != "DUE 200" {
			t.Errorf("offered %s", got)
		}
		close(release)
		if err := <-ended; err != nil {
			t.Errorf("the call that was running: %v", err)
		}
		if got := madeOf(t, set, "UNO"); got != "1" {
			t.Errorf("its callback went to connector %s", got)
		}
		if status, _, _ := set.Answer("UNO", gateway.PSPEvent{}, nil); status != http.StatusAccepted {
			t.Errorf("its callback was answered %d", status)
		}
		if got := set.Name("UNO"); got != "Name of UNO" {
			t.Errorf("Name = %q", got)
		}
		if _, err := set.Callback(gateway.Callback{PSP: "TRE"}); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("callback of one never listed: %v", err)
		}
	})
}

func TestReloadRefusesAndKeepsAll(t *testing.T) {
	t.Parallel()
	set, reg := reloadSet(t, nil, nil)
	for name, c := range map[string]struct{ yaml, want string }{
		"id twice":          {psps(entry("UNO", 1), entry("UNO", 2)), "psps[1] UNO: id: another PSP has it too"},
		"unknown connector": {psps(entry("TRE", 1), strings.Replace(entry("UNO", 1), "fake", "other", 1)), `psps[1] UNO: connector: there is none called "other"`},
		"no secret":         {strings.Replace(psps(entry("UNO", 1)), "name:", "secret_env: KEY, name:", 1), "secret_env: the environment variable KEY is empty"},
		"no fees":           {psps(`{id: UNO, name: U, methods: [card], connector: fake, endpoint: "https://psp.example"}`), "fees: give at least one band"},
	} {
		if err := reload(set, c.yaml); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if got, want := offered(set), "UNO 100, DUE 200"; got != want {
			t.Errorf("%s: offered %s, want %s", name, got, want)
		}
		if got := madeOf(t, set, "UNO"); got != "1" {
			t.Errorf("%s: UNO has connector %s", name, got)
		}
		if got, want := listedStates(t, reg), "DUE=0 UNO=0"; got != want {
			t.Errorf("%s: breakers %s, want %s", name, got, want)
		}
	}
}

// With -race: everything at once.
func TestReloadWhilePaying(t *testing.T) {
	t.Parallel()
	set, reg := reloadSet(t, func(_ context.Context, o gateway.Order) (gateway.Started, error) {
		return gateway.Started{Reference: o.Attempt}, nil
	}, nil)
	stop := make(chan struct{})
	var working sync.WaitGroup
	for range 4 {
		working.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				attempt := fmt.Sprint(i)
				if got, err := set.Start(context.Background(), "UNO", gateway.Order{Attempt: attempt}); err != nil || got.Reference != attempt {
					t.Errorf("a PSP that stays: %+v, %v", got, err)
				}
				if _, err := set.Start(context.Background(), "DUE", gateway.Order{}); err != nil && !errors.Is(err, gateway.ErrPSPUnavailable) {
					t.Errorf("a PSP that comes and goes: %v", err)
				}
				if _, err := set.Callback(gateway.Callback{PSP: "DUE"}); err != nil {
					t.Errorf("its callback: %v", err)
				}
				if n := len(set.Offers(context.Background(), gateway.OfferRequest{Amount: 1000})); n != 1 {
					t.Errorf("%d methods offered", n)
				}
				set.Name("DUE")
				if _, err := reg.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 50 {
		yaml := psps(entry("UNO", 100))
		if i%2 == 0 {
			yaml = psps(entry("UNO", 100), entry("DUE", i))
		}
		if err := reload(set, yaml); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	working.Wait()
}
