// SPDX-License-Identifier: Apache-2.0

package soap

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	opening = `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`
	closing = `</s:Body></s:Envelope>`
)

func in(body string) string { return opening + body + closing }

func TestParse(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"plain":               in(`<m:op xmlns:m="urn:x">a</m:op>`),
		"declaration":         `<?xml version="1.0" encoding="UTF-8"?>` + in(`<m:op xmlns:m="urn:x">a</m:op>`),
		"single quotes":       `<?xml version='1.0' encoding='utf-8' standalone='yes' ?>` + "\r\n" + in(`<m:op xmlns:m='urn:x'>a</m:op>`) + "\r\n",
		"no encoding":         `<?xml version="1.0"?>` + in(`<m:op xmlns:m="urn:x">a</m:op>`),
		"byte order mark":     "\uFEFF" + `<?xml version="1.0"?>` + in(`<m:op xmlns:m="urn:x">a</m:op>`),
		"default namespace":   `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><op xmlns="urn:x">a</op></Body></Envelope>`,
		"prefix used early":   in(`<m:op m:k="" k="" xmlns:m="urn:x">a</m:op>`),
		"empty header":        strings.Replace(in(`<m:op xmlns:m="urn:x">a</m:op>`), "<s:Body>", "<s:Header/><s:Body>", 1),
		"ignorable header":    strings.Replace(in(`<m:op xmlns:m="urn:x">a</m:op>`), "<s:Body>", `<s:Header><h:t xmlns:h="urn:h" s:mustUnderstand="0">1</h:t></s:Header><s:Body>`, 1),
		"CDATA":               in(`<m:op xmlns:m="urn:x"><![CDATA[a]]></m:op>`),
		"reference":           in(`<m:op xmlns:m="urn:x">&#x61;</m:op>`),
		"comments and blanks": in("\n<!-- c -->\t<m:op xmlns:m=\"urn:x\" xml:lang=\"it\"\n>a</m:op >\n"),
		"redundant xml":       in(`<m:op xmlns:m="urn:x" xmlns:xml="http://www.w3.org/XML/1998/namespace">a</m:op>`),
	} {
		env, err := Parse([]byte(message))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (env.Operation != Name{"urn:x", "op"}) || env.Body.Text() != "a" {
			t.Errorf("%s: got %+v holding %q", name, env.Operation, env.Body.Text())
		}
	}
}

func TestParseKeepsWhatTextMeans(t *testing.T) {
	t.Parallel()
	env, err := Parse([]byte(in("<op>a<![CDATA[<&#xD800;]]>&lt;\r\né&#13;</op>")))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := env.Body.Text(), "a<&#xD800;<\né\r"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

// refusals has one message for each rule, X2 to X5, and for each thing that
// encoding/xml or etree would let through.
var refusals = []struct {
	name, message string
	code          FaultCode
}{
	{"empty", "", Client},
	{"only a declaration", `<?xml version="1.0"?>`, Client},
	{"only text", "hello", Client},
	// X2
	{"not UTF-8", in("<op>\xE0</op>"), Client},
	{"not UTF-8 in a comment", in("<op/><!-- \xff -->"), Client},
	{"surrogate in UTF-8", in("<op>\xED\xA0\x80</op>"), Client},
	{"UTF-16", "\xFE\xFF\x00<\x00a\x00/\x00>", Client},
	{"another encoding", `<?xml version="1.0" encoding="ISO-8859-1"?>` + in("<op/>"), Client},
	{"UTF-16 declared", `<?xml version="1.0" encoding="UTF-16"?>` + in("<op/>"), Client},
	{"XML 1.1", `<?xml version="1.1"?>` + in("<op/>"), Client},
	{"declaration without version", `<?xml encoding="UTF-8"?>` + in("<op/>"), Client},
	{"declaration with more", `<?xml version="1.0" foo="bar"?>` + in("<op/>"), Client},
	{"declaration late", "\n" + `<?xml version="1.0"?>` + in("<op/>"), Client},
	{"declaration twice", `<?xml version="1.0"?><?xml version="1.0"?>` + in("<op/>"), Client},
	{"NUL", in("<op>\x00</op>"), Client},
	{"control character", in("<op>\x01</op>"), Client},
	{"control character in a comment", in("<!-- \x0B --><op/>"), Client},
	{"U+FFFF", in("<op>\uFFFF</op>"), Client},
	{"reference to NUL", in("<op>&#0;</op>"), Client},
	{"reference to a control character", in("<op>&#x1;</op>"), Client},
	{"reference to a surrogate", in("<op>&#xD800;</op>"), Client},
	{"decimal reference to a surrogate", in("<op>&#55296;</op>"), Client},
	{"reference to a surrogate in an attribute", in(`<op a="&#xDFFF;"/>`), Client},
	{"reference beyond Unicode", in("<op>&#x110000;</op>"), Client},
	// X3
	{"DOCTYPE", `<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + in("<op>&e;</op>"), Client},
	{"DOCTYPE inside", in("<!DOCTYPE a><op/>"), Client},
	{"entity", in("<op>&nbsp;</op>"), Client},
	{"processing instruction", in("<?php x?><op/>"), Client},
	{"style sheet", `<?xml version="1.0"?><?xml-stylesheet href="x"?>` + in("<op/>"), Client},
	{"processing instruction last", in("<op/>") + "<?x y?>", Client},
	{"too deep", in(strings.Repeat("<a>", 31) + strings.Repeat("</a>", 31)), Client},
	{"too many elements", in("<op>" + strings.Repeat("<a/>", 1998) + "</op>"), Client},
	{"too many attributes", in("<op" + attributes(33) + "/>"), Client},
	{"long element name", in("<" + strings.Repeat("a", 129) + "/>"), Client},
	{"long attribute name", in("<op " + strings.Repeat("a", 129) + `=""/>`), Client},
	{"long prefix", in(`<op xmlns:` + strings.Repeat("a", 129) + `="urn:x"/>`), Client},
	{"long text", in("<op>" + strings.Repeat("a", 64<<10+1) + "</op>"), Client},
	{"long text in pieces", in("<op>" + strings.Repeat("a", 40<<10) + "<!-- --><![CDATA[" + strings.Repeat("a", 40<<10) + "]]></op>"), Client},
	{"long attribute", in(`<op a="` + strings.Repeat("a", 64<<10+1) + `"/>`), Client},
	{"long stamp", in("<MBDAttachment>" + strings.Repeat("a", 128<<10+1) + "</MBDAttachment>"), Client},
	// X4
	{"attribute twice", in(`<op a="1" a="1"/>`), Client},
	{"attribute twice by two prefixes", in(`<op xmlns:x="urn:x" xmlns:y="urn:x" x:a="1" y:a="1"/>`), Client},
	{"default namespace twice", in(`<op xmlns="urn:x" xmlns="urn:x"/>`), Client},
	{"prefix declared twice", in(`<op xmlns:x="urn:x" xmlns:x="urn:y"/>`), Client},
	{"undeclared prefix", in("<m:op/>"), Client},
	{"undeclared prefix of an attribute", in(`<op m:a=""/>`), Client},
	{"prefix of a sibling", in(`<op><m:a xmlns:m="urn:x"/><m:b/></op>`), Client},
	{"prefix undeclared again", in(`<op xmlns:m="urn:x"><a xmlns:m=""/></op>`), Client},
	{"no prefix", in("<:op/>"), Client},
	{"no local name", in(`<m: xmlns:m="urn:x"/>`), Client},
	{"two colons", in(`<m::op xmlns:m="urn:x"/>`), Client},
	{"three parts", in(`<m:o:p xmlns:m="urn:x"/>`), Client},
	{"local name with a digit first", in(`<m:1 xmlns:m="urn:x"/>`), Client},
	{"attribute without local name", in(`<op m:="" xmlns:m="urn:x"/>`), Client},
	{"declaration of no prefix", in(`<op xmlns:=""/>`), Client},
	{"xmlns as a prefix", in(`<xmlns:op/>`), Client},
	{"xmlns declared", in(`<op xmlns:xmlns="urn:x"/>`), Client},
	{"xmlns bound", in(`<op xmlns:m="http://www.w3.org/2000/xmlns/"/>`), Client},
	{"xml bound elsewhere", in(`<op xmlns:xml="urn:x"/>`), Client},
	{"xml under another prefix", in(`<op xmlns:m="http://www.w3.org/XML/1998/namespace"/>`), Client},
	{"xml as the default", in(`<op xmlns="http://www.w3.org/XML/1998/namespace"/>`), Client},
	{"two roots", in("<op/>") + in("<op/>"), Client},
	{"text before", "x" + in("<op/>"), Client},
	{"text after", in("<op/>") + "x", Client},
	{"reference after", in("<op/>") + "&#32;", Client},
	{"CDATA after", in("<op/>") + "<![CDATA[ ]]>", Client},
	{"NUL after", in("<op/>") + "\x00", Client},
	{"byte order mark after", in("<op/>") + "\uFEFF", Client},
	{"comment before", "<!-- -->" + in("<op/>"), Client},
	{"comment after", in("<op/>") + "<!-- -->", Client},
	{"not well-formed: other end", in("<op></po>"), Client},
	{"not well-formed: prefix of the end", in(`<m:op xmlns:m="urn:x" xmlns:n="urn:x"></n:op>`), Client},
	{"not well-formed: end alone", in("<op/></x>"), Client},
	{"not well-formed: cut", opening + "<op>", Client},
	{"not well-formed: cut in a tag", opening + "<op", Client},
	{"not well-formed: cut before the last end", opening + "<op/></s:Body>", Client},
	{"not well-formed: attributes without a blank", in(`<op a="1"b="2"/>`), Client},
	{"not well-formed: no quotes", in(`<op a=1/>`), Client},
	{"not well-formed: no value", in(`<op a/>`), Client},
	{"not well-formed: < in an attribute", in(`<op a="<"/>`), Client},
	{"not well-formed: bare &", in(`<op>a & b</op>`), Client},
	{"not well-formed: ]]> in text", in(`<op>]]></op>`), Client},
	{"not well-formed: -- in a comment", in(`<!-- -- --><op/>`), Client},
	// X5
	{"no envelope", `<op xmlns="urn:x"/>`, Client},
	{"SOAP 1.2", `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><op/></s:Body></s:Envelope>`, VersionMismatch},
	{"no namespace", "<Envelope><Body><op/></Body></Envelope>", VersionMismatch},
	{"no Body", strings.NewReplacer("<s:Body>", "", "</s:Body>", "").Replace(in("")), Client},
	{"Body of another namespace", `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><Body><op/></Body></s:Envelope>`, Client},
	{"empty Body", in(""), Client},
	{"two operations", in("<op/><op/>"), Client},
	{"two Bodies", strings.Replace(in("<op/>"), "</s:Envelope>", "<s:Body><op/></s:Body></s:Envelope>", 1), Client},
	{"two Headers", strings.Replace(in("<op/>"), "<s:Body>", "<s:Header/><s:Header/><s:Body>", 1), Client},
	{"Header after", strings.Replace(in("<op/>"), "</s:Envelope>", "<s:Header/></s:Envelope>", 1), Client},
	{"more after the Body", strings.Replace(in("<op/>"), "</s:Envelope>", `<x xmlns="urn:x"/></s:Envelope>`, 1), Client},
	{"text in the Envelope", strings.Replace(in("<op/>"), "<s:Body>", "x<s:Body>", 1), Client},
	{"text in the Body", in("x<op/>"), Client},
	{"text after in the Body", in("<op/>x"), Client},
	{"text in the Header", strings.Replace(in("<op/>"), "<s:Body>", "<s:Header>x</s:Header><s:Body>", 1), Client},
	{"mustUnderstand", strings.Replace(in("<op/>"), "<s:Body>", `<s:Header><t s:mustUnderstand="1"/></s:Header><s:Body>`, 1), MustUnderstand},
	{"mustUnderstand for another", strings.Replace(in("<op/>"), "<s:Body>", `<s:Header><t/><t s:actor="urn:a" s:mustUnderstand="true"/></s:Header><s:Body>`, 1), MustUnderstand},
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` a%d=""`, i)
	}
	return b.String()
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range refusals {
		env, err := Parse([]byte(tc.message))
		var refused *ParseError
		if !errors.As(err, &refused) {
			t.Errorf("%s: got %+v, %v; want a ParseError", tc.name, env, err)
			continue
		}
		if refused.Code != tc.code || env != nil {
			t.Errorf("%s: got %v and code %s, want code %s", tc.name, err, refused.Code, tc.code)
		}
	}
}

// Just within the limits is within.
func TestParseLimits(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"depth":      strings.Repeat("<a>", 30) + strings.Repeat("</a>", 30),
		"elements":   "<op>" + strings.Repeat("<a/>", 1997) + "</op>",
		"attributes": "<op" + attributes(32) + "/>",
		"name":       "<" + strings.Repeat("a", 127) + "/>",
		"text":       "<op>" + strings.Repeat("a", 64<<10) + "</op>",
		"stamp":      "<MBDAttachment>" + strings.Repeat("a", 128<<10) + "</MBDAttachment>",
	} {
		if _, err := Parse([]byte(in(body))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A large document is read under the rules of messages, but for its size.
func TestReadLargeDocument(t *testing.T) {
	t.Parallel()
	list := "<a>" + strings.Repeat("<b/>", 5000) + "<c>" + strings.Repeat("a", 200<<10) + "</c></a>"
	if _, err := ReadDocument([]byte(list)); err == nil {
		t.Fatal("a message may be that large")
	}
	root, err := ReadLargeDocument([]byte(list), 1<<20)
	if err != nil || len(root.ChildElements()) != 5001 {
		t.Errorf("a list of 5,001: %v", err)
	}
	for name, doc := range map[string]string{
		"over the limit":         "<a>" + strings.Repeat(" ", 1<<20) + "</a>",
		"too many elements":      "<a>" + strings.Repeat("<b/>", 1<<16) + "</a>",
		"document type":          "<!DOCTYPE a>" + list,
		"entity":                 "<a>&e;</a>",
		"processing instruction": "<a><?b?></a>",
		"another encoding":       `<?xml version="1.0" encoding="ISO-8859-1"?><a/>`,
		"not UTF-8":              "<a>\xe8</a>",
		"too deep":               strings.Repeat("<a>", 33) + strings.Repeat("</a>", 33),
		"attribute twice":        `<a b="" b=""/>`,
		"cut":                    list[:len(list)-2],
	} {
		var refused *ParseError
		if _, err := ReadLargeDocument([]byte(doc), 1<<20); !errors.As(err, &refused) {
			t.Errorf("%s: got %v, want a ParseError", name, err)
		}
	}
}

func TestParseErrorQuotesNothing(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		in("<RSSMRA80A01H501U></po>"), in("<RSSMRA80A01H501U:a/>"), in("<op>&RSSMRA80A01H501U;</op>"),
		in(`<op RSSMRA80A01H501U="" RSSMRA80A01H501U=""/>`), `<?xml version="1.0" encoding="RSSMRA80A01H501U"?>` + in("<op/>"),
	} {
		if _, err := Parse([]byte(message)); err == nil || strings.Contains(err.Error(), "RSSMRA") {
			t.Errorf("Parse(%q): error %q", message, err)
		}
	}
}

func TestAppendText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                 "",
		"Perché <no> & sì": "Perché &lt;no&gt; &amp; sì",
		"]]>":              "]]&gt;",
		"a\r\nb\tc":        "a&#xD;\nb\tc",
		"\x00\x1F\uFFFE":   "\uFFFD\uFFFD\uFFFD",
		"a\xFF\xFEb":       "a\uFFFD\uFFFDb",
		"\"'":              "\"'",
		"𝔞":                "𝔞",
	} {
		if got := string(AppendText(nil, in)); got != want {
			t.Errorf("AppendText(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEnvelopeAndFaultReadBack(t *testing.T) {
	t.Parallel()
	message := AppendEnvelope(nil, func(b []byte) []byte { return append(b, `<m:op xmlns:m="urn:x">1</m:op>`...) })
	env, err := Parse(message)
	if err != nil || env.Operation != (Name{"urn:x", "op"}) || env.Fault() != nil {
		t.Errorf("read back %+v, %v", env, err)
	}
	message = AppendFault([]byte{}, VersionMismatch, "SOAP 1.1 & nothing else")
	const want = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body><soapenv:Fault>` +
		`<faultcode>soapenv:VersionMismatch</faultcode><faultstring>SOAP 1.1 &amp; nothing else</faultstring>` +
		`</soapenv:Fault></soapenv:Body></soapenv:Envelope>` + "\n"
	if string(message) != want {
		t.Errorf("AppendFault wrote\n%s\nwant\n%s", message, want)
	}
	env, err = Parse(message)
	if err != nil {
		t.Fatal(err)
	}
	if f := env.Fault(); f == nil || *f != (Fault{"VersionMismatch", "SOAP 1.1 & nothing else"}) {
		t.Errorf("fault read back as %+v", f)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(in(`<m:op xmlns:m="urn:x"><a>1</a></m:op>`)))
	f.Add(AppendFault(nil, Client, "no"))
	for _, tc := range refusals {
		if len(tc.message) < 1000 {
			f.Add([]byte(tc.message))
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		env, err := Parse(message)
		if err != nil {
			var refused *ParseError
			if !errors.As(err, &refused) {
				t.Errorf("error of another type: %T", err)
			}
			return
		}
		if strings.ContainsAny(env.Operation.Space, "\"\r\n\t") {
			return // AppendText is for text, not for attributes
		}
		// What was read can be written and is read as the same again.
		again, err := Parse(AppendEnvelope(nil, func(b []byte) []byte {
			b = append(b, "<"+env.Operation.Local+` xmlns="`...)
			b = AppendText(b, env.Operation.Space)
			b = append(b, `">`...)
			b = AppendText(b, env.Body.Text())
			return append(b, "</"+env.Operation.Local+">"...)
		}))
		if err != nil || again.Operation != env.Operation || again.Body.Text() != env.Body.Text() {
			t.Errorf("read back as %+v, %v; was %+v", again, err, env)
		}
	})
}
