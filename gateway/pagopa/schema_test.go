// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/nodogate/nodogate/gateway/soap"
)

// shared returns a path in the folder of official schemas, which lies beside
// the project and is no part of it.
func shared(t testing.TB, path string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	path = filepath.Join(dir, "..", "shared", "pagopa", path)
	if _, err := os.Stat(path); err != nil {
		unavailable(t, "the official schemas are not there")
	}
	return path
}

// unavailable skips on a developer's machine and fails where all must run.
func unavailable(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// service is what the tests know of one of the two SOAP services.
type service struct {
	name                string // of its XSD
	requests, responses *table
	operation           func(soap.Name) (Operation, bool)
	messages            func() map[string]Message
	samples             []string // patterns of file names
	sampled             int      // files they match
	samplesRead         func() map[string]Message
}

var services = []service{
	{"paForNode", &paForNodeRequests, &paForNodeResponses, PaForNodeOperation, fullMessages,
		[]string{"pa*"}, 16, readSamples},
	{"nodeForPsp", &nodeForPspRequests, &nodeForPspResponses, NodeForPspOperation, fullNodeMessages,
		[]string{"verif*", "activate*", "send*", "demand*"}, 17, readNodeSamples},
}

// The two versions of the official schemas.
const (
	inProduction = "pagopa-api"
	later        = "pagopa-api-SANP3.13.0"
)

// forEachService runs a test once for each service.
func forEachService(t *testing.T, test func(t *testing.T, s service)) {
	t.Parallel()
	for _, s := range services {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// read reads a message of either direction.
func (s *service) read(env *soap.Envelope) (Message, error) {
	m, err := s.requests.read(env)
	if errors.Is(err, ErrUnknown) {
		return s.responses.read(env)
	}
	return m, err
}

// sampleMessages returns the sample messages of a service by file name,
// without their XML declaration.
func (s *service) sampleMessages(t testing.TB) map[string][]byte {
	t.Helper()
	var files []string
	for _, pattern := range s.samples {
		matches, err := filepath.Glob(filepath.Join(shared(t, "samples"), pattern+".xml"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, matches...)
	}
	if len(files) != s.sampled {
		t.Fatalf("%d samples of %s, want %d", len(files), s.name, s.sampled)
	}
	messages := make(map[string][]byte)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, raw, _ = bytes.Cut(raw, []byte("?>"))
		messages[strings.TrimSuffix(filepath.Base(file), ".xml")] = bytes.TrimSpace(raw)
	}
	return messages
}

// xmllint says of each message whether it is valid for a version of the
// service's schema.
func (s *service) xmllint(t testing.TB, version string, messages map[string][]byte) map[string]bool {
	t.Helper()
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		unavailable(t, "xmllint is not installed")
	}
	dir := t.TempDir()
	args := []string{"--nonet", "--noout", "--schema", shared(t, version+"/wsdl/xsd/"+s.name+".xsd")}
	for name, message := range messages {
		if err := os.WriteFile(filepath.Join(dir, name), message, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	cmd := exec.Command(tool, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	// It exits with 3 or 4 when a message is invalid.
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	valid := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutSuffix(line, " validates"); ok {
			valid[name] = true
		} else if name, ok := strings.CutSuffix(line, " fails to validate"); ok {
			valid[name] = false
		} else if strings.Contains(line, "internal error") || strings.Contains(line, "Schemas parser error") {
			t.Fatalf("xmllint: %s", line)
		}
	}
	if len(valid) != len(messages) {
		t.Fatalf("xmllint judged %d of %d messages:\n%s", len(valid), len(messages), out)
	}
	return valid
}

// mustBeValid fails for each message that one of the versions refuses.
func (s *service) mustBeValid(t testing.TB, messages map[string][]byte) {
	t.Helper()
	for _, version := range []string{inProduction, later} {
		for name, ok := range s.xmllint(t, version, messages) {
			if !ok {
				t.Errorf("%s: not valid for %s of %s:\n%s", name, s.name, version, messages[name])
			}
		}
	}
}

func parse(t testing.TB, body []byte) *soap.Envelope {
	t.Helper()
	env, err := soap.Parse(soap.AppendEnvelope(nil, func(b []byte) []byte { return append(b, body...) }))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	return env
}

// verdict is what our schema says, without the rules that are not in the XSD.
func verdict(t testing.TB, body []byte) error {
	t.Helper()
	env := parse(t, body)
	for _, t := range []*table{&paForNodeRequests, &paForNodeResponses, &nodeForPspRequests, &nodeForPspResponses} {
		if m, ok := t.find(env.Operation); ok {
			return validate(env.Body, m.schema)
		}
	}
	return ErrUnknown
}

// TestVerdictsAreThoseOfXMLLint changes good messages, one thing after the
// other and at random, and asks both validators. Where the versions of the
// schema differ the later one is ours.
func TestVerdictsAreThoseOfXMLLint(t *testing.T) {
	forEachService(t, testVerdicts)
}

func testVerdicts(t *testing.T, s service) {
	golden := make(map[string][]byte)
	for name, m := range s.messages() {
		golden[name] = m.Append(nil)
	}
	bases := s.sampleMessages(t)
	for name, message := range golden {
		bases["golden-"+name] = message
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	mutants := make(map[string][]byte)
	for _, name := range slices.Sorted(maps.Keys(bases)) {
		mutants[name] = bases[name]
		for i := range 40 {
			mutants[fmt.Sprintf("%s.%d", name, i)] = mutate(t, rnd, bases[name])
		}
	}
	for name, before := range s.xmllint(t, inProduction, mutants) {
		if err := verdict(t, mutants[name]); before && err != nil {
			t.Errorf("%s: valid in production, we say %v:\n%s", name, err, mutants[name])
		}
	}
	maps.Copy(mutants, neighbours(t, golden))
	valid := 0
	for name, want := range s.xmllint(t, later, mutants) {
		if want {
			valid++
		}
		if err := verdict(t, mutants[name]); (err == nil) != want {
			t.Errorf("%s: xmllint says valid=%v, we say %v:\n%s", name, want, err, mutants[name])
		}
	}
	t.Logf("%d messages, %d of them valid", len(mutants), valid)
	if valid < 1000 || valid > len(mutants)-1000 {
		t.Error("hardly a comparison: nearly all have one verdict")
	}
}

// neighbours returns what is one step away from the messages: every element
// left out, moved, and as often as some list is long and once more; every value
// at the edge of every type. What was gone through is not again: a value of the
// same name in the same parent; of the roots' own values at least the lengths.
func neighbours(t *testing.T, messages map[string][]byte) map[string][]byte {
	t.Helper()
	near := make(map[string][]byte)
	tried := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		doc := etree.NewDocument()
		if err := doc.ReadFromBytes(messages[name]); err != nil {
			t.Fatal(err)
		}
		add := func(doc *etree.Document) {
			out, err := doc.WriteToBytes()
			if err != nil {
				t.Fatal(err)
			}
			near[fmt.Sprintf("%s-%d", name, len(near))] = out
		}
		for i, el := range doc.Root().FindElements(".//*") {
			changed := func(change func(parent, el *etree.Element)) {
				other := doc.Copy()
				el := other.Root().FindElements(".//*")[i]
				change(el.Parent(), el)
				add(other)
			}
			changed(func(parent, el *etree.Element) { parent.RemoveChild(el) })
			changed(func(parent, el *etree.Element) { // one further down
				at := el.Index() + 1
				parent.RemoveChild(el)
				parent.InsertChildAt(at, el)
			})
			times := []int{2}
			if slices.Contains([]string{"transfer", "mapEntry", "paymentOptionDescription", "paymentToken", "marcaDaBollo"}, el.Tag) {
				times = []int{0, 1, 5, 6, 15, 16, 25, 26}
			}
			for _, n := range times {
				changed(func(parent, el *etree.Element) {
					at := parent.SelectElement(el.Tag).Index()
					for _, twin := range parent.SelectElements(el.Tag) {
						parent.RemoveChild(twin)
					}
					for range n {
						parent.InsertChildAt(at, el.Copy())
					}
				})
			}
			if len(el.ChildElements()) > 0 {
				continue
			}
			was := el.Text()
			lengthsOf, valuesOf := "lengths of "+el.Parent().Tag+"/"+el.Tag, "values of "+el.Parent().Tag+"/"+el.Tag
			if el.Parent() == doc.Root() {
				valuesOf = "values of " + el.Tag
			}
			if !tried[lengthsOf] {
				tried[lengthsOf] = true
				for _, length := range lengths {
					setText(el, strings.Repeat("à", length))
					add(doc)
				}
			}
			if !tried[valuesOf] {
				tried[valuesOf] = true
				for _, text := range values {
					setText(el, text)
					add(doc)
				}
			}
			el.SetText(was)
		}
	}
	return near
}

// values are at the edge of some type.
var values = []string{
	"", " ", "0", "1", "5", "6", "+1", "01", "-1", " 1 ", "1\n", "true", "TRUE", "\tfalse\n", "yes",
	"OK", "KO", "ok", "OK ", "EQ", "ANY", "F", "G", "FG", "POSTAL", "RM", "Rm", "ROM", "IT\n", "01 ",
	"0.00", "0.01", "16.5", "16.50", "16,50", " 16.50\n", "16.500", "+16.50", "-16.50", ".50", "0016.50", "1e1.00",
	"999999999.99", "1000000000.00", "00999999999.99", "١٦.٥٠", "16 .50",
	"2026-02-28", "2026-02-29", "2024-02-29", "2026-13-01", "2026-00-10", "2026-1-01", "0000-01-01", " 2026-12-31 ", "2026-12-31Z",
	"2026-12-31+14:00", "2026-12-31+14:01", "2026-12-31-09:30", "2026-12-31+9:30", "2026-12-31T00:00:00", "20261231", "26-12-31", "2026-12-31.5",
	"2026-10-25T02:30:00", "2026-12-31T24:00:00", "2026-12-31T24:00:01", "2026-12-31T23:59:60", "2026-12-31T23:59:59.123456789012Z",
	"2026-12-31T23:59", "2026-12-31 23:59:59", "2026-12-31T23:59:59+25:00", "2026-12-31T25:00:00", "2026-12-31T12:60:00", "\n2026-12-31T12:00:00+01:00\n",
	"a@b", "a@b.c", "a@b..c", "a@@b", "@b", "a@", "à@b.it", "a+b_c.d-e@f-g.it", " a@b.it",
	"QUJD", "QUI=", "QQ==", "QR==", "QUJ=", "QUJDR", " QUJD\nQUJD ", "=", "QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD",
	"80014480828", "8001448082", "800144808280", "8001448082a", "80014480828\n", "٨٠٠١٤٤٨٠٨٢٨",
	"97735020584_aB3dE6gH9k", "97735020584_aB3dE6gH9", "9_aB3dE6gH9k", "97735020584-aB3dE6gH9k", "97735020584_aB3dE6gH9kL", "RSSMRA80A01H501UX9_aB3dE6gH9k", "RSSMRA80A01H501UX99_aB3dE6gH9k",
	"1800000", "1800001", "+1800000", "0001800000", "-1800001", "-0", "1800000.0", "1e3", "--1", "+", "000012345678", "00001234567a",
	"IT60X0542811101000000123456", "it60", "it60x", "IT60 X054", "I160X", "LS", "GT", "PAGOPA", "02",
	"cash", "creditCard", "bancomat", "other", "Cash", "frontOffice", "atm", "onLine", "app", "online",
	"BBT", "BP", "AD", "CP", "PO", "OBEP", "JIF", "MYBK", "PPAL", "BBTX", "IO", "WISP", "CHECKOUT", "PSP", "ATM", "BETTING", "TS", "HB", "POS", "checkout",
	"301202600000004244", "30120260000000424", "901202600000004244", "3012026000000042444", "00001", "0000", "à&<>ù", "𝔞𝔟",
}

var lengths = []int{1, 2, 4, 5, 6, 7, 8, 11, 12, 15, 16, 17, 18, 20, 21, 35, 36, 70, 71, 72, 73, 140, 141, 210, 211, 250, 251, 256, 257}

var notBase64 = regexp.MustCompile(`[^A-Za-z0-9+/= \t\r\n]`)

func mutate(t *testing.T, rnd *rand.Rand, body []byte) []byte {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(body); err != nil {
		t.Fatal(err)
	}
	all := doc.Root().FindElements(".//*")
	leaves := slices.DeleteFunc(slices.Clone(all), func(el *etree.Element) bool { return len(el.ChildElements()) > 0 })
	el, leaf := all[rnd.IntN(len(all))], leaves[rnd.IntN(len(leaves))]
	other := all[rnd.IntN(len(all))]
	switch rnd.IntN(22) {
	case 0:
		el.Parent().RemoveChild(el)
	case 1:
		el.Parent().InsertChildAt(el.Index(), el.Copy())
	case 2:
		for range 5 {
			el.Parent().InsertChildAt(el.Index(), el.Copy())
		}
	case 3: // one further down
		parent, i := el.Parent(), el.Index()
		parent.RemoveChild(el)
		parent.InsertChildAt(min(i+2, len(parent.Child)), el)
	case 4:
		el.Parent().InsertChildAt(rnd.IntN(len(el.Parent().Child)+1), other.Copy())
	case 5:
		el.CreateAttr([]string{"a", "xml:lang", "nil"}[rnd.IntN(3)], "true")
	case 6:
		el.CreateAttr("xmlns", []string{"", doc.Root().NamespaceURI()}[rnd.IntN(2)])
	case 7:
		el.Tag = strings.ToUpper(el.Tag)
	case 8:
		el.Space = doc.Root().Space
	case 9:
		el.Parent().InsertChildAt(el.Index(), etree.NewText([]string{"\n\t ", "x", "\u00A0"}[rnd.IntN(3)]))
	case 10:
		leaf.CreateElement("idPA")
	case 11:
		el.CreateAttr("xmlns:xsi", xsiNamespace)
		el.CreateAttr("xsi:schemaLocation", doc.Root().NamespaceURI()+" x.xsd")
	case 12: // the same in CDATA
		leaf.SetCData(leaf.Text())
	default:
		text := values[rnd.IntN(len(values))]
		if rnd.IntN(4) == 0 {
			text = strings.Repeat([]string{"1", "a", "à", "𝔞"}[rnd.IntN(4)], lengths[rnd.IntN(len(lengths))])
		}
		setText(leaf, text)
	}
	out, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// setText sets a value, but for what libxml2 does not do as the schema says: it
// skips over what is no base64, and keeps the blanks around some dates and
// numbers.
func setText(leaf *etree.Element, text string) {
	switch leaf.Tag {
	case "MBDAttachment", "hashDocumento", "datiSpecificiServizioRequest", "datiSpecificiServizio":
		text = notBase64.ReplaceAllString(text, "")
	case "dueDate", "retentionDate", "paymentDateTime", "applicationDate", "transferDate", "idTransfer", "serial", "expirationTime":
		text = strings.TrimSpace(text)
	}
	leaf.SetText(text)
}

// TestStricterThanTheSchema lists where a valid message is refused all the
// same, by intent.
func TestStricterThanTheSchema(t *testing.T) {
	t.Parallel()
	good := string(fullMessages()["paSendRTV2Request"].Append(nil))
	if err := verdict(t, []byte(good)); err != nil {
		t.Fatal(err)
	}
	valid := make(map[string][]byte)
	for name, change := range map[string][2]string{
		"comment in a value":      {"<idPSP>", "<idPSP><!-- -->"},
		"comment beside a value":  {"</idPSP>", "<!-- --></idPSP>"},
		"xsi:type":                {"<idPSP>", `<idPSP xmlns:xsi="` + xsiNamespace + `" xmlns:x="http://www.w3.org/2001/XMLSchema" xsi:type="x:token">`},
		"a year of five digits":   {"<applicationDate>2026", "<applicationDate>12026"},
		"a year before the first": {"<applicationDate>2026", "<applicationDate>-2026"},
		"too late for UTC":        {">2026-11-20T10:15:30.123456+01:00<", ">9999-12-31T23:59:59-01:00<"},
	} {
		message := strings.Replace(good, change[0], change[1], 1)
		if message == good {
			t.Fatalf("%s: nothing changed", name)
		}
		valid[name] = []byte(message)
		if verdict(t, valid[name]) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, ok := range services[0].xmllint(t, later, valid) {
		if !ok && name != "xsi:type" { // stText35 is no token: invalid there too
			t.Errorf("%s: xmllint refuses it too", name)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	verify := string(fullMessages()["paVerifyPaymentNoticeReq"].Append(nil))
	receipt := string(fullMessages()["paSendRTV2Request"].Append(nil))
	for _, tc := range []struct {
		name, message, old, new, path string
	}{
		{"missing first", verify, "<idPA>80014480828</idPA>", "", "paVerifyPaymentNoticeReq/idPA"},
		{"missing last", verify, "<noticeNumber>301202600000004244</noticeNumber>", "", "paVerifyPaymentNoticeReq/qrCode/noticeNumber"},
		{"twice", verify, "<idPA>80014480828</idPA>", "<idPA>1</idPA><idPA>1</idPA>", "paVerifyPaymentNoticeReq/idBrokerPA"},
		{"out of order", verify, "<idBrokerPA>80015010723</idBrokerPA><idStation>80015010723_01</idStation>", "<idStation>80015010723_01</idStation><idBrokerPA>80015010723</idBrokerPA>", "paVerifyPaymentNoticeReq/idBrokerPA"},
		{"unknown last", verify, "</qrCode>", "</qrCode><x/>", "paVerifyPaymentNoticeReq"},
		{"unknown below", verify, "</noticeNumber>", "</noticeNumber><x/>", "paVerifyPaymentNoticeReq/qrCode"},
		{"empty", verify, "<idPA>80014480828</idPA>", "<idPA/>", "paVerifyPaymentNoticeReq/idPA"},
		{"too long", verify, "80015010723_01", strings.Repeat("à", 36), "paVerifyPaymentNoticeReq/idStation"},
		{"line break behind digits", verify, "004244<", "004244\n<", "paVerifyPaymentNoticeReq/qrCode/noticeNumber"},
		{"digits of another script", verify, "004244<", "00424٤<", "paVerifyPaymentNoticeReq/qrCode/noticeNumber"},
		{"attribute of the root", verify, "Req xmlns", `Req a="" xmlns`, "paVerifyPaymentNoticeReq"},
		{"attribute", verify, "<qrCode>", `<qrCode a="">`, "paVerifyPaymentNoticeReq/qrCode"},
		{"attribute of a value", verify, "<idPA>", `<idPA a="">`, "paVerifyPaymentNoticeReq/idPA"},
		{"xsi:nil", verify, "<idPA>", `<idPA xmlns:xsi="` + xsiNamespace + `" xsi:nil="false">`, "paVerifyPaymentNoticeReq/idPA"},
		{"schemaLocation of no namespace", verify, "<idPA>", `<idPA schemaLocation="">`, "paVerifyPaymentNoticeReq/idPA"},
		{"qualified child", verify, "<idPA>80014480828</idPA>", "<pafn:idPA>80014480828</pafn:idPA>", "paVerifyPaymentNoticeReq/idPA"},
		{"default namespace", verify, "Req xmlns:pafn", `Req xmlns="urn:x" xmlns:pafn`, "paVerifyPaymentNoticeReq/idPA"},
		{"text between", verify, "<qrCode>", "x<qrCode>", "paVerifyPaymentNoticeReq"},
		{"no-break space between", verify, "<qrCode>", "\u00A0<qrCode>", "paVerifyPaymentNoticeReq"},
		{"element in a value", verify, "<idPA>", "<idPA><b/>", "paVerifyPaymentNoticeReq/idPA"},
		{"sixth transfer", receipt, "</transferList>", strings.Repeat(receipt[strings.Index(receipt, "<transfer>"):strings.Index(receipt, "</transfer>")]+"</transfer>", 4) + "</transferList>", "paSendRTV2Request/receipt/transferList"},
		{"second transfer", receipt, "<idTransfer>2<", "<idTransfer>6<", "paSendRTV2Request/receipt/transferList/transfer[2]/idTransfer"},
		{"no transfer", receipt, receipt[strings.Index(receipt, "<transfer>"):strings.Index(receipt, "</transferList>")], "", "paSendRTV2Request/receipt/transferList/transfer"},
		{"both branches", receipt, "<MBDAttachment>", "<IBAN>IT60X0542811101000000123456</IBAN><MBDAttachment>", "paSendRTV2Request/receipt/transferList/transfer[2]/remittanceInformation"},
		{"neither branch", receipt, "<IBAN>IT60X0542811101000000123456</IBAN>", "", "paSendRTV2Request/receipt/transferList/transfer[1]/IBAN or MBDAttachment"},
		{"base64", receipt, "<MBDAttachment>", "<MBDAttachment>.", "paSendRTV2Request/receipt/transferList/transfer[2]/MBDAttachment"},
		{"amount", receipt, "<paymentAmount>1", "<paymentAmount>-1", "paSendRTV2Request/receipt/paymentAmount"},
		{"sixteenth entry", receipt, "</mapEntry>", "</mapEntry>" + strings.Repeat("<mapEntry><key>a</key><value>b</value></mapEntry>", 15), "paSendRTV2Request/receipt/transferList/transfer[1]/metadata"},
	} {
		message := strings.Replace(tc.message, tc.old, tc.new, 1)
		if message == tc.message {
			t.Errorf("%s: nothing changed", tc.name)
			continue
		}
		m, err := ReadPaForNode(parse(t, []byte(message)))
		var refused *SchemaError
		if !errors.As(err, &refused) || m != nil {
			t.Errorf("%s: got %v, %v; want a SchemaError", tc.name, m, err)
			continue
		}
		if refused.Path != tc.path {
			t.Errorf("%s: %v, want path %s", tc.name, err, tc.path)
		}
	}
}

// Of every type that is no string the blanks around the value do not count
// (XSD part 2, 4.3.6), of strings they do.
func TestWhiteSpace(t *testing.T) {
	t.Parallel()
	good := fullMessages()["paSendRTV2Request"]
	blank := string(good.Append(nil))
	for _, name := range []string{
		"idTransfer", "transferAmount", "MBDAttachment", "paymentAmount", "fee", "primaryCiIncurredFee",
		"paymentDateTime", "applicationDate", "transferDate", "standIn",
	} {
		blank = strings.ReplaceAll(blank, "<"+name+">", "<"+name+"> \n\t")
		blank = strings.ReplaceAll(blank, "</"+name+">", "\r\n </"+name+">")
	}
	blank = strings.Replace(blank, "PG1hcmNhLz4=", "PG1h cmNh\n\nLz4=", 1)
	got, err := ReadPaForNode(parse(t, []byte(blank)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, good) {
		t.Errorf("read\n%+v\nwant\n%+v", got, good)
	}
	for _, name := range []string{"noticeNumber", "fiscalCode", "outcome", "country", "entityUniqueIdentifierType", "e-mail"} {
		for _, change := range [][2]string{{"<" + name + ">", "<" + name + "> "}, {"</" + name + ">", " </" + name + ">"}} {
			if verdict(t, []byte(strings.Replace(string(good.Append(nil)), change[0], change[1], 1))) == nil {
				t.Errorf("a blank is let into %s", name)
			}
		}
	}
}

func TestSchemaErrorQuotesNothing(t *testing.T) {
	t.Parallel()
	good := string(fullMessages()["paSendRTV2Request"].Append(nil))
	for _, change := range [][2]string{
		{"<fullName>", "<fullName>" + strings.Repeat("SECRET", 20)}, {"<idPSP>", "SECRET<idPSP>"}, {"<idPSP>", "<SECRET/><idPSP>"},
		{"<idPSP>", `<idPSP SECRET="SECRET">`}, {"<idPSP>", "<idPSP><SECRET/>"}, {"<paymentDateTime>", "<paymentDateTime>SECRET"},
		{"<idPSP>", `<idPSP xmlns="SECRET">`},
	} {
		_, err := ReadPaForNode(parse(t, []byte(strings.Replace(good, change[0], change[1], 1))))
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("with %s: error %v", change[1], err)
		}
	}
}

func TestParseDateTime(t *testing.T) {
	t.Parallel()
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"2026-11-20T10:15:30":               "2026-11-20T09:15:30Z",
		"2026-07-20T10:15:30":               "2026-07-20T08:15:30Z",
		"2026-11-20T10:15:30Z":              "2026-11-20T10:15:30Z",
		"2026-11-20T10:15:30-05:30":         "2026-11-20T15:45:30Z",
		"2026-11-20T10:15:30.5+14:00":       "2026-11-19T20:15:30.5Z",
		"2026-11-20T10:15:30.1234567891":    "2026-11-20T09:15:30.123456789Z",
		"2026-12-31T24:00:00":               "2026-12-31T23:00:00Z",
		"2026-12-31T24:00:00.000Z":          "2027-01-01T00:00:00Z",
		"0001-01-01T00:00:00Z":              "0001-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999999999999Z": "9999-12-31T23:59:59.999999999Z",
	} {
		got, err := ParseDateTime(in, rome)
		if s := got.UTC().Format(time.RFC3339Nano); s != want || err != nil {
			t.Errorf("ParseDateTime(%q) = %s, %v; want %s", in, s, err, want)
		}
	}
	for _, in := range []string{
		"", "2026-11-20", "2026-11-20T10:15", "2026-11-20T10:15:30.", "2026-11-20T10:15:30,5", "2026-11-20t10:15:30", "2026-11-20T10:15:30z",
		"2026-11-31T10:15:30", "0000-01-01T00:00:00", "2026-11-20T24:00:00.1", "2026-11-20T10:15:30+0100", "2026-11-20T10:15:30+14:01",
		"2026-11-20T10:15:30+01:60", "2026-11-20T10:15:30 Z", "2026-11-20T10:15:30Z\n", "12026-11-20T10:15:30", "-2026-11-20T10:15:30",
		"0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
	} {
		if got, err := ParseDateTime(in, rome); err == nil || in != "" && strings.Contains(err.Error(), in) {
			t.Errorf("ParseDateTime(%q) = %v, %v; want an error that does not quote", in, got, err)
		}
	}
}
