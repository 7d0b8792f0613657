// SPDX-License-Identifier: Apache-2.0

// Package soap reads and writes SOAP 1.1 envelopes as pagoPA uses them:
// document/literal, UTF-8, one element in the Body, small.
//
// It knows no operation: what may stand inside the Body is gateway/pagopa's,
// who may call is the edge's. Everything is pure but ReadBody.
//
// What a caller gets wrong: a parsed envelope is well formed and bounded, not
// valid. Repeated, missing and unknown elements are all still in the tree, so
// it goes through a schema before anything is taken from it.
package soap

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// Namespace is the SOAP 1.1 envelope namespace.
const Namespace = "http://schemas.xmlsoap.org/soap/envelope/"

// Limits on a message. Each is far above what the pagoPA schemas can need: a
// receipt with five transfers and all its metadata has some 500 elements.
const (
	MaxBody     = 256 << 10 // bytes
	maxDepth    = 32
	maxElements = 2000
	maxAttrs    = 32  // per element, namespace declarations counted
	maxName     = 128 // bytes of one name with its prefix
	maxText     = 64 << 10
	maxStamp    = 128 << 10 // an MBDAttachment: a whole signed revenue stamp in base64
)

// limits are those that a large document has wider.
type limits struct {
	elements    int
	text, stamp int // bytes of one text, and of one in an MBDAttachment
}

var ofMessage = limits{maxElements, maxText, maxStamp}

// FaultCode is one of the four fault codes of SOAP 1.1, section 4.4.1.
type FaultCode string

// The fault codes.
const (
	Client          FaultCode = "Client"
	Server          FaultCode = "Server"
	MustUnderstand  FaultCode = "MustUnderstand"
	VersionMismatch FaultCode = "VersionMismatch"
)

// ParseError says why a message was not accepted. It holds no part of the
// message, so it may be logged and sent back.
type ParseError struct {
	Code   FaultCode // the fault to answer with
	Rule   string    // what was broken
	Offset int64     // how far into the message, in bytes; 0 when the whole is meant
}

func (e *ParseError) Error() string {
	if e.Offset == 0 {
		return "soap: " + e.Rule
	}
	return fmt.Sprintf("soap: %s, near byte %d", e.Rule, e.Offset)
}

// Name is an element name with its namespace in place of its prefix.
type Name struct{ Space, Local string }

// Envelope is a read message.
type Envelope struct {
	Operation Name           // of the one element in the Body
	Body      *etree.Element // that element
}

// Parse reads an envelope. The error, if any, is a *ParseError.
//
// A UTF-8 byte order mark at the very start is legal XML (section 4.3.3) and
// some clients write one: it is skipped. UTF-16 is refused, with or without.
func Parse(body []byte) (*Envelope, error) {
	root, err := readTree(body, ofMessage)
	if err != nil {
		return nil, err
	}
	switch {
	case root.Tag != "Envelope":
		return nil, &ParseError{Code: Client, Rule: "the root is not an Envelope"}
	case root.NamespaceURI() != Namespace:
		return nil, &ParseError{Code: VersionMismatch, Rule: "the Envelope is not of SOAP 1.1"}
	}
	parts, err := onlyElements(root)
	if err != nil {
		return nil, err
	}
	// Header first when there is one, then Body, and nothing else. SOAP 1.1
	// lets foreign elements follow the Body; no pagoPA message has any.
	if len(parts) == 2 && isSOAP(parts[0], "Header") {
		if err := checkHeader(parts[0]); err != nil {
			return nil, err
		}
		parts = parts[1:]
	}
	if len(parts) != 1 || !isSOAP(parts[0], "Body") {
		return nil, &ParseError{Code: Client, Rule: "the Envelope does not hold at most one Header, then one Body"}
	}
	content, err := onlyElements(parts[0])
	if err != nil {
		return nil, err
	}
	if len(content) != 1 {
		return nil, &ParseError{Code: Client, Rule: "the Body does not hold exactly one element"}
	}
	op := content[0]
	return &Envelope{Operation: Name{op.NamespaceURI(), op.Tag}, Body: op}, nil
}

// ReadDocument reads a document without an envelope, such as one that a message
// carries in base64, under the same limits. The error, if any, is a *ParseError.
func ReadDocument(body []byte) (*etree.Element, error) {
	if len(body) > MaxBody {
		return nil, &ParseError{Code: Client, Rule: "the document is too large"}
	}
	return readTree(body, ofMessage)
}

// ReadLargeDocument reads a document that an operator has in a file, under all
// rules of ReadDocument but its size: up to limit bytes, one element for each 16
// of them, texts of up to a megabyte (a logo in base64 is one). The tree takes
// some twenty times the document's memory. The error, if any, is a *ParseError.
func ReadLargeDocument(body []byte, limit int) (*etree.Element, error) {
	if len(body) > limit {
		return nil, &ParseError{Code: Client, Rule: "the document is too large"}
	}
	return readTree(body, limits{elements: limit / 16, text: 1 << 20, stamp: 1 << 20})
}

func isSOAP(el *etree.Element, local string) bool {
	return el.Tag == local && el.NamespaceURI() == Namespace
}

// onlyElements returns the children of el, which may hold blanks and comments
// beside them but no text.
func onlyElements(el *etree.Element) ([]*etree.Element, error) {
	var children []*etree.Element
	for _, token := range el.Child {
		switch token := token.(type) {
		case *etree.Element:
			children = append(children, token)
		case *etree.CharData:
			if !blank(token.Data) {
				return nil, &ParseError{Code: Client, Rule: "text between the parts of the Envelope"}
			}
		}
	}
	return children, nil
}

// checkHeader refuses what must be understood: we understand no header. The
// actor does not matter, nobody stands behind us to pass it on to.
func checkHeader(header *etree.Element) error {
	entries, err := onlyElements(header)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		for _, a := range entry.Attr {
			if a.Key == "mustUnderstand" && a.NamespaceURI() == Namespace && a.Value != "0" {
				return &ParseError{Code: MustUnderstand, Rule: "a header that must be understood is not"}
			}
		}
	}
	return nil
}

// declaration is the XML declaration, XML 1.0 production 23, for the one
// encoding that is read here.
var declaration = regexp.MustCompile(`^<\?xml\s+version\s*=\s*(?:"1\.0"|'1\.0')` +
	`(?:\s+encoding\s*=\s*(?:"(?i:utf-8)"|'(?i:utf-8)'))?` +
	`(?:\s+standalone\s*=\s*(?:"(?:yes|no)"|'(?:yes|no)'))?\s*\?>`)

// readTree makes the tree in the one pass that checks the tokens, so that the
// tree can only hold what was checked. encoding/xml finds the tokens; what it
// lets through and XML or we do not is refused here.
func readTree(body []byte, most limits) (*etree.Element, error) {
	if err := checkCharacters(body); err != nil {
		return nil, err
	}
	start := len(body)
	body = bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF"))
	// With its declaration gone a document has no processing instruction left
	// that would be allowed.
	body = body[len(declaration.Find(body)):]
	start -= len(body)

	dec := xml.NewDecoder(bytes.NewReader(body))
	var (
		root, at        *etree.Element // at is the open element, nil outside the root
		depth, elements int
		text            int // bytes since the last tag
	)
	for {
		from := dec.InputOffset()
		refuse := func(rule string) (*etree.Element, error) {
			return nil, &ParseError{Code: Client, Rule: rule, Offset: int64(start) + from}
		}
		token, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			if root == nil || at != nil {
				return refuse("the document ends before its root does")
			}
			return root, nil
		}
		if err != nil {
			// The decoder's message would quote the input.
			return refuse("not well-formed XML")
		}
		raw := body[from:dec.InputOffset()]

		switch token := token.(type) {
		case xml.StartElement:
			if at == nil && root != nil {
				return refuse("a second root element")
			}
			depth, elements, text = depth+1, elements+1, 0
			switch {
			case depth > maxDepth:
				return refuse("nested too deeply")
			case elements > most.elements:
				return refuse("too many elements")
			case len(token.Attr) > maxAttrs:
				return refuse("too many attributes")
			}
			if rule := checkTag(raw); rule != "" {
				return refuse(rule)
			}
			el, rule := element(at, token)
			if rule != "" {
				return refuse(rule)
			}
			if at == nil {
				root = el
			}
			at = el

		case xml.EndElement:
			if at == nil || token.Name.Space != at.Space || token.Name.Local != at.Tag {
				return refuse("an end tag that closes nothing")
			}
			at = at.Parent()
			depth, text = depth-1, 0

		case xml.CharData:
			if at == nil {
				// Neither a CDATA section nor a reference to a blank may stand
				// outside the root, so the bytes count and not their meaning.
				if !blank(string(raw)) {
					return refuse("text outside the root element")
				}
				continue
			}
			if !bytes.HasPrefix(raw, []byte("<![CDATA[")) && refersToSurrogate(raw) {
				return refuse("a reference to a forbidden character")
			}
			text += len(token)
			if text > most.text && (at.Tag != "MBDAttachment" || text > most.stamp) {
				return refuse("a text that is too long")
			}
			at.CreateText(string(token))

		case xml.Comment:
			if at == nil {
				return refuse("a comment outside the root element")
			}
			at.CreateComment(string(token))

		case xml.ProcInst:
			return refuse("a processing instruction, or an XML declaration that is not version 1.0 and UTF-8")

		case xml.Directive:
			return refuse("a document type or other directive")
		}
	}
}

// checkCharacters refuses what is not UTF-8 or not a character of XML 1.0
// (production 2), wherever it stands.
func checkCharacters(body []byte) error {
	for i := 0; i < len(body); {
		r, size := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && size == 1 {
			return &ParseError{Code: Client, Rule: "not UTF-8", Offset: int64(i)}
		}
		if !isChar(r) {
			return &ParseError{Code: Client, Rule: "a forbidden character", Offset: int64(i)}
		}
		i += size
	}
	return nil
}

// isChar is XML 1.0, production 2.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xD7FF ||
		r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
}

// checkTag looks for what encoding/xml forgives inside a start tag: no blank
// between two attributes, and a reference to half a character.
func checkTag(raw []byte) (rule string) {
	if refersToSurrogate(raw) {
		return "a reference to a forbidden character"
	}
	var quote byte
	for i, b := range raw {
		switch {
		case quote == 0 && (b == '"' || b == '\''):
			quote = b
		case b == quote:
			quote = 0
			// A tag never ends with a quote, so there is a next byte.
			if next := raw[i+1]; next != '/' && next != '>' && !blank(string(next)) {
				return "no blank between two attributes"
			}
		}
	}
	return ""
}

// refersToSurrogate finds &#xD800; to &#xDFFF;, which encoding/xml turns into
// U+FFFD without a word. Other references it checks.
func refersToSurrogate(raw []byte) bool {
	for {
		var found bool
		if _, raw, found = bytes.Cut(raw, []byte("&#")); !found {
			return false
		}
		digits, _, _ := bytes.Cut(raw, []byte(";"))
		base := 10
		if hex, ok := bytes.CutPrefix(digits, []byte("x")); ok {
			digits, base = hex, 16
		}
		if n, err := strconv.ParseUint(string(digits), base, 32); err == nil && n >= 0xD800 && n <= 0xDFFF {
			return true
		}
	}
}

const (
	xmlNamespace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsNamespace = "http://www.w3.org/2000/xmlns/"
)

// element adds the element of a start tag below parent, or says which rule of
// Namespaces in XML 1.0 it breaks. encoding/xml checks none of them here.
func element(parent *etree.Element, tag xml.StartElement) (el *etree.Element, rule string) {
	if !goodName(tag.Name) {
		return nil, "a malformed or overlong name"
	}
	el = etree.NewElement(joined(tag.Name))
	if parent != nil {
		parent.AddChild(el)
	}
	for _, a := range tag.Attr {
		if !goodName(a.Name) {
			return nil, "a malformed or overlong name"
		}
		if len(a.Value) > maxText {
			return nil, "a text that is too long"
		}
		for _, b := range el.Attr {
			if b.Space == a.Name.Space && b.Key == a.Name.Local {
				return nil, "an attribute twice"
			}
		}
		declares := a.Name.Space == "xmlns"
		switch {
		case declares && (a.Value == "" || a.Name.Local == "xmlns" || (a.Name.Local == "xml") != (a.Value == xmlNamespace)),
			(declares || a.Name == xml.Name{Local: "xmlns"}) && a.Value == xmlnsNamespace,
			a.Name == xml.Name{Local: "xmlns"} && a.Value == xmlNamespace:
			return nil, "a namespace declaration that is not allowed"
		}
		el.CreateAttr(joined(a.Name), a.Value)
	}
	// Prefixes may be declared after their use in the same tag.
	if el.Space != "" && el.Space != "xml" && el.NamespaceURI() == "" {
		return nil, "an undeclared prefix"
	}
	for i, a := range el.Attr {
		if a.Space == "" || a.Space == "xmlns" || a.Space == "xml" {
			continue
		}
		space := a.NamespaceURI()
		if space == "" {
			return nil, "an undeclared prefix"
		}
		// The same attribute under two prefixes of one namespace.
		for _, b := range el.Attr[:i] {
			if b.Key == a.Key && b.Space != "" && b.Space != "xmlns" && b.NamespaceURI() == space {
				return nil, "an attribute twice"
			}
		}
	}
	return el, ""
}

func joined(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// goodName refuses `a:`, `:a` and `a:1`, which encoding/xml hands on as local
// names. That the rest are name characters it has checked.
func goodName(n xml.Name) bool {
	first, _ := utf8.DecodeRuneInString(n.Local)
	return len(n.Space)+len(n.Local) < maxName && !strings.Contains(n.Local, ":") &&
		(first == '_' || unicode.IsLetter(first))
}

// blank says that s is nothing but white space (XML 1.0, production 3).
func blank(s string) bool { return strings.Trim(s, " \t\r\n") == "" }
