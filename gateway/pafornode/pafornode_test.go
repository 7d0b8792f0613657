// SPDX-License-Identifier: Apache-2.0

package pafornode_test

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// face is a running creditor face, and every answer it gave.
type face struct {
	*gatewaytest.Gateway
	url string

	mu      sync.Mutex
	answers []string
}

func newFace(t *testing.T, g *gatewaytest.Gateway) *face {
	server := httptest.NewServer(pafornode.New(pafornode.Config{Service: g.Service, Duration: soap.NewDuration(g.Reg)}))
	t.Cleanup(server.Close)
	return &face{Gateway: g, url: server.URL + pafornode.Path}
}

// post sends one operation's element in an envelope, as the node writes it.
func (f *face) post(t *testing.T, element string) (status int, body string) {
	t.Helper()
	return f.raw(t, `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Header/><soapenv:Body>`+element+`</soapenv:Body></soapenv:Envelope>`, nil)
}

func (f *face) raw(t *testing.T, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.url, strings.NewReader(body))
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
	if resp.StatusCode >= 500 {
		t.Errorf("status %d", resp.StatusCode)
	}
	f.mu.Lock()
	f.answers = append(f.answers, string(b))
	f.mu.Unlock()
	return resp.StatusCode, string(b)
}

const ns = `xmlns:m="http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd"`

func head(pa, broker, station string) string {
	return "<idPA>" + pa + "</idPA><idBrokerPA>" + broker + "</idBrokerPA><idStation>" + station + "</idStation>"
}

var ours = head("80014480828", "80014480828", "80014480828_01")

func verify(to, creditor, number string) string {
	return `<m:paVerifyPaymentNoticeReq ` + ns + `>` + to + `<qrCode><fiscalCode>` + creditor + `</fiscalCode><noticeNumber>` + number + `</noticeNumber></qrCode></m:paVerifyPaymentNoticeReq>`
}

func get(root, to, number, more string) string {
	return `<m:` + root + ` ` + ns + `>` + to + `<qrCode><fiscalCode>80014480828</fiscalCode><noticeNumber>` + number + `</noticeNumber></qrCode>` + more + `</m:` + root + `>`
}

// receipt writes a paSendRT(V2) with what the table varies.
type receipt struct {
	root, to, id, number, iuv, creditor, outcome, amount, transfers string
}

func receiptOf(n gateway.Notice, id string) receipt {
	return receipt{"paSendRTV2Request", ours, id, n.Number.String(), n.Number.IUV(), string(n.School), "OK", n.Amount.String(), transfer(1, n.Amount.String())}
}

func transfer(id int, amount string) string {
	return fmt.Sprintf(`<transfer><idTransfer>%d</idTransfer><transferAmount>%s</transferAmount><fiscalCodePA>80014480828</fiscalCodePA><IBAN>IT60X0542811101000000123456</IBAN><remittanceInformation>/RFB/x</remittanceInformation><transferCategory>9/0801100AP/</transferCategory></transfer>`, id, amount)
}

func (r receipt) String() string {
	return `<m:` + r.root + ` ` + ns + `>` + r.to + `<receipt><receiptId>` + r.id + `</receiptId><noticeNumber>` + r.number + `</noticeNumber><fiscalCode>` + r.creditor + `</fiscalCode><outcome>` + r.outcome + `</outcome><creditorReferenceId>` + r.iuv + `</creditorReferenceId><paymentAmount>` + r.amount + `</paymentAmount><description>Viaggio</description><companyName>IC 6 Grosseto</companyName>` +
		`<debtor><uniqueIdentifier><entityUniqueIdentifierType>F</entityUniqueIdentifierType><entityUniqueIdentifierValue>RSSMRA10A41H501F</entityUniqueIdentifierValue></uniqueIdentifier><fullName>Maria Rossi</fullName></debtor>` +
		`<transferList>` + r.transfers + `</transferList><idPSP>BANCAUNO</idPSP><PSPCompanyName>Banca Uno</PSPCompanyName><idChannel>97735020584_01</idChannel><channelDescription>app</channelDescription><paymentMethod>creditCard</paymentMethod><fee>1.00</fee><paymentDateTime>2026-11-23T09:00:30</paymentDateTime><applicationDate>2026-11-23</applicationDate><transferDate>2026-11-24</transferDate></receipt></m:` + r.root + `>`
}

var faultCode = regexp.MustCompile(`<faultCode>([A-Z_]+)</faultCode>`)

// wantKO checks that an answer is 200 with this code, raised by id.
func wantKO(t *testing.T, status int, body, code string) {
	t.Helper()
	got := faultCode.FindStringSubmatch(body)
	if status != 200 || got == nil || got[1] != code || !strings.Contains(body, "<outcome>KO</outcome>") {
		t.Errorf("status %d, answer %s; want KO %s", status, body, code)
	}
}

func wantOK(t *testing.T, status int, body string) {
	t.Helper()
	if status != 200 || !strings.Contains(body, "<outcome>OK</outcome>") || strings.Contains(body, "<fault>") {
		t.Errorf("status %d, answer %s; want OK", status, body)
	}
}

// Fault codes of verify and get, and the order of the checks: configuration,
// then existence, then state.
func TestAsking(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		f := newFace(t, g)
		open, paid, gone := g.Issue(), g.Issue(), g.Issue()
		late := g.Issue(func(n *gateway.NewNotice) { n.DueDate = "2026-11-22" })
		lastDay := g.Issue(func(n *gateway.NewNotice) { n.DueDate = "2026-11-23" })
		stillPayable := g.Issue(func(n *gateway.NewNotice) { n.DueDate, n.PayableAfterDue = "2026-11-22", true })
		g.Settle(paid, "")
		if _, err := g.Cancel(context.Background(), gatewaytest.Operator, gone.School, gone.Number); err != nil {
			t.Fatal(err)
		}
		held := g.Issue()
		r := gatewaytest.Receipt(held, "rt-held")
		r.Amount, r.Transfers[0].Amount = 1, 1
		if _, err := g.Deliver(r); err != nil {
			t.Fatal(err)
		}
		other := g.AddSchool(gatewaytest.OtherCode, "Liceo Galilei")

		for _, tc := range []struct{ name, to, number, want string }{
			{"open", ours, open.Number.String(), ""},
			{"last day", ours, lastDay.Number.String(), ""},
			{"payable after due", ours, stillPayable.Number.String(), ""},
			{"unknown", ours, "301202600000004244", "PAA_PAGAMENTO_SCONOSCIUTO"},
			{"no notice number at all", ours, "901202600000004244", "PAA_PAGAMENTO_SCONOSCIUTO"},
			{"paid", ours, paid.Number.String(), "PAA_PAGAMENTO_DUPLICATO"},
			{"cancelled", ours, gone.Number.String(), "PAA_PAGAMENTO_ANNULLATO"},
			{"expired", ours, late.Number.String(), "PAA_PAGAMENTO_SCADUTO"},
			{"held", ours, held.Number.String(), "PAA_SEMANTICA"},
			{"school not ours", head("97735020584", "80014480828", "80014480828_01"), open.Number.String(), "PAA_ID_DOMINIO_ERRATO"},
			{"broker not ours", head("80014480828", "97735020584", "80014480828_01"), open.Number.String(), "PAA_ID_INTERMEDIARIO_ERRATO"},
			{"station not ours", head("80014480828", "80014480828", "80014480828_02"), open.Number.String(), "PAA_STAZIONE_INT_ERRATA"},
			{"another school's station", head("80014480828", other.Broker, other.Station), open.Number.String(), "PAA_STAZIONE_INT_ERRATA"},
			{"station wrong before number unknown", head("80014480828", "80014480828", "80014480828_02"), "301202600000004244", "PAA_STAZIONE_INT_ERRATA"},
		} {
			for operation, element := range map[string]string{
				"verify": verify(tc.to, "80014480828", tc.number),
				"get V1": get("paGetPaymentReq", tc.to, tc.number, ""),
				"get V2": get("paGetPaymentV2Request", tc.to, tc.number, "<amount>1.00</amount><paymentNote>cart</paymentNote><transferType>PAGOPA</transferType><dueDate>2026-12-31</dueDate>"),
			} {
				t.Run(tc.name+"/"+operation, func(t *testing.T) {
					status, body := f.post(t, element)
					if tc.want == "" {
						wantOK(t, status, body)
					} else {
						wantKO(t, status, body, tc.want)
					}
				})
			}
		}
		t.Run("creditor of the QR code is not the school", func(t *testing.T) {
			status, body := f.post(t, verify(ours, "97735020584", open.Number.String()))
			wantKO(t, status, body, "PAA_ID_DOMINIO_ERRATO")
		})
		t.Run("a postal account beside the school's own", func(t *testing.T) {
			const postal = "IT45R0760103200000000001016"
			if _, _, err := g.Service.AddSchool(context.Background(), gatewaytest.Operator, gateway.NewSchool{
				Code: "97735020584", Name: "Scuola con conto postale", IBAN: gatewaytest.IBAN, Segregation: "02",
				PostalAccount: "1016", PostalIBAN: postal, PostalHolder: "Scuola", PostalAuth: "AUT. DB/0000",
			}); err != nil {
				t.Fatal(err)
			}
			n := g.IssueAt("97735020584")
			ask := func(root, kind string) string {
				_, body := f.post(t, strings.Replace(get(root, head("97735020584", "97735020584", "97735020584_01"), n.Number.String(), "<transferType>"+kind+"</transferType>"), "<fiscalCode>80014480828<", "<fiscalCode>97735020584<", 1))
				return body
			}
			if body := ask("paGetPaymentV2Request", "PAGOPA"); !strings.Contains(body, "<IBAN>"+gatewaytest.IBAN+"</IBAN>") || !strings.Contains(body, "<key>IBANAPPOGGIO</key><value>"+postal+"</value>") {
				t.Errorf("PAGOPA: %s", body)
			}
			for _, root := range []string{"paGetPaymentV2Request", "paGetPaymentReq"} {
				if body := ask(root, "POSTAL"); !strings.Contains(body, "<IBAN>"+postal+"</IBAN>") || strings.Contains(body, "IBANAPPOGGIO") {
					t.Errorf("POSTAL: %s", body)
				}
			}
		})
		t.Run("asking changes nothing", func(t *testing.T) {
			n, err := g.Notice(context.Background(), open.School, open.Number)
			if err != nil || n.Version != open.Version || n.Payment != nil {
				t.Errorf("notice %+v, %v", n, err)
			}
		})
		f.validate(t)
	})
}

// A demand makes a notice of an open contribution; the same demand again gives
// the same notice, until it is paid.
func TestDemand(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		f := newFace(t, g)
		open := func(in gateway.NewContribution) gateway.Contribution {
			t.Helper()
			in.Description = "Contributo per i laboratori"
			c, err := g.OpenContribution(context.Background(), gatewaytest.Operator, gatewaytest.SchoolCode, in)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		demand := func(t *testing.T, to, service string, c pagopa.Contribution) (int, string) {
			t.Helper()
			return f.post(t, `<m:paDemandPaymentNoticeRequest `+ns+`>`+to+`<idServizio>00001</idServizio><idSoggettoServizio>`+service+`</idSoggettoServizio><datiSpecificiServizioRequest>`+
				base64.StdEncoding.EncodeToString(c.Append(nil))+`</datiSpecificiServizioRequest></m:paDemandPaymentNoticeRequest>`)
		}
		fixed := open(gateway.NewContribution{Amount: 5000, DueDate: "2026-12-31"})
		free := open(gateway.NewContribution{Amount: 5000, Min: 1000, Free: true, DueDate: "2026-12-31", Deduction: "i-octies"})
		late := open(gateway.NewContribution{Amount: 5000, DueDate: "2026-11-22"})
		giver := pagopa.Contribution{Code: "RSSMRA80A01H501U", Name: "Mario Rossi"}
		with := func(cents money.Cents) pagopa.Contribution { c := giver; c.Amount = &cents; return c }
		number := regexp.MustCompile(`<noticeNumber>([0-9]{18})</noticeNumber>`)

		status, body := demand(t, ours, fixed.Service, giver)
		wantOK(t, status, body)
		first := number.FindStringSubmatch(body)[1]
		n, err := g.Notice(context.Background(), gatewaytest.SchoolCode, gatewaytest.Number(t, first))
		if err != nil || n.Amount != 5000 || n.Debtor.Code != "RSSMRA80A01H501U" || n.Campaign != fixed.ID || n.DueDate.String() != "2026-12-31" {
			t.Errorf("the notice is %+v, %v", n, err)
		}
		if _, again := demand(t, ours, fixed.Service, giver); number.FindStringSubmatch(again)[1] != first {
			t.Error("the same demand again gave another notice")
		}
		var wg sync.WaitGroup
		crowd := giver
		crowd.Name = "Maria Rossi"
		numbers := make(chan string, 8)
		for range cap(numbers) {
			wg.Go(func() {
				_, body := demand(t, ours, fixed.Service, crowd)
				numbers <- number.FindStringSubmatch(body)[1]
			})
		}
		wg.Wait()
		close(numbers)
		one := <-numbers
		for more := range numbers {
			if more != one {
				t.Errorf("the same demand many times at once gave %s and %s", one, more)
			}
		}
		g.Settle(n, "")
		if _, more := demand(t, ours, fixed.Service, giver); number.FindStringSubmatch(more)[1] == first {
			t.Error("a demand after the payment gave the paid notice")
		}
		status, body = demand(t, ours, free.Service, with(1234))
		wantOK(t, status, body)
		if !strings.Contains(body, "<amount>12.34</amount>") {
			t.Errorf("a free amount: %s", body)
		}
		bad := giver
		bad.Code = "RSSMRA80A01H501X"
		for _, tc := range []struct {
			name, to, service string
			data              pagopa.Contribution
			want              string
		}{
			{"another amount than the fixed one", ours, fixed.Service, with(100), "PAA_SEMANTICA"},
			{"under the least", ours, free.Service, with(999), "PAA_SEMANTICA"},
			{"a wrong fiscal code", ours, fixed.Service, bad, "PAA_SEMANTICA"},
			{"over", ours, late.Service, giver, "PAA_PAGAMENTO_SCADUTO"},
			{"unknown service", ours, "ZZZZZ", giver, "PAA_PAGAMENTO_SCONOSCIUTO"},
			{"no data", ours, fixed.Service, pagopa.Contribution{}, "PAA_SINTASSI_EXTRAXSD"},
			{"station not ours", head("80014480828", "80014480828", "80014480828_02"), fixed.Service, giver, "PAA_STAZIONE_INT_ERRATA"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				status, body := demand(t, tc.to, tc.service, tc.data)
				wantKO(t, status, body, tc.want)
			})
		}
		other := g.AddSchool(gatewaytest.OtherCode, "Liceo Galilei")
		t.Run("another school's contribution", func(t *testing.T) {
			status, body := demand(t, head(string(other.Code), other.Broker, other.Station), fixed.Service, giver)
			wantKO(t, status, body, "PAA_PAGAMENTO_SCONOSCIUTO")
		})
		f.validate(t)
	})
}

// The receipt table over HTTP, in both versions of the message.
func TestReceipts(t *testing.T) {
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		f := newFace(t, g)
		send := func(t *testing.T, r receipt) (int, string) {
			t.Helper()
			return f.post(t, r.String())
		}
		t.Run("first, again, altered, second", func(t *testing.T) {
			n := g.Issue()
			r := receiptOf(n, "token-1")
			status, body := send(t, r)
			wantOK(t, status, body)
			if got := g.State(n); got != gateway.NoticePaid {
				t.Errorf("the notice is %s", got)
			}
			status, body = send(t, r)
			wantKO(t, status, body, "PAA_RECEIPT_DUPLICATA")
			// The same receipt by the older message is the same receipt.
			v1 := r
			v1.root = "paSendRTReq"
			status, body = send(t, v1)
			wantKO(t, status, body, "PAA_RECEIPT_DUPLICATA")
			if got := g.CountEvidence(gateway.EvidenceAltered); got != 0 {
				t.Errorf("a V1 copy counts as altered")
			}
			altered := r
			altered.amount, altered.transfers = "17.00", transfer(1, "17.00")
			status, body = send(t, altered)
			wantKO(t, status, body, "PAA_RECEIPT_DUPLICATA")
			if got := g.CountEvidence(gateway.EvidenceAltered); got != 1 {
				t.Errorf("%d altered copies in evidence, want 1", got)
			}
			second := r
			second.id = "token-2"
			status, body = send(t, second)
			wantOK(t, status, body)
			list, err := g.Receipts(context.Background(), n.School, gateway.ReceiptFilter{Notice: n.Number, Limit: 10})
			if err != nil || len(list) != 2 || list[0].Anomaly != gateway.AnomalyDouble {
				t.Errorf("receipts %+v, %v", list, err)
			}
			stored, err := g.Receipt(context.Background(), n.School, list[1].ID)
			if err != nil || !strings.Contains(string(stored.Raw), r.String()) {
				t.Errorf("the bytes kept are not those received: %s, %v", stored.Raw, err)
			}
		})
		t.Run("V1 settles what V2 was asked for", func(t *testing.T) {
			n := g.Issue()
			r := receiptOf(n, "token-v1")
			r.root = "paSendRTReq"
			status, body := send(t, r)
			wantOK(t, status, body)
			if got := g.State(n); got != gateway.NoticePaid {
				t.Errorf("the notice is %s", got)
			}
		})
		for _, tc := range []struct {
			name, want string
			evidence   gateway.EvidenceKind
			spoil      func(*receipt)
		}{
			{"transfers do not sum", "PAA_SEMANTICA", gateway.EvidenceInconsistent, func(r *receipt) { r.transfers = transfer(1, "16.49") }},
			{"an idTransfer twice", "PAA_SEMANTICA", gateway.EvidenceInconsistent, func(r *receipt) { r.transfers = transfer(1, "8.25") + transfer(1, "8.25") }},
			{"another IUV", "PAA_SEMANTICA", gateway.EvidenceInconsistent, func(r *receipt) { r.iuv = "01202600000004244" }},
			{"outcome KO", "PAA_SEMANTICA", gateway.EvidenceInconsistent, func(r *receipt) { r.outcome = "KO" }},
			{"a number that is none", "PAA_SEMANTICA", gateway.EvidenceInconsistent, func(r *receipt) { r.number = "9" + r.number[1:] }},
			{"a receipt id as long as a message", "PAA_SEMANTICA", gateway.EvidenceInconsistent, func(r *receipt) { r.id = strings.Repeat("a", 60000) }},
			{"no receipt id", "PAA_SEMANTICA", gateway.EvidenceInconsistent, func(r *receipt) { r.id = "" }},
			{"school not ours", "PAA_ID_DOMINIO_ERRATO", gateway.EvidenceRefused, func(r *receipt) { r.to = head("97735020584", "80014480828", "80014480828_01") }},
			{"broker not ours", "PAA_ID_INTERMEDIARIO_ERRATO", gateway.EvidenceRefused, func(r *receipt) { r.to = head("80014480828", "97735020584", "80014480828_01") }},
			{"station not ours", "PAA_STAZIONE_INT_ERRATA", gateway.EvidenceRefused, func(r *receipt) { r.to = head("80014480828", "80014480828", "x") }},
			{"six transfers", "PAA_SINTASSI_XSD", gateway.EvidenceSyntax, func(r *receipt) {
				r.transfers = ""
				for i := range 6 {
					r.transfers += transfer(i%5+1, "2.75")
				}
			}},
			{"an amount with a comma", "PAA_SINTASSI_XSD", gateway.EvidenceSyntax, func(r *receipt) { r.amount = "16,50" }},
			{"an amount with an exponent", "PAA_SINTASSI_XSD", gateway.EvidenceSyntax, func(r *receipt) { r.amount = "1.65e1" }},
		} {
			t.Run(tc.name, func(t *testing.T) {
				n := g.Issue()
				r := receiptOf(n, "token-"+n.Number.String())
				tc.spoil(&r)
				before := g.CountEvidence(tc.evidence)
				status, body := send(t, r)
				wantKO(t, status, body, tc.want)
				if got := g.CountEvidence(tc.evidence); got != before+1 {
					t.Errorf("%d pieces of %s evidence, want %d", got, tc.evidence, before+1)
				}
				if got := g.State(n); got != gateway.NoticeOpen {
					t.Errorf("the notice is %s", got)
				}
			})
		}
		t.Run("a notice we do not know", func(t *testing.T) {
			n := g.Issue()
			r := receiptOf(n, "token-unknown")
			r.number, r.iuv = "301202600000004244", "01202600000004244"
			status, body := send(t, r)
			wantOK(t, status, body)
		})
		t.Run("we are a beneficiary only", func(t *testing.T) {
			n := g.Issue()
			r := receiptOf(n, "token-beneficiary")
			r.creditor = "97735020584"
			status, body := send(t, r)
			wantOK(t, status, body)
			if got := g.State(n); got != gateway.NoticeOpen {
				t.Errorf("the notice is %s", got)
			}
		})
		f.validate(t)
	})
}

// What is no message gets a SOAP Fault with 400 or the HTTP status that says
// why; a receipt that cannot be read is kept.
func TestNoMessage(t *testing.T) {
	g := gatewaytest.New(t)
	f := newFace(t, g)
	n := g.Issue()
	good := verify(ours, "80014480828", n.Number.String())
	envelope := func(inner string) string {
		return `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>` + inner + `</s:Body></s:Envelope>`
	}
	for _, tc := range []struct {
		name, body string
		change     func(*http.Request)
		want       int
	}{
		{"good", envelope(good), nil, 200},
		{"quoted action", envelope(good), func(r *http.Request) { r.Header.Set("SOAPAction", `"paVerifyPaymentNotice"`) }, 200},
		{"bare action", envelope(good), func(r *http.Request) { r.Header.Set("SOAPAction", `paVerifyPaymentNotice`) }, 200},
		{"empty action", envelope(good), func(r *http.Request) { r.Header.Set("SOAPAction", `""`) }, 200},
		{"byte order mark", "\ufeff" + envelope(good), nil, 200},
		{"other action", envelope(good), func(r *http.Request) { r.Header.Set("SOAPAction", "paGetPayment") }, 400},
		{"empty", "", nil, 400},
		{"cut", envelope(good)[:200], nil, 400},
		{"not XML", "{}", nil, 400},
		{"no envelope", good, nil, 400},
		{"two operations", envelope(good + good), nil, 400},
		{"two roots", envelope(good) + "<a/>", nil, 400},
		{"unknown operation", envelope(`<m:paDoSomething ` + ns + `/>`), nil, 400},
		{"an operation of the other face", envelope(`<m:verifyPaymentNoticeReq xmlns:m="http://pagopa-api.pagopa.gov.it/node/nodeForPsp.xsd"/>`), nil, 400},
		{"DOCTYPE", `<!DOCTYPE x [<!ENTITY e "x">]>` + envelope(good), nil, 400},
		{"another encoding", `<?xml version="1.0" encoding="ISO-8859-1"?>` + envelope(good), nil, 400},
		{"GET", envelope(good), func(r *http.Request) { r.Method = http.MethodGet }, 405},
		{"JSON type", envelope(good), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 415},
		{"latin-1 type", envelope(good), func(r *http.Request) { r.Header.Set("Content-Type", "text/xml; charset=iso-8859-1") }, 415},
		{"gzip", envelope(good), func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415},
		{"too large", envelope(strings.Repeat(" ", 260<<10) + good), nil, 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body := f.raw(t, tc.body, tc.change)
			if status != tc.want {
				t.Errorf("status %d, want %d: %s", status, tc.want, body)
			}
			if status == 400 && !strings.Contains(body, "<faultcode>soapenv:Client</faultcode>") {
				t.Errorf("no SOAP Fault: %s", body)
			}
		})
	}
	t.Run("not valid for the schema", func(t *testing.T) {
		status, body := f.post(t, strings.Replace(good, "<idPA>", "<idPA xsi:nil='true' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>", 1))
		wantKO(t, status, body, "PAA_SINTASSI_XSD")
	})
	t.Run("a receipt nobody can read", func(t *testing.T) {
		status, _ := f.raw(t, envelope(receiptOf(n, "x").String())[:900], nil)
		if got := g.CountEvidence(gateway.EvidenceSyntax); status != 400 || got != 1 {
			t.Errorf("status %d, %d pieces of evidence; want 400 and 1", status, got)
		}
	})
}

// A database that is away: a receipt gets an empty 503, so that the node sends
// it again; questions get PAA_SYSTEM_ERROR.
func TestDatabaseAway(t *testing.T) {
	g := gatewaytest.New(t)
	n := g.Issue()
	server := httptest.NewServer(pafornode.New(pafornode.Config{Service: g.Broken(), Duration: soap.NewDuration(g.Reg)}))
	defer server.Close()
	post := func(element string) (int, string) {
		resp, err := http.Post(server.URL, "text/xml", strings.NewReader(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`+element+`</s:Body></s:Envelope>`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if status, body := post(receiptOf(n, "token").String()); status != 503 || body != "" {
		t.Errorf("a receipt gets %d %q, want an empty 503", status, body)
	}
	bad := receiptOf(n, "token")
	bad.amount = "x"
	if status, body := post(bad.String()); status != 503 || body != "" {
		t.Errorf("a receipt that is not valid gets %d %q, want an empty 503: its bytes are not kept", status, body)
	}
	for _, element := range []string{verify(ours, "80014480828", n.Number.String()), get("paGetPaymentV2Request", ours, n.Number.String(), "")} {
		status, body := post(element)
		wantKO(t, status, body, "PAA_SYSTEM_ERROR")
	}
}

// The answers are stable to the byte.
func TestGolden(t *testing.T) {
	g := gatewaytest.New(t)
	f := newFace(t, g)
	g.Issue(func(n *gateway.NewNotice) {
		n.Number, n.Description = "301202600000004244", `Gita <3B> & "visita"`
		n.Amount = 10000
		n.Transfers = []gateway.NewTransfer{{Amount: 6000}, {Amount: 4000, School: "97735020584", IBAN: "IT50H0100003245142300316570"}}
	})
	for name, element := range map[string]string{
		"verify": verify(ours, "80014480828", "301202600000004244"),
		"get-v1": get("paGetPaymentReq", ours, "301202600000004244", ""),
		"get-v2": get("paGetPaymentV2Request", ours, "301202600000004244", ""),
		"ko":     verify(ours, "80014480828", "301202600000004345"),
	} {
		_, body := f.post(t, element)
		file := filepath.Join("testdata", name+".xml")
		if *update {
			if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != body {
			t.Errorf("%s: the answer is\n%s\nwant\n%s (%v)", name, body, want, err)
		}
	}
	f.validate(t)
}

var bodyContent = regexp.MustCompile(`(?s)<soapenv:Body>(.*)</soapenv:Body>`)

// validate proves every answer so far against the official schema.
func (f *face) validate(t *testing.T) {
	t.Helper()
	xsd := filepath.Join("..", "..", "..", "shared", "pagopa", "pagopa-api", "wsdl", "xsd", "paForNode.xsd")
	xmllint, err := exec.LookPath("xmllint")
	if _, serr := os.Stat(xsd); err != nil || serr != nil {
		if os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatalf("xmllint or the official schemas are missing: %v, %v", err, serr)
		}
		t.Skip("xmllint or the official schemas are missing")
	}
	dir := t.TempDir()
	args := []string{"--nonet", "--noout", "--schema", xsd}
	for i, a := range f.answers {
		content := bodyContent.FindStringSubmatch(a)
		if content == nil || strings.Contains(content[1], "<soapenv:Fault>") {
			continue
		}
		file := filepath.Join(dir, fmt.Sprintf("%d.xml", i))
		if err := os.WriteFile(file, []byte(content[1]), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	if len(args) == 4 {
		t.Fatal("no answer to validate")
	}
	if out, err := exec.Command(xmllint, args...).CombinedOutput(); err != nil {
		t.Errorf("xmllint: %v\n%s", err, out)
	}
}
