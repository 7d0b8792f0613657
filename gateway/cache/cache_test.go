// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway"
)

func TestNewClient(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address string
		kind    string
		err     error
	}{
		{"redis://127.0.0.1:6379", "one", nil},
		{"redis://cache.example", "one", nil},
		{"rediss://user:p%40ss@cache.example:6380/3?dial_timeout=2s", "one", nil},
		{"unix:///run/redis.sock", "one", nil},
		{"unix:///run/redis.sock?db=2", "one", nil},
		{"redis://a:6379?addr=b:6379&addr=c:6379", "cluster", nil},
		{"rediss://user:secret@a:6379/?addr=a:6379", "cluster", nil},
		{"redis://a:26379?master_name=nodogate", "sentinel", nil},
		{"redis://a:26379/2?master_name=nodogate&addr=b:26379&username=u&password=secret", "sentinel", nil},
		{"", "", errScheme},
		{"127.0.0.1:6379", "", errScheme},
		{"http://a:6379", "", errScheme},
		{"redis://", "", errScheme},
		{"redis-cluster://a:6379", "", errScheme},
		{"redis://:secret@a:x", "", errScheme},
		{"redis://a:6379,b:6379", "", errCommas},
		{"rediss://user:sec,ret@a:6379,b:6379/0", "", errCommas},
		{"redis://user:sec,ret@a:6379/0", "one", nil},
		{"redis://a:6379?addr=b", "", errAddr},
		{"redis://a:6379?addr=:6379", "", errAddr},
		{"redis://a:6379?addr=", "", errAddr},
		{"redis://a:6379/1?addr=b:6379", "", errDatabase},
		{"redis://a:6379?addr=b:6379&db=1", "", errDatabase},
		{"redis://a:26379?master_name=&addr=b:26379", "", errSentinel},
		{"unix:///run/redis.sock?addr=b:6379", "", errSocket},
		{"unix:///run/redis.sock?master_name=x", "", errSocket},
		{"redis://a:6379/x", "", errForm},
		{"redis://a:6379?timeout=secret", "", errForm},
		{"redis://a:6379?addr=b:6379&timeout=secret", "", errForm},
		{"redis://a:26379?master_name=x&timeout=secret", "", errForm},
		{"redis://a:6379?%zz", "", errForm},
	} {
		client, err := NewClient(c.address)
		if !errors.Is(err, c.err) || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("NewClient(%q): %v, want %v", c.address, err, c.err)
			continue
		}
		if err != nil {
			continue
		}
		kind := "one"
		switch client := client.(type) {
		case *redis.ClusterClient:
			kind = "cluster"
		case *redis.Client:
			if client.Options().Addr == "FailoverClient" {
				kind = "sentinel"
			}
		}
		if kind != c.kind {
			t.Errorf("NewClient(%q) is for %s, want %s", c.address, kind, c.kind)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

// open is the Redis of the tests.
func open(t *testing.T) redis.UniversalClient {
	t.Helper()
	address := os.Getenv("NODOGATE_TEST_REDIS_URL")
	if address == "" {
		if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal("NODOGATE_TEST_REDIS_URL is not set")
		}
		t.Skip("NODOGATE_TEST_REDIS_URL is not set")
	}
	client, err := NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return client
}

func TestSessions(t *testing.T) {
	t.Parallel()
	client := open(t)
	s := NewSessions(client, time.Now)
	token := rand.Text()
	find := func(want string) {
		t.Helper()
		b, there, err := s.Find(token)
		if err != nil || there != (want != "") || string(b) != want {
			t.Errorf("Find = %q, %t, %v; want %q", b, there, err, want)
		}
	}
	find("")
	if err := s.Commit(token, []byte("a session"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	find("a session")
	if left := client.TTL(t.Context(), sessionKey(token)).Val(); left <= 59*time.Minute || left > time.Hour {
		t.Errorf("it lives %s, want an hour", left)
	}
	if err := s.Commit(token, []byte("another"), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	find("another")
	// One that is over must not live for ever.
	if err := s.Commit(token, []byte("late"), time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	find("")
	for range 2 {
		if err := s.Delete(token); err != nil {
			t.Error(err)
		}
	}
	_ = client.Close()
	if _, _, err := s.Find(token); err == nil {
		t.Error("Find without Redis: no error")
	}
}

// startHints runs hints of the test's own.
func startHints(t *testing.T, client redis.UniversalClient, key string, log io.Writer) *Hints {
	t.Helper()
	h := NewHints(client, time.Now, slog.New(slog.NewTextHandler(log, nil)))
	h.key = key
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h
}

// await waits for a condition, for as long as others may take to be told.
func await(t *testing.T, what string, within time.Duration, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}

var _ connectors.Hints = (*Hints)(nil)

// silent is a PSP that never answers.
type silent struct{}

func (silent) Start(context.Context, gateway.Order) (gateway.Started, error) {
	return gateway.Started{}, gateway.ErrOutcomeUnknown
}

func set(t *testing.T, hints connectors.Hints) *connectors.Set {
	t.Helper()
	set, err := connectors.New(connectors.Config{
		Catalogue: connectors.Catalogue{PSPs: []connectors.PSP{{
			ID: "UNO", Name: "Uno", Methods: []gateway.Method{gateway.MethodCard}, Connector: "silent",
			Endpoint: "https://uno.example", Fees: []connectors.Band{{Fee: 100}},
		}}},
		Drivers: []connectors.Driver{{Name: "silent", New: func(connectors.DriverConfig) (connectors.Connector, error) { return silent{}, nil }}},
		Getenv:  func(string) string { return "" }, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Registerer: prometheus.NewRegistry(), Hints: hints,
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func available(s *connectors.Set) bool {
	return s.Offers(context.Background(), gateway.OfferRequest{Amount: 1000})[0].PSPs[0].Available
}

// Two processes: one's breaker opens, and the other keeps the PSP away.
func TestHintsBetweenTwoSets(t *testing.T) {
	t.Parallel()
	client := open(t)
	key := "test:" + rand.Text()
	t.Cleanup(func() { client.Del(context.Background(), key) })
	one, two := set(t, startHints(t, client, key, io.Discard)), set(t, startHints(t, client, key, io.Discard))
	if !available(one) || !available(two) {
		t.Fatal("not available before anything happened")
	}
	for range 5 {
		if _, err := one.Start(t.Context(), "UNO", gateway.Order{Attempt: "a"}); !errors.Is(err, gateway.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
	}
	if available(one) {
		t.Fatal("its own breaker is closed after 5 failures")
	}
	await(t, "the other process knows", 2*time.Second, func() bool { return !available(two) })
	if _, err := two.Start(t.Context(), "UNO", gateway.Order{Attempt: "a"}); !errors.Is(err, gateway.ErrPSPUnavailable) {
		t.Errorf("Start in the other: %v, want ErrPSPUnavailable", err)
	}
	// A third process that starts now knows it as well.
	three := set(t, startHints(t, client, key, io.Discard))
	await(t, "a new process knows", 2*time.Second, func() bool { return !available(three) })
	if left := client.TTL(t.Context(), key).Val(); left <= 0 || left > keepHints {
		t.Errorf("what is told lives %s, want %s at most", left, keepHints)
	}
}

func TestHintsEnd(t *testing.T) {
	t.Parallel()
	client := open(t)
	key := "test:" + rand.Text()
	t.Cleanup(func() { client.Del(context.Background(), key) })
	one, two := startHints(t, client, key, io.Discard), startHints(t, client, key, io.Discard)
	until := time.Now().Add(time.Minute).Truncate(time.Millisecond)
	one.Open("UNO", "start", until)
	await(t, "told", 2*time.Second, func() bool { return two.OpenUntil("UNO", "start").Equal(until) })
	for _, other := range []struct {
		psp gateway.PSPID
		op  string
	}{{"UNO", "refund"}, {"DUE", "start"}, {"UNO start", ""}} {
		if got := two.OpenUntil(other.psp, other.op); !got.IsZero() {
			t.Errorf("%s %s: open until %s, and nobody said so", other.psp, other.op, got)
		}
	}
	// The same breaker opens for longer; what is over is forgotten.
	one.Open("UNO", "start", until.Add(time.Minute))
	one.Open("DUE", "ask", time.Now().Add(-time.Second))
	await(t, "told again", 2*time.Second, func() bool { return two.OpenUntil("UNO", "start").Equal(until.Add(time.Minute)) })
	if !two.OpenUntil("DUE", "ask").IsZero() {
		t.Error("what is over is told")
	}
	// Nonsense in Redis is nobody's word.
	if err := client.ZAdd(t.Context(), key, redis.Z{Score: 1e15, Member: "x"}, redis.Z{Score: 1e15, Member: "a b c"}).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Del(t.Context(), key).Err(); err != nil {
		t.Fatal(err)
	}
	await(t, "forgotten with Redis", 2*time.Second, func() bool { return two.OpenUntil("UNO", "start").IsZero() })
}

// A Redis that is away, or that never answers, changes nothing and costs nothing.
func TestHintsWithoutRedis(t *testing.T) {
	t.Parallel()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and answers nothing
	if err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	t.Cleanup(func() { _ = hole.Close() })
	for name, address := range map[string]string{"away": gone.Addr().String(), "silent": hole.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := NewClient("redis://" + address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			h := startHints(t, client, "test", io.Discard)
			s := set(t, h)
			begin := time.Now()
			for range 1000 {
				h.Open("DUE", "start", time.Now().Add(time.Minute))
				if !h.OpenUntil("DUE", "start").IsZero() {
					t.Fatal("an unread hint is known")
				}
			}
			if !available(s) {
				t.Error("the PSP is not offered")
			}
			for range 5 {
				_, _ = s.Start(t.Context(), "UNO", gateway.Order{Attempt: "a"})
			}
			if available(s) {
				t.Error("its own breaker stayed closed")
			}
			if took := time.Since(begin); took > 500*time.Millisecond {
				t.Errorf("it took %s, want no waiting", took)
			}
		})
	}
}

func TestHintsSayOnceThatRedisIsAway(t *testing.T) {
	t.Parallel()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	client, err := NewClient("redis://" + gone.Addr().String() + "?max_retries=-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	var log bytes.Buffer
	h := NewHints(client, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	h.Run(ctx)
	if n := strings.Count(log.String(), "Redis is away"); n != 1 {
		t.Errorf("said %d times, want once: %s", n, &log)
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	client := open(t)
	q, other := NewQuotas(client, 2), NewQuotas(client, 2)
	caller := rand.Text()
	for i, want := range []int{1, 0} {
		got, err := []*Quotas{q, other}[i].Take(t.Context(), caller)
		if err != nil || !got.Allowed || got.Limit != 2 || got.Remaining != want || got.RetryAfter != 0 {
			t.Errorf("Take = %+v, %v, want %d left", got, err, want)
		}
	}
	got, err := q.Take(t.Context(), caller)
	if err != nil || got.Allowed || got.RetryAfter <= 0 || got.Reset <= 0 {
		t.Errorf("one too many = %+v, %v", got, err)
	}
	if got, err := q.Take(t.Context(), rand.Text()); err != nil || !got.Allowed {
		t.Errorf("another caller = %+v, %v", got, err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Take(t.Context(), caller); err == nil {
		t.Error("a Redis that is away counts")
	}
}

// Two processes count together what one address does; what it does otherwise, and
// others, are apart.
func TestThrottles(t *testing.T) {
	t.Parallel()
	client := open(t)
	key := []byte(rand.Text())
	one, other := NewThrottles(client, key), NewThrottles(open(t), key)
	take := func(th *Throttles, what, who string, want bool) {
		t.Helper()
		q, err := th.Take(t.Context(), what, who, time.Hour, 2)
		if err != nil || q.Allowed != want || want != (q.RetryAfter == 0) || q.RetryAfter > time.Hour {
			t.Errorf("Take(%s, %s) = %+v, %v; want %t", what, who, q, err, want)
		}
	}
	take(one, "guesses", "192.0.2.1/32", true)
	take(other, "guesses", "192.0.2.1/32", true)
	take(one, "guesses", "192.0.2.1/32", false)
	take(other, "guesses", "192.0.2.1/32", false)
	take(other, "lookups", "192.0.2.1/32", true)
	take(one, "guesses", "192.0.2.2/32", true)
	take(NewThrottles(client, []byte(rand.Text())), "guesses", "192.0.2.1/32", true) // another installation

	keys, err := client.Keys(t.Context(), "*192.0.2.*").Result()
	if err != nil || len(keys) != 0 {
		t.Errorf("Redis is told addresses: %q, %v", keys, err)
	}
	_ = client.Close()
	if q, err := one.Take(t.Context(), "guesses", "192.0.2.3/32", time.Hour, 2); err == nil || q.Allowed {
		t.Errorf("Take without Redis = %+v, %v; want an error", q, err)
	}
}
