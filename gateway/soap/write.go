// SPDX-License-Identifier: Apache-2.0

package soap

import (
	"strings"
	"unicode/utf8"
)

// AppendEnvelope appends a whole message to b; body appends the one element
// of its Body.
func AppendEnvelope(b []byte, body func([]byte) []byte) []byte {
	b = append(b, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<soapenv:Envelope xmlns:soapenv="`+Namespace+`"><soapenv:Body>`...)
	b = body(b)
	return append(b, "</soapenv:Body></soapenv:Envelope>\n"...)
}

// AppendFault appends a whole message that is a SOAP Fault. Text must be ours:
// never a piece of the request, a path or a query.
func AppendFault(b []byte, code FaultCode, text string) []byte {
	return AppendEnvelope(b, func(b []byte) []byte {
		b = append(b, "<soapenv:Fault><faultcode>soapenv:"...)
		b = append(b, code...)
		b = append(b, "</faultcode><faultstring>"...)
		b = AppendText(b, text)
		return append(b, "</faultstring></soapenv:Fault>"...)
	})
}

// AppendText appends s as character data. What XML 1.0 cannot carry, bytes
// that are not UTF-8 among it, becomes U+FFFD, one for one: the number of
// characters stays what the caller counted.
func AppendText(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '\r':
			b = append(b, "&#xD;"...) // a bare one would be read as a line feed
		case !isChar(r):
			b = utf8.AppendRune(b, utf8.RuneError)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// Fault is a SOAP Fault that a peer answered with.
type Fault struct {
	Code string // faultcode without its prefix; the peer's word, not always one of ours
	Text string // faultstring: the peer's text, for a screen but not for a log
}

// Error leaves out what the peer wrote, which may name a person.
func (f *Fault) Error() string { return "soap: the peer answered with a Fault" }

// Fault returns the fault the envelope carries, or nil.
func (e *Envelope) Fault() *Fault {
	if (e.Operation != Name{Namespace, "Fault"}) {
		return nil
	}
	f := new(Fault)
	if el := e.Body.SelectElement("faultcode"); el != nil {
		f.Code = strings.TrimSpace(el.Text())
		if _, local, ok := strings.Cut(f.Code, ":"); ok {
			f.Code = local
		}
	}
	if el := e.Body.SelectElement("faultstring"); el != nil {
		f.Text = el.Text()
	}
	return f
}
