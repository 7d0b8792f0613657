// SPDX-License-Identifier: Apache-2.0

package nodeforpsp_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/nodeforpsp"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
	receiptsxml "github.com/nodogate/nodogate/receipts/xml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var ctx = context.Background()

// The providers that may call, and a postal account of the second school.
const (
	pspPassword   = "password-01"
	postalAccount = "000000001016"
	postalIBAN    = "IT45R0760103200000000001016"
)

func psps() []nodeforpsp.PSP {
	sum := sha256.Sum256([]byte(pspPassword))
	return []nodeforpsp.PSP{
		{Peer: gateway.Peer{PSP: "ABI00001", Name: "Banca Uno", Broker: "97735020584", Channel: "97735020584_01"}, Password: sum},
		{Peer: gateway.Peer{PSP: "ABI00002", Name: "Banca Due", Broker: "15376371009", Channel: "15376371009_01"}, Password: sum},
	}
}

// faces serves both faces of a gateway.
func faces(g *gateway.Service, cfg nodeforpsp.Config) http.Handler {
	cfg.Service, cfg.PSP = g, lookup(psps())
	mux := http.NewServeMux()
	mux.Handle(nodeforpsp.Path, nodeforpsp.New(cfg))
	mux.Handle(pafornode.Path, pafornode.New(pafornode.Config{Service: g, Duration: cfg.Duration, Log: cfg.Log}))
	return mux
}

// face is a gateway whose two faces run, and every answer they gave.
type face struct {
	*gatewaytest.Gateway
	url    string
	postal gateway.School // OtherCode, with a postal account

	mu      sync.Mutex
	answers []string
}

func newFace(t *testing.T, g *gatewaytest.Gateway) *face {
	t.Helper()
	server := httptest.NewServer(faces(g.Service, nodeforpsp.Config{Duration: soap.NewDuration(g.Reg)}))
	t.Cleanup(server.Close)
	f := &face{Gateway: g, url: server.URL}
	var err error
	f.postal, _, err = g.Service.AddSchool(ctx, gatewaytest.Operator, gateway.NewSchool{
		Code: string(gatewaytest.OtherCode), Name: "Liceo Galilei", IBAN: postalIBAN, Segregation: "01",
		PostalAccount: postalAccount, PostalIBAN: postalIBAN, PostalHolder: "Liceo Galilei", PostalAuth: "AUT. DB/1234/567 890 DEL 01/01/2026",
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// each runs a test with running faces on both databases, and then proves every
// answer against the official schemas.
func each(t *testing.T, test func(t *testing.T, f *face)) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		f := newFace(t, g)
		test(t, f)
		validate(t, f.answers)
	})
}

func envelope(element string) string {
	return `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Header/><soapenv:Body>` + element + `</soapenv:Body></soapenv:Envelope>`
}

// post sends one operation's element to the node face.
func (f *face) post(t *testing.T, element fmt.Stringer) string {
	t.Helper()
	return f.ask(t, nodeforpsp.Path, element)
}

// ask wants 200.
func (f *face) ask(t *testing.T, path string, element fmt.Stringer) string {
	t.Helper()
	status, body := f.raw(t, path, envelope(element.String()), nil)
	if status != http.StatusOK {
		t.Errorf("status %d: %s", status, body)
	}
	return body
}

func (f *face) raw(t *testing.T, path, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/xml; charset=utf-8")
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = append(f.answers, string(b))
	return resp.StatusCode, string(b)
}

// text is an element that is written out.
type text string

func (s text) String() string { return string(s) }

func root(name, content string) text {
	return text(`<m:` + name + ` xmlns:m="http://pagopa-api.pagopa.gov.it/node/nodeForPsp.xsd">` + content + `</m:` + name + `>`)
}

func element(name, value string) string {
	if value == "" {
		return ""
	}
	return "<" + name + ">" + value + "</" + name + ">"
}

func head(psp, broker, channel, password string) string {
	return element("idPSP", psp) + element("idBrokerPSP", broker) + element("idChannel", channel) + element("password", password)
}

// lookup finds a provider in a fixed list.
func lookup(list []nodeforpsp.PSP) func(gateway.PSPID) (nodeforpsp.PSP, bool) {
	return func(id gateway.PSPID) (nodeforpsp.PSP, bool) {
		for _, p := range list {
			if p.PSP == id {
				return p, true
			}
		}
		return nodeforpsp.PSP{}, false
	}
}

var (
	one = head("ABI00001", "97735020584", "97735020584_01", pspPassword)
	two = head("ABI00002", "15376371009", "15376371009_01", pspPassword)
)

func qrCode(school, number string) string {
	return element("qrCode", element("fiscalCode", school)+element("noticeNumber", number))
}

func verify(head, school, number string) text {
	return root("verifyPaymentNoticeReq", head+qrCode(school, number))
}

func bollettino(head, account, number string) text {
	return root("verificaBollettinoReq", head+element("ccPost", account)+element("noticeNumber", number))
}

func demand(head, service, data string) text {
	return root("demandPaymentNoticeRequest", head+element("idSoggettoServizio", service)+element("datiSpecificiServizio", base64.StdEncoding.EncodeToString([]byte(data))))
}

// activate is an activatePaymentNotice of either version.
type activate struct {
	version                                            int
	head, key, school, number, life, amount, due, note string
}

// activation asks for a notice, with or without a key.
func activation(version int, n gateway.Notice, key string) activate {
	return activate{version: version, head: one, key: key, school: string(n.School), number: n.Number.String(), amount: n.Amount.String()}
}

func (a activate) String() string {
	name, more := "activatePaymentNoticeReq", ""
	if a.version == 2 {
		name, more = "activatePaymentNoticeV2Request", "<paymentMethod>CP</paymentMethod><touchPoint>PSP</touchPoint>"
	}
	return string(root(name, a.head+element("idempotencyKey", a.key)+qrCode(a.school, a.number)+element("expirationTime", a.life)+
		element("amount", a.amount)+element("dueDate", a.due)+element("paymentNote", a.note)+more))
}

// outcome is a sendPaymentOutcome of either version.
type outcome struct {
	version         int
	head, key, said string
	details         string
	tokens          []string
}

const details = `<paymentMethod>creditCard</paymentMethod><paymentChannel>app</paymentChannel><fee>1.00</fee>` +
	`<payer><uniqueIdentifier><entityUniqueIdentifierType>F</entityUniqueIdentifierType><entityUniqueIdentifierValue>RSSMRA80A01H501U</entityUniqueIdentifierValue></uniqueIdentifier><fullName>Mario &amp; Rossi</fullName></payer>` +
	`<applicationDate>2026-11-23</applicationDate><transferDate>2026-11-24</transferDate>`

// paid is an OK for tokens; failed a KO.
func paid(version int, tokens ...string) outcome {
	return outcome{version: version, head: one, said: "OK", details: details, tokens: tokens}
}

func failed(version int, tokens ...string) outcome {
	return outcome{version: version, head: one, said: "KO", tokens: tokens}
}

// by is the outcome with a key.
func (o outcome) by(key string) outcome {
	o.key = key
	return o
}

func (o outcome) String() string {
	tokens := ""
	for _, t := range o.tokens {
		tokens += element("paymentToken", t)
	}
	name := "sendPaymentOutcomeReq"
	if o.version == 2 {
		name, tokens = "sendPaymentOutcomeV2Request", element("paymentTokens", tokens)
	}
	return string(root(name, o.head+element("idempotencyKey", o.key)+tokens+element("outcome", o.said)+element("details", o.details)))
}

func key(n int) string { return fmt.Sprintf("97735020584_%010d", n) }

var (
	faultCode    = regexp.MustCompile(`<faultCode>([A-Z_]+)</faultCode><faultString>[^<]+</faultString><id>([^<]*)</id>`)
	originalCode = regexp.MustCompile(`<originalFaultCode>([A-Z_]+)</originalFaultCode><originalFaultString>[^<]+</originalFaultString>`)
	paymentToken = regexp.MustCompile(`<paymentToken>([0-9a-f]{32})</paymentToken>`)
	description  = regexp.MustCompile(`<description>([^<]*)</description>`)
)

// code is what an answer says: OK, or its fault code, and what the creditor
// said behind it.
func code(t *testing.T, body string) string {
	t.Helper()
	fault := faultCode.FindStringSubmatch(body)
	switch {
	case strings.Contains(body, "<outcome>OK</outcome>") && !strings.Contains(body, "fault"):
		return "OK"
	case fault == nil || !strings.Contains(body, "<outcome>KO</outcome>"):
		return "no answer: " + body
	case fault[1] == "PPT_ERRORE_EMESSO_DA_PAA":
		original := originalCode.FindStringSubmatch(body)
		if original == nil || len(fault[2]) != 11 {
			return "a creditor's fault without its own words: " + body
		}
		return fault[1] + "/" + original[1]
	case strings.HasPrefix(fault[1], "PPT_") && fault[2] != "NodoDeiPagamentiSPC":
		return "a fault of the node raised by " + fault[2]
	}
	return fault[1]
}

func want(t *testing.T, body, wanted string) {
	t.Helper()
	if got := code(t, body); got != wanted {
		t.Errorf("answer %s, want %s\n%s", got, wanted, body)
	}
}

// token wants an OK that gives a token.
func token(t *testing.T, body string) string {
	t.Helper()
	want(t, body, "OK")
	found := paymentToken.FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no token in %s", body)
	}
	return found[1]
}

// take activates a notice and gives the token.
func (f *face) take(t *testing.T, n gateway.Notice) string {
	t.Helper()
	return token(t, f.post(t, activation(2, n, "")))
}

func (f *face) wantState(t *testing.T, n gateway.Notice, wanted gateway.NoticeState) {
	t.Helper()
	if got := f.State(n); got != wanted {
		t.Errorf("the notice is %s, want %s", got, wanted)
	}
}

// receipts are those of a notice, oldest first, with their bytes.
func (f *face) receipts(t *testing.T, n gateway.Notice) []gateway.Receipt {
	t.Helper()
	list, err := f.Receipts(ctx, n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	for i := range list {
		if list[i], err = f.Receipt(ctx, n.School, list[i].ID); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// wantReceipts wants these anomalies, in order; "" is none.
func (f *face) wantReceipts(t *testing.T, n gateway.Notice, anomalies ...gateway.Anomaly) []gateway.Receipt {
	t.Helper()
	list := f.receipts(t, n)
	var got []gateway.Anomaly
	for _, r := range list {
		got = append(got, r.Anomaly)
	}
	if !slices.Equal(got, anomalies) {
		t.Errorf("receipts with anomalies %q, want %q", got, anomalies)
	}
	return list
}

// The order of the checks: syntax, PSP, broker, channel, password, school,
// existence, state. Every request is wrong in all that comes after, too.
func TestOrderOfChecks(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		issue := func(change ...func(*gateway.NewNotice)) gateway.Notice {
			return f.IssueAt(f.postal.Code, change...)
		}
		open, settled, gone, held, taken := issue(), issue(), issue(), issue(), issue()
		late := issue(func(n *gateway.NewNotice) { n.DueDate = "2026-11-22" })
		lastDay := issue(func(n *gateway.NewNotice) { n.DueDate = "2026-11-23" })
		stillPayable := issue(func(n *gateway.NewNotice) { n.DueDate, n.PayableAfterDue = "2026-11-22", true })
		f.Settle(settled, "")
		if _, err := f.Cancel(ctx, gatewaytest.Operator, gone.School, gone.Number); err != nil {
			t.Fatal(err)
		}
		r := gatewaytest.Receipt(held, "rt-held")
		r.Amount, r.Transfers[0].Amount = 1, 1
		if _, err := f.Deliver(r); err != nil {
			t.Fatal(err)
		}
		f.take(t, taken)

		const nobody = "97735020584" // a school that is not here
		const creditor = "PPT_ERRORE_EMESSO_DA_PAA/"
		for _, tc := range []struct{ name, head, school, number, want string }{
			{"syntax", head("ABI99999", "1", "1", "short"), nobody, "901202600000004244", "PPT_SINTASSI_EXTRAXSD"},
			{"PSP", head("ABI99999", "1", "1", "wrong-one"), nobody, "901202600000004244", "PPT_PSP_SCONOSCIUTO"},
			{"broker", head("ABI00001", "15376371009", "1", "wrong-one"), nobody, "901202600000004244", "PPT_INTERMEDIARIO_PSP_SCONOSCIUTO"},
			{"channel", head("ABI00001", "97735020584", "15376371009_01", "wrong-one"), nobody, "901202600000004244", "PPT_CANALE_SCONOSCIUTO"},
			{"password", head("ABI00001", "97735020584", "97735020584_01", "Password-01"), nobody, "901202600000004244", "PPT_AUTENTICAZIONE"},
			{"school", one, nobody, "901202600000004244", "PPT_DOMINIO_SCONOSCIUTO"},
			{"school, right number", one, nobody, open.Number.String(), "PPT_DOMINIO_SCONOSCIUTO"},
			{"no number of ours", one, "", "901202600000004244", creditor + "PAA_PAGAMENTO_SCONOSCIUTO"},
			{"unknown number", one, "", "301202600000004244", creditor + "PAA_PAGAMENTO_SCONOSCIUTO"},
			{"paid", one, "", settled.Number.String(), "PPT_PAGAMENTO_DUPLICATO"},
			{"cancelled", one, "", gone.Number.String(), creditor + "PAA_PAGAMENTO_ANNULLATO"},
			{"expired", one, "", late.Number.String(), creditor + "PAA_PAGAMENTO_SCADUTO"},
			{"held", one, "", held.Number.String(), creditor + "PAA_SEMANTICA"},
			{"taken", one, "", taken.Number.String(), "PPT_PAGAMENTO_IN_CORSO"},
			{"taken, the other PSP", two, "", taken.Number.String(), "PPT_PAGAMENTO_IN_CORSO"},
			{"open", one, "", open.Number.String(), "OK"},
			{"last day", one, "", lastDay.Number.String(), "OK"},
			{"payable after due", two, "", stillPayable.Number.String(), "OK"},
		} {
			school, account := tc.school, "000000009999"
			if school == "" {
				school, account = string(f.postal.Code), postalAccount
			}
			for name, ask := range map[string]fmt.Stringer{
				"verify": verify(tc.head, school, tc.number), "bollettino": bollettino(tc.head, account, tc.number),
				"activate V1": activate{version: 1, head: tc.head, school: school, number: tc.number, amount: "16.50"},
				"activate V2": activate{version: 2, head: tc.head, school: school, number: tc.number, amount: "16.50"},
			} {
				t.Run(tc.name+"/"+name, func(t *testing.T) {
					body := f.post(t, ask)
					want(t, body, tc.want)
					if tok := paymentToken.FindStringSubmatch(body); tok != nil {
						o := failed(1, tok[1])
						o.head = tc.head
						want(t, f.post(t, o), "OK") // free for the next
					}
				})
			}
			// What names no notice stops at the password.
			if tc.head == one || tc.head == two {
				continue
			}
			for name, ask := range map[string]fmt.Stringer{
				"outcome V1": outcome{version: 1, head: tc.head, said: "OK", tokens: []string{"unknown"}},
				"outcome V2": outcome{version: 2, head: tc.head, said: "OK", tokens: []string{"unknown", "unknown"}},
				"demand":     demand(tc.head, "00001", "no data"),
			} {
				t.Run(tc.name+"/"+name, func(t *testing.T) { want(t, f.post(t, ask), tc.want) })
			}
		}
		t.Run("a bulletin of a school without an account", func(t *testing.T) {
			want(t, f.post(t, bollettino(one, "000000000000", open.Number.String())), "PPT_DOMINIO_SCONOSCIUTO")
		})
		t.Run("asking changes nothing", func(t *testing.T) {
			n, err := f.Notice(ctx, open.School, open.Number)
			if err != nil || n.Version != open.Version || n.Token != nil {
				t.Errorf("notice %+v, %v", n, err)
			}
		})
	})
}

// Two schools with one postal account: a bulletin is of the school whose notice
// it names.
func TestBulletinOfASharedAccount(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		sharing := f.AddPostal("97735020584", "Liceo Volta")
		for _, school := range []gateway.SchoolCode{f.postal.Code, sharing.Code} {
			n := f.IssueAt(school)
			answer := f.post(t, bollettino(one, postalAccount, n.Number.String()))
			want(t, answer, "OK")
			if !strings.Contains(answer, "<fiscalCodePA>"+string(school)+"</fiscalCodePA>") || !strings.Contains(answer, "<allCCP>true</allCCP>") {
				t.Errorf("a bulletin of %s is answered with %s", school, answer)
			}
		}
	})
}

// What the schema refuses is PPT_SINTASSI_EXTRAXSD and leaves no trace.
func TestSyntax(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		n := f.Issue()
		good := activation(1, n, "").String()
		for name, change := range map[string]func(string) string{
			"exponent":  func(s string) string { return strings.Replace(s, "16.50", "1.65e1", 1) },
			"comma":     func(s string) string { return strings.Replace(s, "16.50", "16,50", 1) },
			"no amount": func(s string) string { return strings.Replace(s, "<amount>16.50</amount>", "", 1) },
			"impossible date": func(s string) string {
				return strings.Replace(s, "</amount>", "</amount><dueDate>2026-02-30</dueDate>", 1)
			},
			"order": func(s string) string {
				return strings.Replace(s, "</amount>", "</amount><expirationTime>1000</expirationTime>", 1)
			},
			"a V2 element": func(s string) string {
				return strings.Replace(s, "</amount>", "</amount><touchPoint>PSP</touchPoint>", 1)
			},
			"repeated element": func(s string) string { return strings.Replace(s, "</amount>", "</amount><amount>16.50</amount>", 1) },
			"attribute":        func(s string) string { return strings.Replace(s, "<amount>", `<amount currency="EUR">`, 1) },
			"nil": func(s string) string {
				return strings.Replace(s, "<amount>", `<amount xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="false">`, 1)
			},
			"qualified child": func(s string) string { return strings.ReplaceAll(s, "amount>", "m:amount>") },
			"line break":      func(s string) string { return strings.Replace(s, n.Number.String(), n.Number.String()+"\n", 1) },
			"Arabic digits":   func(s string) string { return strings.Replace(s, "<noticeNumber>3", "<noticeNumber>\u0663", 1) },
			"key": func(s string) string {
				return strings.Replace(s, "<qrCode>", "<idempotencyKey>97735020584-0123456789</idempotencyKey><qrCode>", 1)
			},
			"life too long": func(s string) string {
				return strings.Replace(s, "<amount>", "<expirationTime>1800001</expirationTime><amount>", 1)
			},
		} {
			t.Run(name, func(t *testing.T) {
				bad := change(good)
				if bad == good {
					t.Fatal("nothing changed")
				}
				want(t, f.post(t, text(bad)), "PPT_SINTASSI_EXTRAXSD")
			})
		}
		six := paid(2, "1", "2", "3", "4", "5", "6")
		want(t, f.post(t, six), "PPT_SINTASSI_EXTRAXSD")
		want(t, f.post(t, paid(2)), "PPT_SINTASSI_EXTRAXSD")
		f.take(t, n) // nothing took it
	})
}

// The rows of the idempotency table for an activation.
func TestActivateAgain(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprint("V", version), func(t *testing.T) {
				n, other := f.Issue(), f.Issue()
				k := key(version)
				ask := activation(version, n, k)
				first := f.post(t, ask)
				tok := token(t, first)

				t.Run("known key, same content", func(t *testing.T) {
					if again := f.post(t, ask); again != first {
						t.Errorf("answer\n%s\nwant\n%s", again, first)
					}
					list, err := f.Events(ctx, n.School, n.Number)
					if err != nil || len(list) != 2 || list[1].Kind != gateway.EventPaymentStarted {
						t.Errorf("events %+v, %v; want one start", list, err)
					}
				})
				for name, change := range map[string]func(*activate){
					"amount":         func(a *activate) { a.amount = "16.51" },
					"life":           func(a *activate) { a.life = "1800000" },
					"note":           func(a *activate) { a.note = "x" },
					"due date":       func(a *activate) { a.due = "2026-12-31" },
					"notice":         func(a *activate) { a.number = other.Number.String() },
					"unknown notice": func(a *activate) { a.number = "301202600000004244" },
					"no number":      func(a *activate) { a.number = "901202600000004244" },
					"unknown school": func(a *activate) { a.school = "97735020584" },
				} {
					t.Run("known key, other "+name, func(t *testing.T) {
						changed := ask
						change(&changed)
						want(t, f.post(t, changed), "PPT_ERRORE_IDEMPOTENZA")
					})
				}
				f.take(t, other) // no effect of those

				t.Run("new key or none, live token", func(t *testing.T) {
					want(t, f.post(t, activation(version, n, key(10+version))), "PPT_PAGAMENTO_IN_CORSO")
					want(t, f.post(t, activation(version, n, "")), "PPT_PAGAMENTO_IN_CORSO")
				})
				t.Run("the key is the PSP's and the operation's own", func(t *testing.T) {
					theirs := ask
					theirs.head = two
					want(t, f.post(t, theirs), "PPT_PAGAMENTO_IN_CORSO")
					elsewhere := ask
					elsewhere.version = 3 - version
					want(t, f.post(t, elsewhere), "PPT_PAGAMENTO_IN_CORSO")
				})
				t.Run("a KO ends the key", func(t *testing.T) {
					want(t, f.post(t, failed(version, tok)), "OK")
					if second := token(t, f.post(t, ask)); second == tok {
						t.Error("the first token came back")
					} else {
						tok = second
					}
				})
				t.Run("an OK ends the key", func(t *testing.T) {
					want(t, f.post(t, paid(version, tok)), "OK")
					want(t, f.post(t, ask), "PPT_PAGAMENTO_DUPLICATO")
					// It may be used for something else now.
					token(t, f.post(t, activation(version, f.Issue(), k)))
				})
			})
		}
		t.Run("an expired key may be used again", func(t *testing.T) {
			n, next := f.Issue(), f.Issue()
			ask := activation(2, n, key(30))
			ask.life = "60000"
			tok := token(t, f.post(t, ask))
			f.Time.Advance(time.Minute - time.Microsecond)
			if again := token(t, f.post(t, ask)); again != tok {
				t.Error("the key ended before its token")
			}
			f.Time.Advance(time.Microsecond)
			second := activation(2, next, key(30))
			first := f.post(t, second)
			token(t, first)
			// The late outcome of the first token leaves the second's key alone.
			want(t, f.post(t, failed(2, tok)), "PPT_TOKEN_SCADUTO_KO")
			if again := f.post(t, second); again != first {
				t.Errorf("answer\n%s\nwant\n%s", again, first)
			}
			// The same request is a new one when its key is over.
			f.Time.Advance(gateway.MaxTokenLife)
			if again := token(t, f.post(t, ask)); again == tok {
				t.Error("an expired token came back")
			}
		})
	})
}

// A request repeated with the channel's new password is the same request.
func TestAgainWithANewPassword(t *testing.T) {
	g := gatewaytest.New(t)
	f := newFace(t, g)
	renewed := psps()
	for i := range renewed {
		renewed[i].Password = sha256.Sum256([]byte("password-02"))
	}
	server := httptest.NewServer(nodeforpsp.New(nodeforpsp.Config{Service: g.Service, PSP: lookup(renewed), Duration: soap.NewDuration(prometheus.NewRegistry())}))
	defer server.Close()
	later := &face{Gateway: g, url: server.URL}
	for _, version := range []int{1, 2} {
		again := func(element string) string {
			return later.post(t, text(strings.Replace(element, pspPassword, "password-02", 1)))
		}
		ask := activation(version, g.Issue(), key(version))
		first := f.post(t, ask)
		if body := again(ask.String()); body != first {
			t.Errorf("answer\n%s\nwant\n%s", body, first)
		}
		say := paid(version, token(t, first)).by(key(version))
		want(t, f.post(t, say), "OK")
		want(t, again(say.String()), "OK")
		want(t, later.post(t, say), "PPT_AUTENTICAZIONE")
	}
}

// The rows of the idempotency table for an outcome.
func TestOutcomeAgain(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprint("V", version), func(t *testing.T) {
				n, other := f.Issue(), f.Issue()
				tok, live := f.take(t, n), f.take(t, other)
				say := paid(version, tok).by(key(version))
				first := f.post(t, say)
				want(t, first, "OK")
				f.wantState(t, n, gateway.NoticePaid)

				again := func(t *testing.T) {
					t.Helper()
					if body := f.post(t, say); body != first {
						t.Errorf("answer\n%s\nwant\n%s", body, first)
					}
					f.wantReceipts(t, n, gateway.AnomalyNone)
				}
				t.Run("known key, same content", again)
				for name, changed := range map[string]outcome{
					"outcome":       failed(version, tok),
					"token":         paid(version, live),
					"unknown token": paid(version, "c110729d258c4ab1b765fe902aae41d6"),
					"fee":           {version: version, head: one, said: "OK", tokens: []string{tok}, details: strings.Replace(details, "<fee>1.00", "<fee>1.01", 1)},
				} {
					t.Run("known key, other "+name, func(t *testing.T) {
						want(t, f.post(t, changed.by(key(version))), "PPT_ERRORE_IDEMPOTENZA")
					})
				}
				f.wantState(t, other, gateway.NoticeOpen)
				for name, k := range map[string]string{"new key": key(10 + version), "no key": ""} {
					t.Run(name+", outcome already taken", func(t *testing.T) {
						body := f.post(t, say.by(k))
						want(t, body, "PPT_ESITO_GIA_ACQUISITO")
						wantDescription(t, body, "Esito concorde")
						body = f.post(t, failed(version, tok).by(k))
						want(t, body, "PPT_ESITO_GIA_ACQUISITO")
						wantDescription(t, body, "Esito discorde")
						f.wantReceipts(t, n, gateway.AnomalyNone)
					})
				}
				t.Run("the key lives 30 minutes", func(t *testing.T) {
					f.Time.Advance(30*time.Minute - time.Microsecond)
					again(t)
					f.Time.Advance(time.Microsecond)
					body := f.post(t, say)
					want(t, body, "PPT_ESITO_GIA_ACQUISITO")
					wantDescription(t, body, "Esito concorde")
					// It may be used for another token: this one is late meanwhile.
					want(t, f.post(t, failed(version, live).by(key(version))), "PPT_TOKEN_SCADUTO_KO")
				})
			})
		}
		t.Run("an OK after a KO is kept as evidence", func(t *testing.T) {
			n := f.Issue()
			tok := f.take(t, n)
			want(t, f.post(t, failed(2, tok)), "OK")
			body := f.post(t, paid(2, tok))
			want(t, body, "PPT_ESITO_GIA_ACQUISITO")
			wantDescription(t, body, "Esito discorde")
			if got := f.CountEvidence(gateway.EvidenceInconsistent); got != 1 {
				t.Errorf("%d pieces of evidence, want 1", got)
			}
			f.wantState(t, n, gateway.NoticeOpen)
			f.wantReceipts(t, n)
		})
		t.Run("a late answer is repeated as it was", func(t *testing.T) {
			n := f.Issue()
			tok := f.take(t, n)
			f.Time.Advance(gateway.MaxTokenLife)
			say := paid(2, tok).by(key(40))
			first := f.post(t, say)
			want(t, first, "PPT_TOKEN_SCADUTO")
			if body := f.post(t, say); body != first {
				t.Errorf("answer\n%s\nwant\n%s", body, first)
			}
			want(t, f.post(t, paid(2, tok)), "PPT_ESITO_GIA_ACQUISITO")
			f.wantReceipts(t, n, gateway.AnomalyLate)
		})
	})
}

func wantDescription(t *testing.T, body, wanted string) {
	t.Helper()
	if got := description.FindStringSubmatch(body); got == nil || got[1] != wanted {
		t.Errorf("no description %q in %s", wanted, body)
	}
}

// How long a token lives: as asked, 30 minutes at most and by default, 1 second
// at least.
func TestTokenLife(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		for asked, life := range map[string]time.Duration{
			"": 30 * time.Minute, "1800000": 30 * time.Minute, "900000": 15 * time.Minute, "1000": time.Second,
			"999": 0, "0": 0, "-1": 0, "-99999999999999999999": 0,
		} {
			for _, version := range []int{1, 2} {
				t.Run(fmt.Sprintf("%q/V%d", asked, version), func(t *testing.T) {
					n := f.Issue()
					ask := activation(version, n, "")
					ask.life = asked
					body := f.post(t, ask)
					if life == 0 {
						want(t, body, "PPT_SEMANTICA")
						f.take(t, n)
						return
					}
					tok := token(t, body)
					f.Time.Advance(life - time.Microsecond)
					want(t, f.post(t, activation(version, n, "")), "PPT_PAGAMENTO_IN_CORSO")
					f.Time.Advance(time.Microsecond)
					if next := token(t, f.post(t, activation(version, n, ""))); next == tok {
						t.Error("an expired token came back")
					}
				})
			}
		}
	})
}

// The token rules of reliability.md, section 4.
func TestOutcomes(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		for _, version := range []int{1, 2} {
			for name, test := range map[string]func(t *testing.T, n gateway.Notice){
				"OK in time": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					f.Time.Advance(gateway.MaxTokenLife - time.Microsecond)
					want(t, f.post(t, paid(version, tok)), "OK")
					f.wantState(t, n, gateway.NoticePaid)
					f.wantReceipts(t, n, gateway.AnomalyNone)
				},
				"KO in time": func(t *testing.T, n gateway.Notice) {
					want(t, f.post(t, failed(version, f.take(t, n))), "OK")
					f.wantReceipts(t, n)
					f.take(t, n) // at once
				},
				"unknown token": func(t *testing.T, n gateway.Notice) {
					want(t, f.post(t, paid(version, "c110729d258c4ab1b765fe902aae41d6")), "PPT_TOKEN_SCONOSCIUTO")
					want(t, f.post(t, failed(version, "'; DROP TABLE tokens --")), "PPT_TOKEN_SCONOSCIUTO")
				},
				"another PSP's token": func(t *testing.T, n gateway.Notice) {
					say := paid(version, f.take(t, n))
					say.head = two
					want(t, f.post(t, say), "PPT_TOKEN_SCONOSCIUTO")
					f.wantState(t, n, gateway.NoticeOpen)
				},
				"OK without details": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					say := paid(version, tok)
					say.details = ""
					want(t, f.post(t, say), "PPT_SEMANTICA")
					f.wantReceipts(t, n)
					want(t, f.post(t, paid(version, tok)), "OK") // it can be said right
				},
				"KO with details": func(t *testing.T, n gateway.Notice) {
					say := failed(version, f.take(t, n))
					say.details = details
					want(t, f.post(t, say), "OK")
					f.wantReceipts(t, n)
				},
				"late KO": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					f.Time.Advance(gateway.MaxTokenLife)
					want(t, f.post(t, failed(version, tok)), "PPT_TOKEN_SCADUTO_KO")
					f.wantState(t, n, gateway.NoticeOpen)
					f.take(t, n)
				},
				"late OK, nothing else": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					f.Time.Advance(gateway.MaxTokenLife)
					want(t, f.post(t, paid(version, tok)), "PPT_TOKEN_SCADUTO")
					f.wantState(t, n, gateway.NoticePaid)
					f.wantReceipts(t, n, gateway.AnomalyLate)
				},
				"late OK, the next token failed": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					f.Time.Advance(gateway.MaxTokenLife)
					want(t, f.post(t, failed(version, f.take(t, n))), "OK")
					want(t, f.post(t, paid(version, tok)), "PPT_TOKEN_SCADUTO")
					f.wantReceipts(t, n, gateway.AnomalyLate)
				},
				"late OK, the next token expired too": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					f.Time.Advance(gateway.MaxTokenLife)
					next := f.take(t, n)
					f.Time.Advance(gateway.MaxTokenLife)
					want(t, f.post(t, paid(version, tok)), "PPT_TOKEN_SCADUTO")
					f.wantReceipts(t, n, gateway.AnomalyLate)
					want(t, f.post(t, paid(version, next)), "PPT_PAGAMENTO_DUPLICATO")
					f.wantReceipts(t, n, gateway.AnomalyLate, gateway.AnomalyLate)
				},
				"late OK, another token lives": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					f.Time.Advance(gateway.MaxTokenLife)
					next := f.take(t, n)
					want(t, f.post(t, paid(version, tok)), "PPT_PAGAMENTO_DUPLICATO")
					f.wantState(t, n, gateway.NoticeOpen)
					f.wantReceipts(t, n, gateway.AnomalyLate)
					want(t, f.post(t, paid(version, next)), "OK")
					f.wantState(t, n, gateway.NoticePaid)
					f.wantReceipts(t, n, gateway.AnomalyLate, gateway.AnomalyNone)
				},
				"late OK, paid by another token": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					f.Time.Advance(gateway.MaxTokenLife)
					want(t, f.post(t, paid(version, f.take(t, n))), "OK")
					refunds := f.CountRefunds(n.School)
					want(t, f.post(t, paid(version, tok)), "PPT_PAGAMENTO_DUPLICATO")
					f.wantReceipts(t, n, gateway.AnomalyNone, gateway.AnomalyLate)
					if got := f.CountRefunds(n.School); got != refunds+1 {
						t.Errorf("%d refunds, want %d", got, refunds+1)
					}
				},
				"late OK, cancelled meanwhile": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					f.Time.Advance(gateway.MaxTokenLife)
					if _, err := f.Cancel(ctx, gatewaytest.Operator, n.School, n.Number); err != nil {
						t.Fatal(err)
					}
					want(t, f.post(t, paid(version, tok)), "PPT_TOKEN_SCADUTO")
					f.wantState(t, n, gateway.NoticePaid)
					f.wantReceipts(t, n, gateway.AnomalyCancelled)
				},
				"OK in time, paid elsewhere": func(t *testing.T, n gateway.Notice) {
					tok := f.take(t, n)
					f.Settle(n, "")
					want(t, f.post(t, paid(version, tok)), "OK")
					f.wantReceipts(t, n, gateway.AnomalyNone, gateway.AnomalyDouble)
				},
			} {
				t.Run(fmt.Sprintf("%s/V%d", name, version), func(t *testing.T) { test(t, f.Issue()) })
			}
		}
		t.Run("OK in time, past the last day", func(t *testing.T) {
			// 23:50 of the last day in Rome; ten minutes past midnight.
			n := f.Issue(func(n *gateway.NewNotice) { n.DueDate = gateway.DateIn(f.Now().AddDate(0, 0, 1)).String() })
			f.Time.Advance(n.DueDate.Deadline().Add(-10 * time.Minute).Sub(f.Now()))
			tok := f.take(t, n)
			f.Time.Advance(20 * time.Minute)
			want(t, f.post(t, paid(2, tok)), "OK")
			f.wantState(t, n, gateway.NoticePaid)
			f.wantReceipts(t, n, gateway.AnomalyExpired)
		})
	})
}

// Up to five tokens are closed together, of any schools; one that is unknown
// and nothing is done.
func TestSeveralTokens(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		for count := 1; count <= 5; count++ {
			t.Run(fmt.Sprint(count), func(t *testing.T) {
				var notices []gateway.Notice
				var tokens []string
				for i := range count {
					school := gatewaytest.SchoolCode
					if i%2 == 1 {
						school = f.postal.Code
					}
					notices = append(notices, f.IssueAt(school))
					tokens = append(tokens, f.take(t, notices[i]))
				}
				for name, bad := range map[string][]string{
					"unknown first": append([]string{"unknown"}, tokens[1:]...),
					"unknown last":  append(slices.Clone(tokens[:count-1]), "unknown"),
				} {
					want(t, f.post(t, paid(2, bad...)), "PPT_TOKEN_SCONOSCIUTO")
					for _, n := range notices {
						if f.State(n) != gateway.NoticeOpen {
							t.Errorf("%s: notice %s is %s", name, n.Number, f.State(n))
						}
						f.wantReceipts(t, n)
					}
				}
				slices.Reverse(tokens) // not in the order of the numbers
				want(t, f.post(t, paid(2, tokens...)), "OK")
				for _, n := range notices {
					f.wantState(t, n, gateway.NoticePaid)
					f.wantReceipts(t, n, gateway.AnomalyNone)
				}
				body := f.post(t, paid(2, tokens...))
				want(t, body, "PPT_ESITO_GIA_ACQUISITO")
				wantDescription(t, body, "Esito concorde")
			})
		}
		t.Run("a token twice", func(t *testing.T) {
			n := f.Issue()
			tok := f.take(t, n)
			want(t, f.post(t, paid(2, tok, tok)), "PPT_SEMANTICA")
			f.wantReceipts(t, n)
		})
		t.Run("two tokens of one notice", func(t *testing.T) {
			n := f.Issue()
			late := f.take(t, n)
			f.Time.Advance(gateway.MaxTokenLife)
			want(t, f.post(t, paid(2, late, f.take(t, n))), "PPT_PAGAMENTO_DUPLICATO")
			f.wantState(t, n, gateway.NoticePaid)
			if list := f.receipts(t, n); len(list) != 2 {
				t.Errorf("%d receipts, want 2", len(list))
			}
		})
		t.Run("one late, one in time", func(t *testing.T) {
			a, b := f.Issue(), f.Issue()
			late := f.take(t, a)
			f.Time.Advance(gateway.MaxTokenLife)
			want(t, f.post(t, paid(2, late, f.take(t, b))), "PPT_TOKEN_SCADUTO")
			f.wantReceipts(t, a, gateway.AnomalyLate)
			f.wantReceipts(t, b, gateway.AnomalyNone)
		})
	})
}

// received gives all receipts of a school for a token, whatever their role.
func (f *face) received(t *testing.T, school gateway.SchoolCode, tok string) (found []gateway.Receipt) {
	t.Helper()
	list, err := f.Receipts(ctx, school, gateway.ReceiptFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Content.ID == tok {
			if r, err = f.Receipt(ctx, school, r.ID); err != nil {
				t.Fatal(err)
			}
			found = append(found, r)
		}
	}
	return found
}

// wantRaw wants the bytes kept to be what the receipt says, and adds them to
// the answers to validate.
func (f *face) wantRaw(t *testing.T, r gateway.Receipt) {
	t.Helper()
	got, err := receiptsxml.Parse(r.Raw)
	if err != nil {
		t.Fatalf("the receipt's own bytes: %v\n%s", err, r.Raw)
	}
	if got.Content() != r.Content.Content() || got.PaymentNote != r.Content.PaymentNote {
		t.Errorf("the bytes say\n%+v\nthe receipt\n%+v", got, r.Content)
	}
	f.answers = append(f.answers, string(r.Raw))
}

func (f *face) metric(t *testing.T, channel, anomaly string) float64 {
	t.Helper()
	families, err := f.Reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if family.GetName() == "nodogate_receipts_total" && labels["channel"] == channel && labels["anomaly"] == anomaly {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no receipts_total for %s %s", channel, anomaly)
	return 0
}

// The receipts that we issue.
func TestReceipts(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		for _, version := range []int{1, 2} {
			t.Run(fmt.Sprint("V", version), func(t *testing.T) {
				n := f.Issue(func(n *gateway.NewNotice) {
					n.Description, n.Amount = `Gita <3B> & "visita"`, 10000
					n.Transfers = []gateway.NewTransfer{
						{Amount: 5000}, {Amount: 3000, School: string(f.postal.Code), IBAN: postalIBAN},
						{Amount: 2000, School: "97735020584", IBAN: "IT50H0100003245142300316570"},
					}
				})
				before := f.metric(t, "psp", "none")
				ask := activation(version, n, "")
				ask.note = "cart-1"
				tok := token(t, f.post(t, ask))
				f.Time.Advance(time.Minute)
				say := paid(version, tok)
				if version == 2 {
					say.details = strings.Replace(say.details, "</fee>", "</fee><primaryCiIncurredFee>0.50</primaryCiIncurredFee><idBundle>b1</idBundle><idCiBundle>b2</idCiBundle>", 1)
				}
				want(t, f.post(t, say), "OK")

				own := f.received(t, n.School, tok)
				if len(own) != 1 || own[0].Role != gateway.RoleCreditor || !own[0].Settles || own[0].Channel != gateway.ChannelPSP || own[0].Notice != n.Number {
					t.Fatalf("the creditor has %+v", own)
				}
				c := own[0].Content
				if c.ID != tok || c.Creditor != string(n.School) || c.CreditorReferenceID != n.Number.IUV() || c.Amount != 10000 || c.Description != n.Description ||
					c.PSP.ID != "ABI00001" || c.PSP.Name != "Banca Uno" || c.PSP.Channel != "97735020584_01" || c.ChannelDescription != "app" || c.Method != "creditCard" ||
					*c.Fee != 100 || c.Payer == nil || c.Payer.FullName != "Mario & Rossi" || c.PaymentNote != "cart-1" || !c.PaidAt.Equal(f.Now()) ||
					c.ApplicationDate != "2026-11-23" || c.TransferDate != "2026-11-24" || c.Debtor.ID != string(gatewaytest.PupilCode) || len(c.Transfers) != 3 {
					t.Errorf("receipt %+v", c)
				}
				if version == 2 && (c.CreditorFee == nil || *c.CreditorFee != 50 || c.Bundle != "b1" || c.CIBundle != "b2") {
					t.Errorf("fee %v, bundles %q %q", c.CreditorFee, c.Bundle, c.CIBundle)
				}
				f.wantRaw(t, own[0])
				other := f.received(t, f.postal.Code, tok)
				if len(other) != 1 || other[0].Role != gateway.RoleBeneficiary || other[0].Settles || other[0].Anomaly != gateway.AnomalyNone || !other[0].Notice.IsZero() {
					t.Fatalf("the beneficiary has %+v", other)
				}
				if !strings.Contains(string(other[0].Raw), "<idPA>"+string(f.postal.Code)+"</idPA>") {
					t.Error("the beneficiary's copy is not addressed to it")
				}
				f.wantRaw(t, other[0])
				if got := f.metric(t, "psp", "none"); got != before+2 {
					t.Errorf("receipts_total %v, want %v", got, before+2)
				}
				f.wantState(t, n, gateway.NoticePaid)
			})
		}
		t.Run("the least a PSP may say", func(t *testing.T) {
			n := f.Issue()
			tok := f.take(t, n)
			say := paid(1, tok)
			say.details = "<paymentMethod>cash</paymentMethod><fee>0.00</fee><applicationDate>2026-11-23Z</applicationDate><transferDate> 2026-11-24+01:00 </transferDate>"
			want(t, f.post(t, say), "OK")
			f.wantRaw(t, f.wantReceipts(t, n, gateway.AnomalyNone)[0])
		})
		t.Run("late ones are counted by their anomaly", func(t *testing.T) {
			before := f.metric(t, "psp", "late_outcome")
			n := f.Issue()
			tok := f.take(t, n)
			f.Time.Advance(gateway.MaxTokenLife)
			want(t, f.post(t, paid(1, tok)), "PPT_TOKEN_SCADUTO")
			f.wantRaw(t, f.wantReceipts(t, n, gateway.AnomalyLate)[0])
			if got := f.metric(t, "psp", "late_outcome"); got != before+1 {
				t.Errorf("receipts_total %v, want %v", got, before+1)
			}
		})
		t.Run("what was asked is what is paid", func(t *testing.T) {
			// The receipt has the transfers of the token, not of a notice that the
			// school changed when the token was over.
			n := f.Issue()
			tok := f.take(t, n)
			f.Time.Advance(gateway.MaxTokenLife)
			if err := f.Store.Update(ctx, func(tx gateway.Tx) error {
				changed, err := tx.LockNotice(n.School, n.Number)
				changed.PastAmounts, changed.Amount = []money.Cents{changed.Amount}, 2000
				changed.Transfers[0].Amount = 2000
				changed.Version++
				if err == nil {
					err = tx.SaveNotice(changed)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			want(t, f.post(t, paid(2, tok)), "PPT_TOKEN_SCADUTO")
			list := f.wantReceipts(t, n, gateway.AnomalyAmount)
			if c := list[0].Content; c.Amount != 1650 || c.Transfers[0].Amount != 1650 {
				t.Errorf("receipt %+v", c)
			}
			f.wantRaw(t, list[0])
		})
	})
}

// Revenue stamps: asked for in V2 only, and bought in V2 only.
func TestStamps(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		issue := func() gateway.Notice {
			return f.Issue(func(n *gateway.NewNotice) {
				n.Amount = 3250
				n.Transfers = []gateway.NewTransfer{{Amount: 1650}, {Amount: 1600, Stamp: &gateway.Stamp{Hash: "ERERERERERERERERERERERERERERERERERERERERERE=", Province: "GR"}}}
			})
		}
		stamp := func(tok string, transfer int, attachment string) string {
			return fmt.Sprintf("<marcaDaBollo><paymentToken>%s</paymentToken><idTransfer>%d</idTransfer><MBDAttachment>%s</MBDAttachment></marcaDaBollo>", tok, transfer, attachment)
		}
		with := func(o outcome, stamps ...string) outcome {
			o.details += element("marcheDaBollo", strings.Join(stamps, ""))
			return o
		}
		n := issue()
		for name, ask := range map[string]string{
			"V1": "paGetPaymentReq", "V2": "paGetPaymentV2Request",
		} {
			t.Run("paGetPayment "+name, func(t *testing.T) {
				body := f.ask(t, pafornode.Path, creditorRoot(ask, toSchool+qrCode(string(n.School), n.Number.String())))
				if name == "V1" {
					want(t, body, "PAA_SEMANTICA")
					return
				}
				want(t, body, "OK")
				if !strings.Contains(body, "<richiestaMarcaDaBollo><hashDocumento>ERERERERERERERERERERERERERERERERERERERERERE=</hashDocumento><tipoBollo>01</tipoBollo><provinciaResidenza>GR</provinciaResidenza></richiestaMarcaDaBollo>") {
					t.Errorf("no stamp asked for: %s", body)
				}
			})
		}
		want(t, f.post(t, activation(1, n, "")), "PPT_SEMANTICA")
		body := f.post(t, activation(2, n, ""))
		tok := token(t, body)
		if !strings.Contains(body, "<richiestaMarcaDaBollo>") {
			t.Errorf("no stamp asked for: %s", body)
		}
		// The state is told before the version.
		want(t, f.post(t, activation(1, n, "")), "PPT_PAGAMENTO_IN_CORSO")

		const attachment = "PG1hcmNhLz4="
		for name, say := range map[string]outcome{
			"none":             paid(2, tok),
			"none, V1":         paid(1, tok),
			"empty":            with(paid(2, tok), stamp(tok, 2, "")),
			"another transfer": with(paid(2, tok), stamp(tok, 1, attachment)),
			"another token":    with(paid(2, tok), stamp("c110729d258c4ab1b765fe902aae41d6", 2, attachment)),
			"one too many":     with(paid(2, tok), stamp(tok, 2, attachment), stamp(tok, 3, attachment)),
		} {
			t.Run("stamps: "+name, func(t *testing.T) {
				want(t, f.post(t, say), "PPT_SEMANTICA")
				f.wantReceipts(t, n)
			})
		}
		say := with(paid(2, tok), stamp(tok, 2, "PG1h\n cmNhLz4="))
		want(t, f.post(t, say), "OK")
		list := f.wantReceipts(t, n, gateway.AnomalyNone)
		if tr := list[0].Content.Transfers[1]; tr.Stamp != attachment || tr.IBAN != "" {
			t.Errorf("transfer %+v", tr)
		}
		if !strings.Contains(string(list[0].Raw), "<MBDAttachment>"+attachment+"</MBDAttachment>") {
			t.Errorf("no stamp in %s", list[0].Raw)
		}
		f.wantRaw(t, list[0])
		want(t, f.post(t, say), "PPT_ESITO_GIA_ACQUISITO")
		plain := f.Issue()
		tok = f.take(t, plain)
		want(t, f.post(t, with(paid(2, tok), stamp(tok, 1, attachment))), "PPT_SEMANTICA")
		// A KO needs none.
		want(t, f.post(t, failed(1, token(t, f.post(t, activation(2, issue(), ""))))), "OK")
	})
}

const (
	toSchool = "<idPA>80014480828</idPA><idBrokerPA>80014480828</idBrokerPA><idStation>80014480828_01</idStation>"
	toPostal = "<idPA>80015010723</idPA><idBrokerPA>80015010723</idBrokerPA><idStation>80015010723_01</idStation>"
)

func creditorRoot(name, content string) text {
	return text(`<m:` + name + ` xmlns:m="http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd">` + content + `</m:` + name + `>`)
}

// sendRT is the receipt of a paSendRT or paSendRTV2 that pays the notice.
func sendRT(version int, n gateway.Notice, id string) string {
	r := pagopa.Receipt{
		ID: id, NoticeNumber: n.Number.String(), CreditorCode: string(n.School), Outcome: "OK", CreditorReferenceID: n.Number.IUV(), Amount: n.Amount,
		Description: "Viaggio", CompanyName: "Liceo", Debtor: pagopa.Subject{Type: "F", ID: "RSSMRA80A01H501U", FullName: "Mario Rossi"},
		PSPID: "ABI00001", PSPName: "Banca Uno", Channel: "97735020584_01", ChannelDescription: "app", PaidAt: "2026-11-23T09:00:30", TransferDate: "2026-11-24",
	}
	for _, tr := range n.Transfers {
		out := pagopa.Transfer{ID: tr.ID, Amount: tr.Amount, Creditor: string(tr.School), IBAN: string(tr.IBAN), Remittance: tr.Remittance, Category: tr.Taxonomy}
		if tr.Stamp != nil {
			out.Stamp = "YQ=="
		}
		r.Transfers = append(r.Transfers, out)
	}
	request := string(pagopa.SendRTRequest{Version: version, Receipt: r}.Append(nil))
	return request[strings.Index(request, "<receipt>"):strings.LastIndex(request, "</")]
}

// While a token lives nobody else can pay the notice, and the school cannot
// take it back.
func TestKeptApart(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		n := f.Issue()
		tok := f.take(t, n)
		questions := map[string]text{}
		for _, name := range []string{"paVerifyPaymentNoticeReq", "paGetPaymentReq", "paGetPaymentV2Request"} {
			questions[name] = creditorRoot(name, toSchool+qrCode(string(n.School), n.Number.String()))
		}
		pay := func(key string) error {
			_, err := f.Pay(ctx, gateway.PayRequest{Key: key, Notices: []gateway.NoticeRef{{School: n.School, Number: n.Number}}, Method: gateway.MethodCard, Actor: gatewaytest.Operator})
			return err
		}
		for name, q := range questions {
			if body := f.ask(t, pafornode.Path, q); code(t, body) != "PAA_PAGAMENTO_IN_CORSO" {
				t.Errorf("%s: %s", name, body)
			}
		}
		if err := pay("a"); !errors.Is(err, gateway.ErrInProgress) {
			t.Errorf("Pay = %v", err)
		}
		if _, err := f.Cancel(ctx, gatewaytest.Operator, n.School, n.Number); !errors.Is(err, gateway.ErrInProgress) {
			t.Errorf("Cancel = %v", err)
		}
		if len(f.PSPs.Orders()) != 0 {
			t.Error("a payment was opened")
		}
		// The token's time is over: before anything has noted it, all is free.
		f.Time.Advance(gateway.MaxTokenLife)
		for name, q := range questions {
			if body := f.ask(t, pafornode.Path, q); code(t, body) != "OK" {
				t.Errorf("%s: %s", name, body)
			}
		}
		if err := pay("b"); err != nil {
			t.Errorf("Pay = %v", err)
		}
		want(t, f.post(t, failed(2, tok)), "PPT_TOKEN_SCADUTO_KO")
		gone := f.Issue()
		f.take(t, gone)
		f.Time.Advance(gateway.MaxTokenLife)
		if _, err := f.Cancel(ctx, gatewaytest.Operator, gone.School, gone.Number); err != nil {
			t.Errorf("Cancel = %v", err)
		}
	})
}

// A payment that began on our pages and was paid at a linked PSP ends there.
func TestPaymentNoteNamesTheCart(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		n := f.Issue()
		cart, err := f.Pay(ctx, gateway.PayRequest{Key: "k", Notices: []gateway.NoticeRef{{School: n.School, Number: n.Number}}, Method: gateway.MethodCard, Actor: gatewaytest.Operator})
		if err != nil {
			t.Fatal(err)
		}
		ask := activation(2, n, "")
		ask.note = cart.ID
		want(t, f.post(t, paid(2, token(t, f.post(t, ask)))), "OK")
		if cart, err = f.Cart(ctx, cart.ID); err != nil || cart.State != gateway.CartClosedOK {
			t.Errorf("cart %+v, %v", cart, err)
		}
	})
}

// What is no message of this face.
func TestNoMessage(t *testing.T) {
	g := gatewaytest.New(t)
	f := newFace(t, g)
	n := g.Issue()
	good := envelope(verify(one, string(n.School), n.Number.String()).String())
	for _, tc := range []struct {
		name, body string
		change     func(*http.Request)
		want       int
	}{
		{"good", good, nil, 200},
		{"another prefix", strings.ReplaceAll(good, "m:", "x:"), nil, 400}, // undeclared
		{"another prefix, declared", strings.ReplaceAll(strings.ReplaceAll(good, "<m:", "<x:"), "xmlns:m", "xmlns:x"), nil, 400},
		{"default namespace", envelope(`<verifyPaymentNoticeReq xmlns="http://pagopa-api.pagopa.gov.it/node/nodeForPsp.xsd"/>`), nil, 200},
		{"byte order mark", "\ufeff" + good, nil, 200},
		{"quoted action", good, func(r *http.Request) { r.Header.Set("SOAPAction", `"verifyPaymentNotice"`) }, 200},
		{"bare action", good, func(r *http.Request) { r.Header.Set("SOAPAction", `verifyPaymentNotice`) }, 200},
		{"empty action", good, func(r *http.Request) { r.Header.Set("SOAPAction", `""`) }, 200},
		{"other action", good, func(r *http.Request) { r.Header.Set("SOAPAction", "activatePaymentNotice") }, 400},
		{"empty", "", nil, 400},
		{"cut", good[:300], nil, 400},
		{"two bodies", strings.Replace(good, "</soapenv:Body>", "</soapenv:Body><soapenv:Body/>", 1), nil, 400},
		{"two operations", envelope(verify(one, "1", "2").String() + verify(one, "1", "2").String()), nil, 400},
		{"an operation of the other face", envelope(`<m:paVerifyPaymentNoticeReq xmlns:m="http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd"/>`), nil, 400},
		{"an operation for reporting", envelope(`<m:nodoInviaFlussoRendicontazioneRequest xmlns:m="http://pagopa-api.pagopa.gov.it/node/nodeForPsp.xsd"/>`), nil, 400},
		{"the other namespace", strings.Replace(good, "node/nodeForPsp.xsd", "pa/paForNode.xsd", 1), nil, 400},
		{"DOCTYPE", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + good, nil, 400},
		{"another encoding", `<?xml version="1.0" encoding="UTF-16"?>` + good, nil, 400},
		{"GET", good, func(r *http.Request) { r.Method = http.MethodGet }, 405},
		{"JSON", good, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 415},
		{"gzip", good, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415},
		{"too large", strings.Replace(good, "<soapenv:Body>", "<soapenv:Body>"+strings.Repeat(" ", 257<<10), 1), nil, 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body := f.raw(t, nodeforpsp.Path, tc.body, tc.change)
			if status != tc.want {
				t.Errorf("status %d, want %d: %s", status, tc.want, body)
			}
			if status == 400 && !strings.Contains(body, "<faultcode>soapenv:Client</faultcode>") || status > 400 && body != "" {
				t.Errorf("answer %q", body)
			}
		})
	}
	validate(t, f.answers)
}

// A demand makes a notice of an open contribution, which can be activated then.
func TestDemand(t *testing.T) {
	each(t, func(t *testing.T, f *face) {
		open := func(due string) string {
			c, err := f.OpenContribution(ctx, gatewaytest.Operator, f.postal.Code, gateway.NewContribution{
				Description: "Contributo per i laboratori", Amount: 5000, Min: 1000, Free: true, DueDate: due,
			})
			if err != nil {
				t.Fatal(err)
			}
			return c.Service
		}
		service, over := open("2026-12-31"), open("2026-11-22")
		giver := func(code, amount string) string {
			return "<contributoVolontario>" + element("codiceFiscale", code) + "<nominativo>Mario Rossi</nominativo>" + element("importo", amount) + "</contributoVolontario>"
		}
		const mario, creditor = "RSSMRA80A01H501U", "PPT_ERRORE_EMESSO_DA_PAA/"
		for _, tc := range []struct{ name, service, data, want string }{
			{"data that are none", service, "a", "PPT_SINTASSI_EXTRAXSD"},
			{"data of another service", service, "<altro/>", "PPT_SINTASSI_EXTRAXSD"},
			{"data with a DOCTYPE", service, "<!DOCTYPE x>" + giver(mario, ""), "PPT_SINTASSI_EXTRAXSD"},
			{"an exponent", service, giver(mario, "5e1"), "PPT_SINTASSI_EXTRAXSD"},
			{"unknown service", "ZZZZZ", giver(mario, ""), "PPT_SEMANTICA"},
			{"over", over, giver(mario, ""), creditor + "PAA_PAGAMENTO_SCADUTO"},
			{"under the least", service, giver(mario, "9.99"), "PPT_SEMANTICA"},
			{"a wrong fiscal code", service, giver("RSSMRA80A01H501X", ""), "PPT_SEMANTICA"},
			{"the amount asked", service, giver(mario, ""), "OK"},
			{"a free amount", service, giver("ANONIMO", "12.34"), "OK"},
		} {
			t.Run(tc.name, func(t *testing.T) { want(t, f.post(t, demand(one, tc.service, tc.data)), tc.want) })
		}
		body := f.post(t, demand(one, service, giver(mario, "20.00")))
		want(t, body, "OK")
		found := regexp.MustCompile(`<noticeNumber>([0-9]{18})</noticeNumber>`).FindStringSubmatch(body)
		if found == nil || !strings.Contains(body, "<fiscalCode>"+string(f.postal.Code)+"</fiscalCode>") || !strings.Contains(body, "<amount>20.00</amount>") {
			t.Fatalf("answer %s", body)
		}
		if again := f.post(t, demand(two, service, giver(mario, "20.00"))); again != body {
			t.Errorf("the same demand again:\n%s\nwant\n%s", again, body)
		}
		n, err := f.Notice(ctx, f.postal.Code, gatewaytest.Number(t, found[1]))
		if err != nil {
			t.Fatal(err)
		}
		want(t, f.post(t, paid(2, f.take(t, n))), "OK")
		f.wantState(t, n, gateway.NoticePaid)
	})
}

// A database that is away: every operation is KO PPT_SYSTEM_ERROR.
func TestDatabaseAway(t *testing.T) {
	g := gatewaytest.New(t)
	n := g.Issue()
	server := httptest.NewServer(faces(g.Broken(), nodeforpsp.Config{Duration: soap.NewDuration(g.Reg)}))
	defer server.Close()
	f := &face{Gateway: g, url: server.URL}
	noNumber := activation(1, n, "")
	noNumber.number = "901202600000004244"
	for name, ask := range map[string]fmt.Stringer{
		"verify": verify(one, string(n.School), n.Number.String()), "bollettino": bollettino(one, postalAccount, n.Number.String()),
		"activate V1": activation(1, n, key(1)), "activate V2": activation(2, n, ""), "activate no number": noNumber,
		"outcome V1": paid(1, "token"), "outcome V2": failed(2, "token").by(key(2)),
		"demand": demand(one, "00001", "<contributoVolontario><codiceFiscale>ANONIMO</codiceFiscale><nominativo>x</nominativo></contributoVolontario>"),
	} {
		t.Run(name, func(t *testing.T) { want(t, f.post(t, ask), "PPT_SYSTEM_ERROR") })
	}
	validate(t, f.answers)
}

// The answers are stable to the byte; but the token, which is drawn.
func TestGolden(t *testing.T) {
	g := gatewaytest.New(t)
	f := newFace(t, g)
	g.IssueAt(f.postal.Code, func(n *gateway.NewNotice) {
		n.Number, n.Description, n.Amount = "301202600000004244", `Gita <3B> & "visita"`, 10000
		n.Transfers = []gateway.NewTransfer{{Amount: 6000}, {Amount: 4000, School: "97735020584", IBAN: "IT50H0100003245142300316570"}}
	})
	ask := activate{version: 1, head: one, school: string(f.postal.Code), number: "301202600000004244", amount: "100.00", note: "cart-1"}
	answers := map[string]string{
		"verify":      f.post(t, verify(one, ask.school, ask.number)),
		"bollettino":  f.post(t, bollettino(one, postalAccount, ask.number)),
		"activate-v1": f.post(t, ask),
	}
	tok := token(t, answers["activate-v1"])
	answers["in-progress"] = f.post(t, ask)
	answers["outcome"] = f.post(t, failed(1, tok))
	answers["outcome-same"] = f.post(t, failed(1, tok))
	ask.version = 2
	answers["activate-v2"] = f.post(t, ask)
	answers["creditor"] = f.post(t, verify(one, ask.school, "301202600000004345"))
	answers["unknown-token"] = f.post(t, paid(2, "unknown"))
	for name, body := range answers {
		body = paymentToken.ReplaceAllString(body, "<paymentToken>TOKEN</paymentToken>")
		file := filepath.Join("testdata", name+".xml")
		if *update {
			if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		wanted, err := os.ReadFile(file)
		if err != nil || string(wanted) != body {
			t.Errorf("%s: the answer is\n%s\nwant\n%s (%v)", name, body, wanted, err)
		}
	}
	validate(t, f.answers)
}

// official is a file of the official schemas, which are no part of the project.
func official(t testing.TB, name ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	file := filepath.Join(append([]string{dir, "..", "shared", "pagopa"}, name...)...)
	if _, err := os.Stat(file); err != nil {
		missing(t, "the official schemas are missing: %v", err)
	}
	return file
}

// missing skips a test that lacks something, or fails it where all must be
// there.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

var bodyContent = regexp.MustCompile(`(?s)<soapenv:Body>(.*)</soapenv:Body>`)

// validate proves messages against the official schemas, those of production
// and of the specification that comes.
func validate(t testing.TB, messages []string) {
	t.Helper()
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		missing(t, "xmllint is missing: %v", err)
	}
	dir := t.TempDir()
	files := map[string][]string{}
	seen := map[string]bool{}
	for i, m := range messages {
		content := bodyContent.FindStringSubmatch(m)
		if content == nil || strings.Contains(content[1], "<soapenv:Fault>") || seen[content[1]] {
			continue
		}
		seen[content[1]] = true
		file := filepath.Join(dir, fmt.Sprintf("%d.xml", i))
		if err := os.WriteFile(file, []byte(content[1]), 0o644); err != nil {
			t.Fatal(err)
		}
		schema := "nodeForPsp.xsd"
		if strings.Contains(content[1], "paForNode.xsd") {
			schema = "paForNode.xsd"
		}
		files[schema] = append(files[schema], file)
	}
	if len(files["nodeForPsp.xsd"]) == 0 {
		t.Fatal("no answer to validate")
	}
	for schema, list := range files {
		for _, version := range []string{"pagopa-api", "pagopa-api-SANP3.13.0"} {
			xsd := official(t, version, "wsdl", "xsd", schema)
			for part := range slices.Chunk(list, 500) {
				args := append([]string{"--nonet", "--noout", "--schema", xsd}, part...)
				if out, err := exec.Command(xmllint, args...).CombinedOutput(); err != nil {
					t.Errorf("xmllint %s: %v\n%s", xsd, err, out)
				}
			}
		}
	}
}
