// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// methodOf is which tipoVersamento is paid by which method. What a family knows
// as its account is an account here, whatever scheme moves the money.
var methodOf = map[string]gateway.Method{
	"CP": gateway.MethodCard,
	"AD": gateway.MethodAccountDebit, "OBEP": gateway.MethodAccountDebit, "MYBK": gateway.MethodAccountDebit, "BBT": gateway.MethodAccountDebit,
	"BP": gateway.MethodBulletin,
}

// FromList makes a catalogue of the node's list of PSPs, with the connector,
// endpoint, secret and hosts of like. A PSP whose methods all cost the same is
// one entry; another has one for each method, with the method in its id. What
// is left out, and why, is in notes.
func FromList(list []pagopa.PSPListing, like PSP) (c Catalogue, notes []string) {
	type tariff struct {
		method gateway.Method
		fees   []Band
		most   money.Cents
	}
	var order []string
	names := make(map[string]string)
	tariffs := make(map[string][]tariff)
	for _, l := range list {
		if _, known := names[l.PSP]; !known {
			order = append(order, l.PSP)
			names[l.PSP] = l.Name
		}
		for _, s := range l.Services {
			note := func(why string) {
				notes = append(notes, fmt.Sprintf("%s, channel %q, %s: %s", l.PSP, s.Channel, s.Method, why))
			}
			t := tariff{method: methodOf[s.Method]}
			if t.method == "" {
				note("left out, no method of ours")
				continue
			}
			if s.Model == "4" {
				note("left out, paid at the PSP")
				continue
			}
			var why string
			if t.fees, t.most, why = bands(s.Bands); why != "" {
				note("left out, " + why)
				continue
			}
			same := slices.IndexFunc(tariffs[l.PSP], func(o tariff) bool { return o.method == t.method })
			switch {
			case same < 0:
				tariffs[l.PSP] = append(tariffs[l.PSP], t)
			case !reflect.DeepEqual(tariffs[l.PSP][same], t):
				note(fmt.Sprintf("left out, other fees than its first %s", t.method))
			}
		}
	}
	for _, id := range order {
		of := tariffs[id]
		slices.SortFunc(of, func(a, b tariff) int {
			return cmp.Compare(slices.Index(gateway.Methods, a.method), slices.Index(gateway.Methods, b.method))
		})
		agree := !slices.ContainsFunc(of, func(t tariff) bool { return t.most != of[0].most || !reflect.DeepEqual(t.fees, of[0].fees) })
		for i, t := range of {
			if agree && i > 0 {
				last := &c.PSPs[len(c.PSPs)-1]
				last.Methods = append(last.Methods, t.method)
				continue
			}
			p := like
			p.ID, p.Name, p.Methods, p.Fees, p.MaxAmount = gateway.PSPID(id), names[id], []gateway.Method{t.method}, t.fees, t.most
			if !agree {
				p.ID += gateway.PSPID("-" + string(t.method))
			}
			c.PSPs = append(c.PSPs, p)
		}
	}
	return c, notes
}

// bands are the fees of a service, and the most it takes; zero is no limit. Why
// is not empty when the catalogue cannot say what a payer would pay.
func bands(list []pagopa.FeeBand) (fees []Band, most money.Cents, why string) {
	list = slices.DeleteFunc(slices.Clone(list), func(b pagopa.FeeBand) bool { return b.Convention })
	slices.SortStableFunc(list, func(a, b pagopa.FeeBand) int { return cmp.Compare(a.UpTo, b.UpTo) })
	list = slices.Compact(list)
	if len(list) == 0 {
		return nil, 0, "fees for creditors with a contract only"
	}
	for i, b := range list {
		if b.Commission != 0 {
			return nil, 0, "a commission beside the fixed fee"
		}
		if i > 0 && b.UpTo == list[i-1].UpTo {
			return nil, 0, "two fees for one band"
		}
		// The last is open: what limits it is the maximum.
		band := Band{Fee: b.Fee}
		if i < len(list)-1 {
			band.UpTo = &list[i].UpTo
		}
		fees = append(fees, band)
	}
	if most = list[len(list)-1].UpTo; most == money.Max {
		most = 0
	}
	return fees, most, ""
}
