// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/soap"
)

// root is the root element of a message, as it is written.
type root struct{ start, end string }

// requestRoots and responseRoots have the root of each operation's messages.
var (
	requestRoots  = roots(&paForNodeRequests, &nodeForPspRequests)
	responseRoots = roots(&paForNodeResponses, &nodeForPspResponses)
)

func roots(tables ...*table) map[Operation]root {
	byOperation := make(map[Operation]root)
	for _, t := range tables {
		for name, m := range t.messages {
			name = t.prefix + ":" + name
			byOperation[m.operation] = root{
				start: "<" + name + " xmlns:" + t.prefix + `="` + t.namespace + `">`,
				end:   "</" + name + ">",
			}
		}
	}
	return byOperation
}

// appendElement appends an element that holds text as it is.
func appendElement(b []byte, name, text string) []byte {
	b = append(b, '<')
	b = append(b, name...)
	b = append(b, '>')
	b = soap.AppendText(b, text)
	b = append(b, "</"...)
	b = append(b, name...)
	return append(b, '>')
}

// appendText appends an element the schema requires, of at least one and at
// most so many characters. Without a text it holds a dash: an answer with a
// gap is of use to whoever waits for it, one that is not valid is not.
func appendText(b []byte, name, text string, most int) []byte {
	if text == "" {
		text = "-"
	}
	return appendElement(b, name, cut(text, most))
}

// appendShort is appendText for an element that may be left out, and is when
// it would be empty.
func appendShort(b []byte, name, text string, most int) []byte {
	if text == "" {
		return b
	}
	return appendElement(b, name, cut(text, most))
}

// appendOptional appends an element that may be left out, and is when its text
// is empty or not of its type: a foreign postal address without a proper
// country code is still an address.
func appendOptional(b []byte, name, text string, t *simpleType) []byte {
	if text == "" || !t.valid(text) {
		return b
	}
	return appendElement(b, name, text)
}

func appendAmount(b []byte, name string, amount money.Cents) []byte {
	b = append(b, '<')
	b = append(b, name...)
	b = append(b, '>')
	b = amount.Append(b)
	b = append(b, "</"...)
	b = append(b, name...)
	return append(b, '>')
}

func appendOptionalAmount(b []byte, name string, amount *money.Cents) []byte {
	if amount == nil {
		return b
	}
	return appendAmount(b, name, *amount)
}

// cut returns the first characters of s, at most so many.
func cut(s string, most int) string {
	if len(s) <= most || utf8.RuneCountInString(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n == most {
			return s[:i]
		}
		n++
	}
	return s
}
