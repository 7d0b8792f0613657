// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway/money"
)

// The simple types of sac-common-types-1.0.xsd, paForNode.xsd and
// nodeForPsp.xsd, under the names they have there.
var (
	xsdString       = &simpleType{name: "string", valid: func(string) bool { return true }}
	xsdBoolean      = &simpleType{name: "boolean", collapse: true, valid: oneOf("true", "false", "1", "0")}
	xsdInt          = &simpleType{name: "int", collapse: true, valid: isInt}
	xsdDateTime     = &simpleType{name: "dateTime", collapse: true, valid: isDateTime}
	xsdBase64Binary = &simpleType{name: "base64Binary", collapse: true, valid: isBase64}

	stText16  = text("stText16", 1, 16)
	stText20  = text("stText20", 1, 20)
	stText35  = text("stText35", 1, 35)
	stText70  = text("stText70", 1, 70)
	stText140 = text("stText140", 1, 140)
	stText210 = text("stText210", 1, 210)
	stIBAN    = text("stIBAN", 1, 35)

	stIdentificativoServizio         = text("stIdentificativoServizio", 5, 5)
	stIdentificativoSoggettoServizio = text("stIdentificativoSoggettoServizio", 5, 5)

	stFiscalCodePA = &simpleType{name: "stFiscalCodePA", valid: matches(`[0-9]{11}`)}
	stNoticeNumber = &simpleType{name: "stNoticeNumber", valid: matches(`[0-9]{18}`)}

	stEntityUniqueIdentifierType  = &simpleType{name: "stEntityUniqueIdentifierType", valid: oneOf("F", "G")}
	stEntityUniqueIdentifierValue = text("stEntityUniqueIdentifierValue", 2, 16)
	stNazioneProvincia            = &simpleType{name: "stNazioneProvincia", valid: matches(`[A-Z]{2}`)}
	stEMail                       = &simpleType{name: "stEMail", valid: isEMail}

	stOutcome      = &simpleType{name: "stOutcome", valid: oneOf(outcomeOK, outcomeKO)}
	stAmountOption = &simpleType{name: "stAmountOption", valid: oneOf("EQ", "LS", "GT", "ANY")}
	stTransferType = &simpleType{name: "stTransferType", valid: oneOf("POSTAL", "PAGOPA")}

	stAmount        = &simpleType{name: "stAmount", collapse: true, valid: isAmount}
	stAmountNotZero = &simpleType{name: "stAmountNotZero", collapse: true, valid: isAmountNotZero}
	stIDTransfer    = &simpleType{name: "stIdTransfer", collapse: true, valid: isIDTransfer}
	stISODate       = &simpleType{name: "stISODate", collapse: true, valid: isDate}
	stISODateTime   = &simpleType{name: "stISODateTime", collapse: true, valid: isDateTime}

	stTipoBolloDigitale = &simpleType{name: "stTipoBolloDigitale", valid: oneOf("01")}
	stBase64Binary72    = &simpleType{name: "stBase64Binary72", collapse: true, valid: func(s string) bool {
		return len(s) >= 4 && len(s) <= 72 && isBase64(s)
	}}

	stPaymentToken   = text("stPaymentToken", 1, 35)
	stPassword       = text("stPassword", 8, 15)
	stIDPSP          = text("stIdPSP", 1, 35)
	stIDBroker       = text("stIdBroker", 1, 35)
	stIDChannel      = text("stIdChannel", 1, 35)
	stPostalAccount  = &simpleType{name: "stPostalAccount", valid: matches(`[0-9]{12}`)}
	stIdempotencyKey = &simpleType{name: "stIdempotencyKey", valid: matches(`[a-zA-Z0-9]{2,18}_[a-zA-Z0-9]{10}`)}
	stExpirationTime = &simpleType{name: "stExpirationTime", collapse: true, valid: isExpirationTime}
	// Two types have the name stIBAN: that of nodeForPsp.xsd looks at it.
	stIBANForPSP = &simpleType{name: "stIBAN", valid: matches(`[a-zA-Z]{2}[0-9]{2}[a-zA-Z0-9]{1,30}`)}

	stPaymentMethod    = &simpleType{name: "stPaymentMethod", valid: oneOf("cash", "creditCard", "bancomat", "other")}
	stPaymentChannel   = &simpleType{name: "stPaymentChannel", valid: oneOf("frontOffice", "atm", "onLine", "app", "other")}
	stPaymentMethodFee = &simpleType{name: "stPaymentMethodFee", valid: oneOf("BBT", "BP", "AD", "CP", "PO", "OBEP", "JIF", "MYBK", "PPAL")}
	stTouchpointFee    = &simpleType{name: "stTouchpointFee", valid: oneOf("IO", "WISP", "CHECKOUT", "PSP", "ATM", "BETTING", "TS", "HB", "POS")}
)

// text is a string of least to most characters (not bytes).
func text(name string, least, most int) *simpleType {
	return &simpleType{name: name, valid: func(s string) bool {
		n := utf8.RuneCountInString(s)
		return n >= least && n <= most
	}}
}

func oneOf(values ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(values, s) }
}

// matches is a pattern facet: the whole value, and no trailing line break.
func matches(pattern string) func(string) bool {
	return regexp.MustCompile(`\A(?:` + pattern + `)\z`).MatchString
}

var emailPattern = matches(`[a-zA-Z0-9_.+\-]+@[a-zA-Z0-9\-]+(?:\.[a-zA-Z0-9\-]+)*`)

func isEMail(s string) bool { return len(s) <= 256 && emailPattern(s) }

// isAmount: the pattern is `\d+\.\d{2}`, of which xsd:decimal leaves only
// ASCII digits; that and the maximum is what money.Parse accepts.
func isAmount(s string) bool {
	_, err := money.Parse(s)
	return err == nil
}

func isAmountNotZero(s string) bool {
	c, err := money.Parse(s)
	return err == nil && c > 0
}

func isInt(s string) bool {
	_, err := strconv.ParseInt(s, 10, 32)
	return err == nil
}

var isInteger = matches(`[+-]?[0-9]+`)

// isExpirationTime: an xsd:integer that is at most half an hour of
// milliseconds, and not at least anything.
func isExpirationTime(s string) bool { return isInteger(s) && parseInteger(s) <= 1_800_000 }

// parseInteger is the value of an xsd:integer, or the one closest to it that
// an int64 can hold.
func parseInteger(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// isIDTransfer compares values, as an enumeration of an int does: "+01" is 1.
func isIDTransfer(s string) bool {
	n, err := strconv.ParseInt(s, 10, 32)
	return err == nil && n >= 1 && n <= 5
}

// isBase64 is xsd:base64Binary: single blanks may stand between the
// characters, the bits a last character has too many are zero.
func isBase64(s string) bool {
	_, err := decodeBase64(s)
	return err == nil
}

func decodeBase64(s string) ([]byte, error) {
	return base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(s, " ", ""))
}

func isDateTime(s string) bool {
	_, err := ParseDateTime(s, time.UTC)
	return err == nil
}

func isDate(s string) bool {
	// A date is a dateTime without its middle, zone included.
	return len(s) >= len("2006-01-02") && !strings.Contains(s, ".") && isDateTime(s[:10]+"T00:00:00"+s[10:])
}

var dateTimePattern = regexp.MustCompile(
	`\A([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))?\z`)

// ParseDateTime reads an xsd:dateTime; one without a zone is taken to be in
// zone. Stricter than the schema in one thing: in UTC too the year has four
// digits and is not zero, or neither JSON nor a database could hold the time.
func ParseDateTime(s string, zone *time.Location) (time.Time, error) {
	// The error says nothing of s, like every error of this package.
	bad := fmt.Errorf("pagopa: not a dateTime of %d characters", len(s))
	m := dateTimePattern.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, bad
	}
	number := func(i int) int { n, _ := strconv.Atoi(m[i]); return n } // two or four digits, or none: 0
	year, month, day := number(1), time.Month(number(2)), number(3)
	hour, minute, second := number(4), number(5), number(6)
	nanos, _ := strconv.Atoi((m[7] + "000000000")[:9])

	// time.Date would make March of 30 February.
	if d := time.Date(year, month, day, 0, 0, 0, 0, time.UTC); d.Month() != month || d.Day() != day {
		return time.Time{}, bad
	}
	// XSD part 2, 3.2.7.1: 24:00:00 is the first instant of the next day, and
	// there are no leap seconds.
	endOfDay := hour == 24 && minute == 0 && second == 0 && strings.Trim(m[7], "0") == ""
	if (hour > 23 && !endOfDay) || minute > 59 || second > 59 {
		return time.Time{}, bad
	}
	if m[8] != "" {
		offset := number(9)*60 + number(10)
		if number(10) > 59 || offset > 14*60 {
			return time.Time{}, bad
		}
		if m[8] == "-" {
			offset = -offset
		}
		zone = time.FixedZone("", offset*60)
	} else if strings.HasSuffix(s, "Z") {
		zone = time.UTC
	}
	t := time.Date(year, month, day, hour, minute, second, nanos, zone)
	if year == 0 || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		return time.Time{}, bad
	}
	return t, nil
}
