// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"reflect"
	"testing"

	"github.com/nodogate/nodogate/gateway/money"
)

func TestContribution(t *testing.T) {
	amount := money.Cents(2500)
	for _, c := range []Contribution{{Code: "RSSMRA80A01H501U", Name: "Mario & C. <Rossi>"}, {Code: "ANONIMO", Name: "x", Amount: &amount}} {
		got, err := ReadContribution(c.Append(nil))
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("ReadContribution(%s) = %+v, %v; want %+v", c.Append(nil), got, err, c)
		}
	}
	for name, data := range map[string]string{
		"nothing":           "",
		"not XML":           "contributo",
		"another element":   "<contributo><codiceFiscale>ANONIMO</codiceFiscale><nominativo>x</nominativo></contributo>",
		"in a namespace":    `<contributoVolontario xmlns="urn:x"><codiceFiscale>ANONIMO</codiceFiscale><nominativo>x</nominativo></contributoVolontario>`,
		"no name":           "<contributoVolontario><codiceFiscale>ANONIMO</codiceFiscale></contributoVolontario>",
		"empty name":        "<contributoVolontario><codiceFiscale>ANONIMO</codiceFiscale><nominativo></nominativo></contributoVolontario>",
		"amount of zero":    "<contributoVolontario><codiceFiscale>ANONIMO</codiceFiscale><nominativo>x</nominativo><importo>0.00</importo></contributoVolontario>",
		"an entity":         `<!DOCTYPE a [<!ENTITY e "x">]><contributoVolontario><codiceFiscale>ANONIMO</codiceFiscale><nominativo>&e;</nominativo></contributoVolontario>`,
		"two roots":         "<contributoVolontario><codiceFiscale>ANONIMO</codiceFiscale><nominativo>x</nominativo></contributoVolontario><a/>",
		"something else in": "<contributoVolontario><codiceFiscale>ANONIMO</codiceFiscale><nominativo>x</nominativo><importo>1.00</importo><x/></contributoVolontario>",
	} {
		if c, err := ReadContribution([]byte(data)); err == nil {
			t.Errorf("%s: read as %+v", name, c)
		}
	}
}
