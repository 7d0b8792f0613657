// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"strconv"
	"strings"

	"github.com/beevik/etree"
)

// SchemaError says where a message breaks its schema. It holds names of the
// schema only, never a piece of the message, so it may be logged and sent.
type SchemaError struct {
	Path string // of the element in question, for example paSendRTReq/receipt/transferList/transfer[2]/IBAN
	Rule string
}

func (e *SchemaError) Error() string { return "pagopa: " + e.Path + ": " + e.Rule }

// content is what may stand inside an element: a simpleType or a sequence.
type content interface {
	// check walks el. The path of its error is relative to el.
	check(el *etree.Element) *SchemaError
}

// simpleType is a type of values (xsd:simpleType).
type simpleType struct {
	name     string // as in the schema
	collapse bool   // whiteSpace=collapse: every type that is no string
	valid    func(string) bool
}

// sequence is a complex type: an xsd:sequence, or one extending another.
type sequence []particle

// particle is one xsd:element of a sequence, or an xsd:choice between several.
type particle struct {
	name     string
	content  content
	min, max int
	choice   []particle // instead of name and content; min and max of the branches are not used
}

func one(name string, c content) particle { return particle{name: name, content: c, min: 1, max: 1} }
func opt(name string, c content) particle { return particle{name: name, content: c, max: 1} }

func many(name string, c content, least, most int) particle {
	return particle{name: name, content: c, min: least, max: most}
}

func choice(branches ...particle) particle    { return particle{choice: branches, min: 1, max: 1} }
func optChoice(branches ...particle) particle { return particle{choice: branches, max: 1} }

// extend is xsd:extension: what is added stands behind the base.
func extend(base sequence, added ...particle) sequence {
	return append(base[:len(base):len(base)], added...)
}

// match returns the particle or the branch that el is, or nil.
func (p *particle) match(el *etree.Element) *particle {
	if p.choice == nil && p.name == el.Tag {
		return p
	}
	for i := range p.choice {
		if p.choice[i].name == el.Tag {
			return &p.choice[i]
		}
	}
	return nil
}

// label is how an error names the particle.
func (p *particle) label() string {
	if p.choice == nil {
		return p.name
	}
	var names []string
	for _, branch := range p.choice {
		names = append(names, branch.name)
	}
	return strings.Join(names, " or ")
}

// validate checks the root of a message and all below it.
func validate(root *etree.Element, s sequence) error {
	err := checkAttributes(root)
	if err == nil {
		err = s.check(root)
	}
	if err != nil {
		return err.below(root.Tag)
	}
	return nil
}

func (e *SchemaError) below(parent string) *SchemaError {
	e.Path = strings.TrimSuffix(parent+"/"+e.Path, "/")
	return e
}

const xsiNamespace = "http://www.w3.org/2001/XMLSchema-instance"

// checkAttributes: no type has attributes. Of those a schema processor knows
// by itself only the hints are let by; xsi:type and xsi:nil would change what
// an element may hold, and no message needs them.
func checkAttributes(el *etree.Element) *SchemaError {
	for i := range el.Attr {
		a := &el.Attr[i]
		declares := a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns"
		hint := (a.Key == "schemaLocation" || a.Key == "noNamespaceSchemaLocation") && a.NamespaceURI() == xsiNamespace
		if !declares && !hint {
			return &SchemaError{Rule: "an attribute"}
		}
	}
	return nil
}

func (s sequence) check(el *etree.Element) *SchemaError {
	var children []*etree.Element
	for _, token := range el.Child {
		switch token := token.(type) {
		case *etree.Element:
			children = append(children, token)
		case *etree.CharData:
			if strings.Trim(token.Data, blanks) != "" {
				return &SchemaError{Rule: "text between elements"}
			}
		}
	}
	next := 0
	for i := range s {
		p := &s[i]
		count := 0
		for ; count < p.max && next < len(children); count, next = count+1, next+1 {
			child := children[next]
			found := p.match(child)
			if found == nil {
				break
			}
			err := checkAttributes(child)
			if err == nil && (child.Space != "" || child.NamespaceURI() != "") {
				// The schemas have no elementFormDefault: only the root is qualified.
				err = &SchemaError{Rule: "an element with a namespace"}
			}
			if err == nil {
				err = found.content.check(child)
			}
			if err != nil {
				name := found.name
				if p.max > 1 {
					name += "[" + strconv.Itoa(count+1) + "]"
				}
				return err.below(name)
			}
		}
		if count < p.min {
			return &SchemaError{Path: p.label(), Rule: "missing or out of place"}
		}
	}
	if next < len(children) {
		return &SchemaError{Rule: "an element that is unknown, repeated or out of place"}
	}
	return nil
}

func (t *simpleType) check(el *etree.Element) *SchemaError {
	for _, token := range el.Child {
		if _, ok := token.(*etree.CharData); !ok {
			// A comment would be legal, but readers differ on the value it
			// stands in (reliability.md, X3).
			return &SchemaError{Rule: "an element or comment inside a value"}
		}
	}
	value := el.Text()
	if t.collapse {
		value = collapse(value)
	}
	if !t.valid(value) {
		return &SchemaError{Rule: "not a " + t.name}
	}
	return nil
}

// blanks are the white space of XML; what Unicode adds is text.
const blanks = " \t\r\n"

// collapse is whiteSpace=collapse (XSD part 2, 4.3.6).
func collapse(s string) string {
	if !strings.ContainsAny(s, blanks) {
		return s
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(blanks, r) }), " ")
}
