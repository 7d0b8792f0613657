// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/soap"
)

// fullNodeMessages is fullMessages for nodeForPsp.
func fullNodeMessages() map[string]Message {
	head := PSPHead{PSP: "ABI00000", BrokerPSP: "97735020584", Channel: "97735020584_01", Password: "pwd<&>pwd"}
	qr := QRCode{CreditorCode: "80014480828", NoticeNumber: "301202600000004244"}
	const key = "97735020584_aB3dE6gH9k"
	payer := &Subject{
		Type: "F", ID: "RSSMRA80A01H501U", FullName: "Mario Rossi", Street: "Via dell'Università", Civic: "1/bis",
		Postcode: "00100", City: "Roma", Province: "RM", Country: "IT", Email: "mario.rossi+scuola@example.it",
	}
	payable := func(options ...PSPOption) PSPPayable {
		return PSPPayable{Options: options, Description: "Viaggio di istruzione 3B", CreditorCode: "80014480828", CompanyName: "Liceo di Prova", OfficeName: "Segreteria"}
	}
	whole := PSPOption{Amount: 1650, Options: "EQ", DueDate: "2026-12-31", PaymentNote: "cart-0001"}
	postal := whole
	postal.AllPostal = true

	activate := ActivateRequest{
		Version: 1, PSPHead: head, IdempotencyKey: key, QRCode: qr, Expiration: ref(15 * time.Minute),
		Amount: 1650, DueDate: "2026-12-31", PaymentNote: "cart-0001",
	}
	activateV2 := activate
	activateV2.Version, activateV2.PaymentMethod, activateV2.TouchPoint = 2, "CP", "CHECKOUT"

	iban := Transfer{
		ID: 1, Amount: 1050, Creditor: "80014480828", IBAN: "IT60X0542811101000000123456",
		Remittance: "/RFB/01202600000004244/10.50/TXT/Gita", Metadata: []Entry{{"classe", "3ª B"}},
	}
	second := iban
	second.ID, second.Amount, second.Metadata = 2, 600, nil
	activation := Activation{
		Amount: 1650, Description: "Viaggio di istruzione 3B", CreditorCode: "80014480828", CompanyName: "Liceo di Prova", OfficeName: "Segreteria",
		Token: "c110729d258c4ab1b765fe902aae41d6", Transfers: []Transfer{iban, second}, CreditorReferenceID: "01202600000004244", StandIn: true,
	}
	activationV2 := activation
	ibanV2, toStamp, nowhere := iban, second, second
	ibanV2.Company, ibanV2.Category = "Liceo di Prova", "9/0801100AP/"
	toStamp.IBAN, toStamp.StampRequest = "", &StampRequest{Hash: "ERERERERERERERERERERERERERERERERERERERERERE=", Type: "01", Province: "RM"}
	nowhere.ID, nowhere.Amount, nowhere.IBAN = 3, 0, ""
	activationV2.Transfers = []Transfer{ibanV2, toStamp, nowhere}
	activationV2.Metadata = []Entry{{"CODICE <1>", "a & b"}}
	activationV2.SuggestedUserFee, activationV2.SuggestedCreditorFee = ref[money.Cents](150), ref[money.Cents](0)
	activationV2.SuggestedBundle, activationV2.SuggestedCIBundle, activationV2.AllPostal = "bundle-1", "bundle-2", true

	details := OutcomeDetails{
		Method: "creditCard", Channel: "onLine", Fee: 150, Payer: payer, ApplicationDate: "2026-11-20", TransferDate: "2026-11-23",
	}
	detailsV2 := details
	detailsV2.CreditorFee, detailsV2.Bundle, detailsV2.CIBundle = ref[money.Cents](0), "bundle-1", "bundle-2"
	detailsV2.Stamps = []Stamp{
		{Token: activation.Token, TransferID: 2, Attachment: "PG1hcmNhLz4="},
		{Token: "t2", TransferID: 5, Attachment: "PG1hcmNhLz4="},
	}
	refused := NewCreditorFault(NewFault(PAAPagamentoSconosciuto, "80014480828", "numero avviso non presente in archivio"))

	return map[string]Message{
		"verifyPaymentNoticeReq":                VerifyNoticeRequest{head, qr},
		"verifyPaymentNoticeRes":                VerifyNoticeResponse{PSPPayable: payable(whole, PSPOption{Amount: 1, Options: "ANY"}), StandIn: true},
		"verifyPaymentNoticeRes-small":          VerifyNoticeResponse{PSPPayable: PSPPayable{Options: []PSPOption{{Amount: 1, Options: "EQ"}}}},
		"verifyPaymentNoticeRes-KO":             VerifyNoticeResponse{Fault: refused},
		"verificaBollettinoReq":                 BollettinoRequest{PSPHead: head, PostalAccount: "000012345678", NoticeNumber: "301202600000004244"},
		"verificaBollettinoRes":                 BollettinoResponse{PSPPayable: payable(postal, whole), NoticeNumber: "301202600000004244"},
		"verificaBollettinoRes-KO":              BollettinoResponse{Fault: NewNodeFault(PPTPagamentoDuplicato, "")},
		"activatePaymentNoticeReq":              activate,
		"activatePaymentNoticeReq-small":        ActivateRequest{Version: 1, PSPHead: head, QRCode: qr, Amount: 1650},
		"activatePaymentNoticeRes":              ActivateResponse{Version: 1, Activation: activation},
		"activatePaymentNoticeRes-small":        ActivateResponse{Version: 1, Activation: Activation{Amount: 1650, Token: "t"}},
		"activatePaymentNoticeRes-KO":           ActivateResponse{Version: 1, Fault: NewNodeFault(PPTPagamentoInCorso, "token attivo")},
		"activatePaymentNoticeV2Request":        activateV2,
		"activatePaymentNoticeV2Response":       ActivateResponse{Version: 2, Activation: activationV2},
		"activatePaymentNoticeV2Response-small": ActivateResponse{Version: 2, Activation: Activation{Amount: 1650, Token: "t"}},
		"activatePaymentNoticeV2Response-KO":    ActivateResponse{Version: 2, Fault: NewNodeFault(PPTErroreIdempotenza, "")},
		"sendPaymentOutcomeReq":                 OutcomeRequest{Version: 1, PSPHead: head, IdempotencyKey: key, Tokens: []string{activation.Token}, Outcome: "OK", Details: &details},
		"sendPaymentOutcomeReq-KO":              OutcomeRequest{Version: 1, PSPHead: head, Tokens: []string{"t"}, Outcome: "KO"},
		"sendPaymentOutcomeRes":                 OutcomeResponse{Version: 1},
		"sendPaymentOutcomeRes-KO":              OutcomeResponse{Version: 1, Fault: NewNodeFault(PPTTokenScaduto, "")},
		"sendPaymentOutcomeV2Request":           OutcomeRequest{Version: 2, PSPHead: head, IdempotencyKey: key, Tokens: []string{activation.Token, "t2", "t3", "t4", "t5"}, Outcome: "OK", Details: &detailsV2},
		"sendPaymentOutcomeV2Request-small": OutcomeRequest{Version: 2, PSPHead: head, Tokens: []string{"t"}, Outcome: "OK",
			Details: &OutcomeDetails{Method: "cash", ApplicationDate: "2026-11-20Z", TransferDate: "2026-11-20+01:00"}},
		"sendPaymentOutcomeV2Response":    OutcomeResponse{Version: 2},
		"sendPaymentOutcomeV2Response-KO": OutcomeResponse{Version: 2, Fault: NewNodeFault(PPTEsitoGiaAcquisito, "Esito concorde")},
		"demandPaymentNoticeRequest":      DemandNoticeRequest{PSPHead: head, ServiceSubject: "00002", Data: []byte("<service/>")},
		"demandPaymentNoticeResponse":     DemandNoticeResponse{QRCode: &qr, PSPPayable: payable(whole)},
		"demandPaymentNoticeResponse-KO":  DemandNoticeResponse{Fault: NewNodeFault(PPTSemantica, "")},
	}
}

// readNodeSamples is readSamples for nodeForPsp.
func readNodeSamples() map[string]Message {
	head := PSPHead{"ABI00000", "97735020584", "97735020584_01", "pwdpwdpwd"}
	qr := QRCode{"80014480828", "301202600000004244"}
	const key, token = "97735020584_100149bdWB", "c110729d258c4ab1b765fe902aae41d6"
	return map[string]Message{
		"verifyPaymentNoticeReq": VerifyNoticeRequest{head, qr},
		"verifyPaymentNoticeRes-KO": VerifyNoticeResponse{Fault: &Fault{
			Code: PPTErroreEmessoDaPAA, String: "Errore restituito dall Ente Creditore", ID: "80014480828", Description: "FaultString PAA: pagamento scaduto",
			OriginalCode: "PAA_PAGAMENTO_SCADUTO", OriginalString: "pagamento scaduto",
		}},
		"verificaBollettinoReq": BollettinoRequest{PSPHead: head, PostalAccount: "000012345678", NoticeNumber: "301202600000004244"},
		"verificaBollettinoRes": BollettinoResponse{NoticeNumber: "301202600000004244", PSPPayable: PSPPayable{
			Options:     []PSPOption{{Amount: 1650, Options: "EQ", AllPostal: true}},
			Description: "Viaggio di istruzione 3B", CreditorCode: "80014480828", CompanyName: "Liceo di Prova",
		}},
		"activatePaymentNoticeV2Request": ActivateRequest{Version: 2, PSPHead: head, IdempotencyKey: key, QRCode: qr,
			Expiration: ref(15 * time.Minute), Amount: 1650, PaymentMethod: "CP", TouchPoint: "CHECKOUT"},
		"activatePaymentNoticeV2Response": ActivateResponse{Version: 2, Activation: Activation{
			Amount: 1650, Description: "Viaggio di istruzione 3B", CreditorCode: "80014480828", CompanyName: "Liceo di Prova", Token: token,
			Transfers: []Transfer{{ID: 1, Amount: 1650, Creditor: "80014480828", Company: "Liceo di Prova", IBAN: "IT60X0542811101000000123456",
				Remittance: "/RFB/01202600000004244/16.50/TXT/Viaggio di istruzione 3B", Category: "9/0801100AP/"}},
			CreditorReferenceID: "01202600000004244",
		}},
		"sendPaymentOutcomeReq-KO": OutcomeRequest{Version: 1, PSPHead: head, IdempotencyKey: key, Tokens: []string{token}, Outcome: "KO"},
		"sendPaymentOutcomeV2Request": OutcomeRequest{Version: 2, PSPHead: head, IdempotencyKey: key, Tokens: []string{token}, Outcome: "OK",
			Details: &OutcomeDetails{Method: "creditCard", Channel: "onLine", Fee: 150, ApplicationDate: "2026-11-20", TransferDate: "2026-11-23"}},
		"demandPaymentNoticeRequest": DemandNoticeRequest{PSPHead: head, ServiceSubject: "00001", Data: []byte("<service/>")},
	}
}

// What V1 lacks is not written in V1, and no version has everything.
func TestVersionsKeepApart(t *testing.T) {
	t.Parallel()
	full := fullNodeMessages()
	written := make(map[string][]byte)
	for name, change := range map[string]func() (as, want Message){
		"activate": func() (as, want Message) {
			r := full["activatePaymentNoticeV2Request"].(ActivateRequest)
			r.Version = 1
			return r, full["activatePaymentNoticeReq"]
		},
		"activated": func() (as, want Message) {
			r := full["activatePaymentNoticeV2Response"].(ActivateResponse)
			r.Version = 1
			r.Transfers = r.Transfers[:1]
			want = full["activatePaymentNoticeRes"]
			w := want.(ActivateResponse)
			w.Transfers = w.Transfers[:1]
			return r, w
		},
		"outcome": func() (as, want Message) {
			r := full["sendPaymentOutcomeV2Request"].(OutcomeRequest)
			r.Version = 1
			r.Tokens = r.Tokens[:1]
			return r, full["sendPaymentOutcomeReq"]
		},
		"bollettino": func() (as, want Message) {
			r := full["verificaBollettinoRes"].(BollettinoResponse)
			r.StandIn = true
			return r, full["verificaBollettinoRes"]
		},
	} {
		as, want := change()
		written[name] = as.Append(nil)
		got, err := services[1].read(parse(t, written[name]))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read back\n%+v, %v; want\n%+v", name, got, err, want)
		}
	}
	services[1].mustBeValid(t, written)
}

// standin of verificaBollettinoRes is in the later schema only: to be read, not
// to be written.
func TestBollettinoStandIn(t *testing.T) {
	t.Parallel()
	good := string(fullNodeMessages()["verificaBollettinoRes"].Append(nil))
	with := strings.Replace(good, "</officeName>", "</officeName><standin> 1 </standin>", 1)
	message := map[string][]byte{"m": []byte(with)}
	if services[1].xmllint(t, inProduction, message)["m"] || !services[1].xmllint(t, later, message)["m"] {
		t.Error("the schemas no longer differ in what this test is about")
	}
	m, err := ReadNodeForPspResponse(parse(t, []byte(with)))
	if r, ok := m.(BollettinoResponse); err != nil || !ok || !r.StandIn {
		t.Fatalf("read %+v, %v", m, err)
	}
	if got := string(m.Append(nil)); got != good {
		t.Errorf("written again it is\n%s\nwant\n%s", got, good)
	}
}

func TestExpiration(t *testing.T) {
	t.Parallel()
	good := string(fullNodeMessages()["activatePaymentNoticeReq"].Append(nil))
	for in, want := range map[string]time.Duration{
		"1800000":   30 * time.Minute,
		"+001":      time.Millisecond,
		" 900000\n": 15 * time.Minute,
		"0":         0,
		"-1":        -time.Millisecond,
		// Of any length: XSD part 2, 3.3.13.
		"-9223372036855":                    math.MinInt64 / time.Millisecond * time.Millisecond,
		"-" + strings.Repeat("9", 40):       math.MinInt64 / time.Millisecond * time.Millisecond,
		"+" + strings.Repeat("0", 40) + "7": 7 * time.Millisecond,
	} {
		message := strings.Replace(good, ">900000<", ">"+in+"<", 1)
		m, err := ReadNodeForPsp(parse(t, []byte(message)))
		if r, ok := m.(ActivateRequest); err != nil || !ok || *r.Expiration != want {
			t.Errorf("%q: read %+v, %v; want %v", in, m, err, want)
			continue
		}
		again, err := ReadNodeForPsp(parse(t, m.Append(nil)))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%q: written and read again it is %+v, %v", in, again, err)
		}
	}
	for _, in := range []string{"", " ", "1800001", strings.Repeat("9", 40), "1800000.0", "1e3", "0x10", "1_000", "-", "--1", "-" + strings.Repeat("9", 40) + "x", "٣"} {
		m, err := ReadNodeForPsp(parse(t, []byte(strings.Replace(good, ">900000<", ">"+in+"<", 1))))
		if schema := (*SchemaError)(nil); m != nil || !errors.As(err, &schema) || schema.Path != "activatePaymentNoticeReq/expirationTime" {
			t.Errorf("%q: got %+v, %v", in, m, err)
		}
	}
}

func TestPasswordIsNeverPrinted(t *testing.T) {
	t.Parallel()
	const secret = "pwdpwdpwd"
	head := PSPHead{PSP: "ABI00000", Password: secret}
	var printed []string
	for _, v := range []any{head.Password, &head.Password, head, &head, VerifyNoticeRequest{PSPHead: head}, []Password{secret}, map[string]Password{"p": secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "% X"} {
			printed = append(printed, fmt.Sprintf(verb, v))
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		printed = append(printed, string(encoded), log.String())
	}
	for _, p := range printed {
		if strings.Contains(p, secret) || strings.Contains(strings.ToLower(strings.ReplaceAll(p, " ", "")), fmt.Sprintf("%x", secret)) {
			t.Errorf("printed: %s", p)
		}
	}
	if got := fmt.Sprint(head.Password, " ") + fmt.Sprintf("%#v", head.Password); got != "*** ***" {
		t.Errorf("printed %q", got)
	}
	if message := string(VerifyNoticeRequest{PSPHead: head}.Append(nil)); !strings.Contains(message, "<password>"+secret+"</password>") {
		t.Error("the message lacks the password")
	}
}

func TestNodeFaults(t *testing.T) {
	t.Parallel()
	if got, want := *NewNodeFault(PPTTokenSconosciuto, "d"), (Fault{Code: "PPT_TOKEN_SCONOSCIUTO", String: "unknown token", ID: "NodoDeiPagamentiSPC", Description: "d"}); got != want {
		t.Errorf("NewNodeFault: %+v, want %+v", got, want)
	}
	got := NewCreditorFault(&Fault{Code: PAAPagamentoScaduto, String: "scaduto ieri", ID: "80014480828", Description: "d"})
	want := Fault{
		Code: "PPT_ERRORE_EMESSO_DA_PAA", String: "Errore restituito dall'Ente Creditore", ID: "80014480828", Description: "FaultString PAA: scaduto ieri",
		OriginalCode: "PAA_PAGAMENTO_SCADUTO", OriginalString: "scaduto ieri", OriginalDescription: "d",
	}
	if *got != want {
		t.Errorf("NewCreditorFault: %+v, want %+v", *got, want)
	}
	// Every operation of either service can be refused.
	written := make(map[string]map[string][]byte)
	for _, s := range services {
		written[s.name] = make(map[string][]byte)
		for root, m := range s.responses.messages {
			written[s.name][root] = AppendKO(nil, m.operation, got)
			read, err := s.responses.read(parse(t, written[s.name][root]))
			if err != nil || read.Operation() != m.operation || !reflect.DeepEqual(reflect.ValueOf(read).FieldByName("Fault").Interface(), got) {
				t.Errorf("%s: KO read as %+v, %v", root, read, err)
			}
		}
		s.mustBeValid(t, written[s.name])
	}
}

func TestNodeTextsAreMadeToFit(t *testing.T) {
	t.Parallel()
	messages := make(map[string][]byte)
	for name, text := range map[string]string{"long": strings.Repeat("à\x00<", 200), "empty": "", "blank": " ", "not UTF-8": strings.Repeat("\xFF", 300), "astral": strings.Repeat("𝔞", 300)} {
		payer := Subject{Type: "F", ID: "ANONIMO", FullName: text, Street: text, Civic: text, Postcode: text, City: text, Province: text, Country: text, Email: text}
		entries := []Entry{{text, text}}
		transfer := Transfer{ID: 1, Creditor: "80014480828", Company: text, IBAN: "IT60X0542811101000000123456", Remittance: text, Category: text, Metadata: entries}
		payable := PSPPayable{Options: []PSPOption{{Amount: 1, Options: "EQ", DueDate: text, PaymentNote: text}}, Description: text, CreditorCode: text, CompanyName: text, OfficeName: text}
		activation := Activation{Description: text, CreditorCode: text, CompanyName: text, OfficeName: text, Token: "t", Transfers: []Transfer{transfer},
			Metadata: entries, CreditorReferenceID: "1", SuggestedBundle: text, SuggestedCIBundle: text}
		details := OutcomeDetails{Method: "other", Channel: text, Bundle: text, CIBundle: text, Payer: &payer, ApplicationDate: "2026-11-20", TransferDate: "2026-11-20"}
		head, qr := PSPHead{"p", "b", "c", "password"}, QRCode{"80014480828", "301202600000004244"}
		for kind, m := range map[string]Message{
			"verify":      VerifyNoticeResponse{PSPPayable: payable},
			"bollettino":  BollettinoResponse{PSPPayable: payable, NoticeNumber: text},
			"demand":      DemandNoticeResponse{QRCode: &qr, PSPPayable: payable},
			"activate":    ActivateRequest{Version: 1, PSPHead: head, QRCode: qr, DueDate: text, PaymentNote: text},
			"activateV2":  ActivateRequest{Version: 2, PSPHead: head, QRCode: qr, DueDate: text, PaymentNote: text, PaymentMethod: text, TouchPoint: text},
			"activated":   ActivateResponse{Version: 1, Activation: activation},
			"activatedV2": ActivateResponse{Version: 2, Activation: activation},
			"outcome":     OutcomeRequest{Version: 1, PSPHead: head, Tokens: []string{"t"}, Outcome: "OK", Details: &details},
			"outcomeV2":   OutcomeRequest{Version: 2, PSPHead: head, Tokens: []string{"t"}, Outcome: "OK", Details: &details},
			"refuse":      OutcomeResponse{Version: 2, Fault: NewNodeFault("PPT_NEW", text)},
		} {
			messages[name+" "+kind] = m.Append(nil)
		}
	}
	services[1].mustBeValid(t, messages)
}

func TestReadNodeForPspRefuses(t *testing.T) {
	t.Parallel()
	full := make(map[string]string)
	for name, m := range fullNodeMessages() {
		full[name] = string(m.Append(nil))
	}
	renamed := func(message, from, to string) string { return strings.ReplaceAll(full[message], from, to) }
	for name, tc := range map[string]struct {
		message string
		read    func(*soap.Envelope) (Message, error)
		path    string // of the SchemaError; empty for ErrUnknown
	}{
		"another root":                  {renamed("sendPaymentOutcomeReq", "sendPaymentOutcomeReq", "sendPaymentOutcomeRequest"), ReadNodeForPsp, ""},
		"an operation that is not ours": {renamed("sendPaymentOutcomeReq", "sendPaymentOutcomeReq", "nodoInviaFlussoRendicontazioneRequest"), ReadNodeForPsp, ""},
		"the other namespace":           {renamed("sendPaymentOutcomeReq", NodeForPspNamespace, PaForNodeNamespace), ReadNodeForPsp, ""},
		"the other service":             {full["sendPaymentOutcomeReq"], ReadPaForNode, ""},
		"the other service answers":     {full["sendPaymentOutcomeRes"], ReadPaForNodeResponse, ""},
		"a root of the other":           {string(fullMessages()["paSendRTRes"].Append(nil)), ReadNodeForPspResponse, ""},
		"no namespace":                  {"<sendPaymentOutcomeReq/>", ReadNodeForPsp, ""},
		"a response as a request":       {full["sendPaymentOutcomeRes"], ReadNodeForPsp, ""},
		"a request as a response":       {full["sendPaymentOutcomeReq"], ReadNodeForPspResponse, ""},
		"OK with a fault":               {strings.Replace(full["sendPaymentOutcomeRes-KO"], ">KO<", ">OK<", 1), ReadNodeForPspResponse, "sendPaymentOutcomeRes/fault"},
		"KO without a fault":            {strings.Replace(full["sendPaymentOutcomeV2Response"], ">OK<", ">KO<", 1), ReadNodeForPspResponse, "sendPaymentOutcomeV2Response/fault"},
		"verify KO without a fault":     {strings.Replace(full["verifyPaymentNoticeRes"], ">OK<", ">KO<", 1), ReadNodeForPspResponse, "verifyPaymentNoticeRes/fault"},
		"verify OK with nothing":        {renamed("sendPaymentOutcomeRes", "sendPaymentOutcomeRes", "verifyPaymentNoticeRes"), ReadNodeForPspResponse, "verifyPaymentNoticeRes/paymentList"},
		"bollettino KO without":         {strings.Replace(full["verificaBollettinoRes"], ">OK<", ">KO<", 1), ReadNodeForPspResponse, "verificaBollettinoRes/fault"},
		"bollettino OK with nothing":    {renamed("sendPaymentOutcomeRes", "sendPaymentOutcomeRes", "verificaBollettinoRes"), ReadNodeForPspResponse, "verificaBollettinoRes/paymentBollettinoList"},
		"activated KO without":          {strings.Replace(full["activatePaymentNoticeRes"], ">OK<", ">KO<", 1), ReadNodeForPspResponse, "activatePaymentNoticeRes/fault"},
		"activated without amount":      {strings.Replace(full["activatePaymentNoticeRes"], "<totalAmount>16.50</totalAmount>", "", 1), ReadNodeForPspResponse, "activatePaymentNoticeRes/totalAmount"},
		"activated without token":       {strings.Replace(full["activatePaymentNoticeV2Response-small"], "<paymentToken>t</paymentToken>", "", 1), ReadNodeForPspResponse, "activatePaymentNoticeV2Response/paymentToken"},
		"demanded KO without":           {strings.Replace(full["demandPaymentNoticeResponse"], ">OK<", ">KO<", 1), ReadNodeForPspResponse, "demandPaymentNoticeResponse/fault"},
		"demanded without a notice":     {renamed("sendPaymentOutcomeRes", "sendPaymentOutcomeRes", "demandPaymentNoticeResponse"), ReadNodeForPspResponse, "demandPaymentNoticeResponse/qrCode"},
		"demanded without options": {strings.Replace(full["demandPaymentNoticeResponse"], full["demandPaymentNoticeResponse"][strings.Index(full["demandPaymentNoticeResponse"], "<paymentList>"):strings.Index(full["demandPaymentNoticeResponse"], "<paymentDescription>")], "", 1),
			ReadNodeForPspResponse, "demandPaymentNoticeResponse/paymentList"},

		"V1 with what V2 has":       {renamed("activatePaymentNoticeV2Request", "activatePaymentNoticeV2Request", "activatePaymentNoticeReq"), ReadNodeForPsp, "activatePaymentNoticeReq"},
		"V1 outcome with tokens":    {renamed("sendPaymentOutcomeV2Request", "sendPaymentOutcomeV2Request", "sendPaymentOutcomeReq"), ReadNodeForPsp, "sendPaymentOutcomeReq/paymentToken"},
		"V2 outcome with one token": {renamed("sendPaymentOutcomeReq", "sendPaymentOutcomeReq", "sendPaymentOutcomeV2Request"), ReadNodeForPsp, "sendPaymentOutcomeV2Request/paymentTokens"},
		"a sixth token":             {strings.Replace(full["sendPaymentOutcomeV2Request"], "</paymentTokens>", "<paymentToken>t6</paymentToken></paymentTokens>", 1), ReadNodeForPsp, "sendPaymentOutcomeV2Request/paymentTokens"},
		"two tokens in V1":          {strings.Replace(full["sendPaymentOutcomeReq"], "<outcome>", "<paymentToken>t</paymentToken><outcome>", 1), ReadNodeForPsp, "sendPaymentOutcomeReq/outcome"},
		"no token":                  {strings.Replace(full["sendPaymentOutcomeV2Request-small"], "<paymentToken>t</paymentToken>", "", 1), ReadNodeForPsp, "sendPaymentOutcomeV2Request/paymentTokens/paymentToken"},
		"a token too long":          {strings.Replace(full["sendPaymentOutcomeReq-KO"], ">t<", ">"+strings.Repeat("t", 36)+"<", 1), ReadNodeForPsp, "sendPaymentOutcomeReq/paymentToken"},
		"a twenty-sixth stamp": {strings.Replace(full["sendPaymentOutcomeV2Request"], "</marcheDaBollo>", strings.Repeat("<marcaDaBollo><paymentToken>t</paymentToken><idTransfer>1</idTransfer><MBDAttachment/></marcaDaBollo>", 24)+"</marcheDaBollo>", 1),
			ReadNodeForPsp, "sendPaymentOutcomeV2Request/details/marcheDaBollo"},
		"another outcome":           {strings.Replace(full["sendPaymentOutcomeReq-KO"], ">KO<", ">ok<", 1), ReadNodeForPsp, "sendPaymentOutcomeReq/outcome"},
		"details without a fee":     {strings.Replace(full["sendPaymentOutcomeReq"], "<fee>1.50</fee>", "", 1), ReadNodeForPsp, "sendPaymentOutcomeReq/details/fee"},
		"another payment method":    {strings.Replace(full["sendPaymentOutcomeReq"], ">creditCard<", ">CP<", 1), ReadNodeForPsp, "sendPaymentOutcomeReq/details/paymentMethod"},
		"another payment channel":   {strings.Replace(full["sendPaymentOutcomeReq"], ">onLine<", ">online<", 1), ReadNodeForPsp, "sendPaymentOutcomeReq/details/paymentChannel"},
		"a short password":          {strings.Replace(full["verifyPaymentNoticeReq"], ">pwd&lt;&amp;&gt;pwd<", ">pwdpwdp<", 1), ReadNodeForPsp, "verifyPaymentNoticeReq/password"},
		"a long password":           {strings.Replace(full["verifyPaymentNoticeReq"], ">pwd&lt;&amp;&gt;pwd<", ">pwdpwdpwdpwdpwdp<", 1), ReadNodeForPsp, "verifyPaymentNoticeReq/password"},
		"no password":               {strings.Replace(full["verifyPaymentNoticeReq"], "<password>pwd&lt;&amp;&gt;pwd</password>", "", 1), ReadNodeForPsp, "verifyPaymentNoticeReq/password"},
		"a postal account in short": {strings.Replace(full["verificaBollettinoReq"], ">000012345678<", ">12345678<", 1), ReadNodeForPsp, "verificaBollettinoReq/ccPost"},
		"an idempotencyKey":         {strings.Replace(full["activatePaymentNoticeReq"], "97735020584_aB", "97735020584-aB", 1), ReadNodeForPsp, "activatePaymentNoticeReq/idempotencyKey"},
		"an amount with a comma":    {strings.Replace(full["activatePaymentNoticeReq"], ">16.50<", ">16,50<", 1), ReadNodeForPsp, "activatePaymentNoticeReq/amount"},
		"a touchPoint":              {strings.Replace(full["activatePaymentNoticeV2Request"], ">CHECKOUT<", ">PORTAL<", 1), ReadNodeForPsp, "activatePaymentNoticeV2Request/touchPoint"},
		"a method of another list":  {strings.Replace(full["activatePaymentNoticeV2Request"], ">CP<", ">creditCard<", 1), ReadNodeForPsp, "activatePaymentNoticeV2Request/paymentMethod"},
		"an IBAN with blanks":       {strings.Replace(full["activatePaymentNoticeRes"], ">IT60X0542811101", ">IT60 X0542811101", 1), ReadNodeForPspResponse, "activatePaymentNoticeRes/transferList/transfer[1]/IBAN"},
		"no IBAN in V1":             {strings.Replace(full["activatePaymentNoticeRes"], "<IBAN>IT60X0542811101000000123456</IBAN>", "", 1), ReadNodeForPspResponse, "activatePaymentNoticeRes/transferList/transfer[1]/IBAN"},
		"a sixth option": {strings.Replace(full["verifyPaymentNoticeRes"], "<paymentList>", "<paymentList>"+strings.Repeat("<paymentOptionDescription><amount>1.00</amount><options>EQ</options></paymentOptionDescription>", 4), 1),
			ReadNodeForPspResponse, "verifyPaymentNoticeRes/paymentList"},
		"bollettino without allCCP": {strings.Replace(full["verificaBollettinoRes"], "<allCCP>true</allCCP>", "", 1), ReadNodeForPspResponse, "verificaBollettinoRes/paymentBollettinoList/paymentOptionDescription[1]/allCCP"},
		"verify with allCCP":        {strings.Replace(full["verifyPaymentNoticeRes"], "</paymentNote>", "</paymentNote><allCCP>true</allCCP>", 1), ReadNodeForPspResponse, "verifyPaymentNoticeRes/paymentList/paymentOptionDescription[1]"},
		"standIn of the receipts":   {renamed("verifyPaymentNoticeRes", "standin", "standIn"), ReadNodeForPspResponse, "verifyPaymentNoticeRes"},
	} {
		m, err := tc.read(parse(t, []byte(tc.message)))
		if tc.path == "" {
			if m != nil || !errors.Is(err, ErrUnknown) {
				t.Errorf("%s: got %v, %v; want ErrUnknown", name, m, err)
			}
			continue
		}
		if refused := (*SchemaError)(nil); m != nil || !errors.As(err, &refused) || refused.Path != tc.path {
			t.Errorf("%s: got %v, %v; want path %s", name, m, err, tc.path)
		}
	}
}
