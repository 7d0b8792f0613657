// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// The tables of the node face are proved over HTTP in gateway/nodeforpsp. Here
// is what only many at once can show.

var peer = gateway.Peer{PSP: "ABI00001", Name: "Banca Uno", Broker: "97735020584", Channel: "97735020584_01"}

func activate(g *gatewaytest.Gateway, n gateway.Notice, key string) (token string, err error) {
	req := gateway.ActivateRequest{Peer: peer, School: n.School, Number: n.Number}
	if key != "" {
		req.Repeat = gateway.Repeat{Scope: key, Fingerprint: sha256.Sum256([]byte(n.Number.String()))}
	}
	body, err := g.Activate(ctx, req, func(a gateway.Activated) []byte { return []byte(a.Token.ID) })
	return string(body), err
}

func outcome(g *gatewaytest.Gateway, ok bool, tokens ...string) (gateway.OutcomeVerdict, error) {
	verdict := gateway.OutcomeVerdict(-1)
	_, err := g.Outcome(ctx, gateway.OutcomeRequest{Peer: peer, Tokens: tokens, OK: ok, Details: gateway.OutcomeDetails{Method: "cash"}, Raw: []byte("x")},
		func(v gateway.OutcomeVerdict) []byte { verdict = v; return []byte("answer") })
	return verdict, err
}

// together runs f as many times at once.
func together(times int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range times {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// crowd is how many ask at once.
const crowd = 12

// Of many who want a notice one gets a token, also when they must first end the
// one before.
func TestActivateAtOnce(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		n := g.Issue()
		var before string
		for round := range 4 {
			tokens, errs := make([]string, crowd), make([]error, crowd)
			together(crowd, func(i int) { tokens[i], errs[i] = activate(g, n, "") })
			var won []string
			for i, err := range errs {
				switch {
				case err == nil:
					won = append(won, tokens[i])
				case !errors.Is(err, gateway.ErrInProgress):
					t.Errorf("round %d: %v", round, err)
				}
			}
			if len(won) != 1 || won[0] == before {
				t.Fatalf("round %d: tokens %v after %q", round, won, before)
			}
			if before = won[0]; !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(before) {
				t.Errorf("token %q", before)
			}
			g.Time.Advance(gateway.MaxTokenLife) // it expires, and nobody notes it
		}
	})
}

// One key asked for by many at once is one activation; asked for two notices at
// once, the second is refused.
func TestActivateOneKeyAtOnce(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		n := g.Issue()
		tokens, errs := make([]string, crowd), make([]error, crowd)
		together(crowd, func(i int) { tokens[i], errs[i] = activate(g, n, "key") })
		if err := errors.Join(errs...); err != nil || len(slices.Compact(tokens)) != 1 {
			t.Errorf("tokens %v, %v", tokens, err)
		}
		for round := range 8 {
			two := []gateway.Notice{g.Issue(), g.Issue()}
			key := fmt.Sprint("key-", round)
			tokens, errs := make([]string, 2), make([]error, 2)
			together(2, func(i int) { tokens[i], errs[i] = activate(g, two[i], key) })
			lost := slices.IndexFunc(errs, func(err error) bool { return errors.Is(err, gateway.ErrKeyReused) })
			if lost < 0 || errs[1-lost] != nil || tokens[1-lost] == "" {
				t.Fatalf("tokens %v, errors %v", tokens, errs)
			}
			if got, err := g.Notice(ctx, two[lost].School, two[lost].Number); err != nil || got.Token != nil {
				t.Errorf("the refused activation left %+v, %v", got.Token, err)
			}
		}
	})
}

// One outcome told many times at once is taken once.
func TestOutcomeAtOnce(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		for round := range 4 {
			n := g.Issue()
			tok, err := activate(g, n, "")
			if err != nil {
				t.Fatal(err)
			}
			verdicts, errs := make([]gateway.OutcomeVerdict, crowd), make([]error, crowd)
			// Half of them say that it failed: the first one to be heard is right.
			together(crowd, func(i int) { verdicts[i], errs[i] = outcome(g, i%2 == 0, tok) })
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			taken := slices.Index(verdicts, gateway.OutcomeTaken)
			want, state := 0, gateway.NoticeOpen
			if taken%2 == 0 {
				want, state = 1, gateway.NoticePaid
			}
			for i, v := range verdicts {
				if rest := map[bool]gateway.OutcomeVerdict{true: gateway.OutcomeSame, false: gateway.OutcomeOther}[i%2 == taken%2]; i != taken && v != rest {
					t.Errorf("round %d: verdicts %v", round, verdicts)
				}
			}
			list, err := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10})
			if err != nil || len(list) != want || g.State(n) != state {
				t.Errorf("round %d: %d receipts, %s, %v; want %d, %s", round, len(list), g.State(n), err, want, state)
			}
		}
	})
}

// Carts that name the same notices in another order do not wait for each other
// for ever, and a school cannot take a notice back from under a token.
func TestTokensCross(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		var notices []gateway.Notice
		var late, live []string
		for range 5 {
			n := g.Issue()
			tok, err := activate(g, n, "")
			if err != nil {
				t.Fatal(err)
			}
			notices, late = append(notices, n), append(late, tok)
		}
		g.Time.Advance(gateway.MaxTokenLife)
		for _, n := range notices {
			tok, err := activate(g, n, "")
			if err != nil {
				t.Fatal(err)
			}
			live = append(live, tok)
		}
		slices.Reverse(live)
		errs := make([]error, 4)
		together(4, func(i int) {
			if i%2 == 0 {
				_, errs[i] = outcome(g, true, late...)
			} else {
				_, errs[i] = outcome(g, true, live...)
			}
		})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		for _, n := range notices {
			list, err := g.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10})
			if err != nil || len(list) != 2 || g.State(n) != gateway.NoticePaid {
				t.Errorf("notice %s is %s with %d receipts, %v", n.Number, g.State(n), len(list), err)
			}
		}
		for range 8 {
			n := g.Issue()
			var tok string
			var took, cancelled error
			together(2, func(i int) {
				if i == 0 {
					tok, took = activate(g, n, "")
				} else {
					_, cancelled = g.Cancel(ctx, gatewaytest.Operator, n.School, n.Number)
				}
			})
			switch {
			case took == nil && errors.Is(cancelled, gateway.ErrInProgress):
			case cancelled == nil && errors.Is(took, gateway.ErrNoticeCancelled):
			default:
				t.Errorf("token %q, activate %v, cancel %v", tok, took, cancelled)
			}
		}
	})
}
