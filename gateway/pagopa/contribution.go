// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"github.com/beevik/etree"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/soap"
)

// Contribution is what the specific data of a demand (datiSpecificiServizio,
// datiSpecificiServizioRequest) say for a school's open contribution
// (contributo volontario): who gives, and how much where that is free. The
// node's catalogue leaves the schema of these data to the service; this one is
// ours, an element contributoVolontario in no namespace.
type Contribution struct {
	Code   string       // codiceFiscale of the giver, or ANONIMO
	Name   string       // nominativo
	Amount *money.Cents // importo; nil: the contribution's own amount
}

var contributoVolontario = sequence{
	one("codiceFiscale", stEntityUniqueIdentifierValue),
	one("nominativo", stText70),
	opt("importo", stAmountNotZero),
}

// ReadContribution reads the data of a demand, under the same rules as the
// message around them. The error is a *soap.ParseError, ErrUnknown or a
// *SchemaError.
func ReadContribution(data []byte) (Contribution, error) {
	el, err := soap.ReadDocument(data)
	if err != nil {
		return Contribution{}, err
	}
	if el.Tag != "contributoVolontario" || el.NamespaceURI() != "" {
		return Contribution{}, ErrUnknown
	}
	if err := validate(el, contributoVolontario); err != nil {
		return Contribution{}, err
	}
	return readContribution(el), nil
}

func readContribution(el *etree.Element) Contribution {
	return Contribution{Code: value(el, "codiceFiscale"), Name: value(el, "nominativo"), Amount: optionalCents(el, "importo")}
}

// Append appends the data, as they stand in the demand before base64.
func (c Contribution) Append(b []byte) []byte {
	b = append(b, "<contributoVolontario>"...)
	b = appendElement(b, "codiceFiscale", c.Code)
	b = appendText(b, "nominativo", c.Name, 70)
	b = appendOptionalAmount(b, "importo", c.Amount)
	return append(b, "</contributoVolontario>"...)
}
