// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/soap"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func ref[T any](v T) *T { return &v }

// fullMessages has a message of every kind with every field set, and the
// smallest of some, by golden file.
func fullMessages() map[string]Message {
	target := Target{PA: "80014480828", Broker: "80015010723", Station: "80015010723_01"}
	qr := QRCode{CreditorCode: "80014480828", NoticeNumber: "301202600000004244"}
	entries := []Entry{{"CODICE <1>", "a & b"}, {"classe", "3ª B"}}
	debtor := Subject{
		Type: "F", ID: "RSSMRA80A01H501U", FullName: "Mario Rossi", Street: "Via dell'Università", Civic: "1/bis",
		Postcode: "00100", City: "Roma", Province: "RM", Country: "IT", Email: "mario.rossi+scuola@example.it",
	}
	payer := Subject{Type: "G", ID: "01199250158", FullName: "Associazione genitori"}
	iban := Transfer{
		ID: 1, Amount: 1050, Creditor: "80014480828", IBAN: "IT60X0542811101000000123456",
		Remittance: "/RFB/01202600000004244/10.50/TXT/Gita", Category: "9/0801100AP/", Metadata: entries,
	}
	withCompany := func(t Transfer) Transfer { t.Company = "Liceo di Prova"; return t }
	second := iban
	second.ID, second.Amount, second.Metadata = 2, 600, nil
	toStamp := withCompany(second)
	toStamp.IBAN = ""
	stamped := toStamp
	toStamp.StampRequest = &StampRequest{Hash: "ERERERERERERERERERERERERERERERERERERERERERE=", Type: "01", Province: "RM"}
	stamped.Stamp = "PG1hcmNhLz4="
	payment := Payment{
		CreditorReferenceID: "01202600000004244", Amount: 1650, DueDate: "2026-12-31", RetentionDate: "2026-12-31T23:59:59+01:00",
		LastPayment: true, Description: "Viaggio di istruzione 3B", CompanyName: "Liceo di Prova", OfficeName: "Segreteria",
		Debtor: debtor, Transfers: []Transfer{iban, second}, Metadata: entries,
	}
	paymentV2 := payment
	paymentV2.Transfers = []Transfer{withCompany(iban), toStamp}
	receipt := Receipt{
		ID: "c110729d258c4ab1b765fe902aae41d6", NoticeNumber: "301202600000004244", CreditorCode: "80014480828", Outcome: "OK",
		CreditorReferenceID: "01202600000004244", Amount: 1650, Description: "Viaggio di istruzione 3B",
		CompanyName: "Liceo di Prova", OfficeName: "Segreteria", Debtor: debtor, Transfers: []Transfer{iban, second},
		PSPID: "ABI00000", PSPFiscalCode: "97735020584", PSPVAT: "15376371009", PSPName: "Banca di Prova",
		Channel: "97735020584_01", ChannelDescription: "app", Payer: &payer, Method: "creditCard",
		Fee: ref[money.Cents](150), PaidAt: "2026-11-20T10:15:30.123456+01:00", ApplicationDate: "2026-11-20", TransferDate: "2026-11-23",
		Metadata: entries, StandIn: true,
	}
	receiptV2 := receipt
	receiptV2.Transfers = []Transfer{withCompany(iban), stamped}
	receiptV2.PaymentNote, receiptV2.CreditorFee = "cart-0001", ref[money.Cents](0)
	receiptV2.Bundle, receiptV2.CIBundle = "bundle-1", "bundle-2"
	small := Receipt{
		ID: "1", NoticeNumber: "301202600000004244", CreditorCode: "80014480828", Outcome: "OK", CreditorReferenceID: "01202600000004244",
		Amount: 1650, Description: "d", CompanyName: "c", Debtor: Subject{Type: "F", ID: "ANONIMO", FullName: "n"}, Transfers: []Transfer{
			{ID: 1, Amount: 1650, Creditor: "80014480828", IBAN: "i", Remittance: "r", Category: "t"}},
		PSPID: "p", PSPName: "n", Channel: "c", ChannelDescription: "d",
	}
	payable := Payable{
		Option:      &PaymentOption{Amount: 1650, Options: "EQ", DueDate: "2026-12-31", Detail: "Viaggio di istruzione 3B", AllPostal: true},
		Description: "Viaggio di istruzione 3B", CreditorCode: "80014480828", CompanyName: "Liceo di Prova", OfficeName: "Segreteria",
	}
	unknown := NewFault(PAAPagamentoSconosciuto, "80014480828", "numero avviso non presente in archivio")
	allOfIt := &Fault{
		Code: PAASystemError, String: "Errore <generico>", ID: "80014480828", Description: "d", Serial: ref[int32](1),
		OriginalCode: "A", OriginalString: "B", OriginalDescription: "C",
	}
	get := GetPaymentRequest{Version: 1, Target: target, QRCode: qr, Amount: ref[money.Cents](1650), PaymentNote: "cart-0001", TransferType: "POSTAL", DueDate: "2026-12-31"}
	getV2 := get
	getV2.Version, getV2.TransferType = 2, "PAGOPA"

	return map[string]Message{
		"paVerifyPaymentNoticeReq":         VerifyRequest{target, qr},
		"paVerifyPaymentNoticeRes":         VerifyResponse{Payable: payable},
		"paVerifyPaymentNoticeRes-KO":      VerifyResponse{Fault: unknown},
		"paGetPaymentReq":                  get,
		"paGetPaymentReq-small":            GetPaymentRequest{Version: 1, Target: target, QRCode: qr},
		"paGetPaymentRes":                  GetPaymentResponse{Version: 1, Payment: &payment},
		"paGetPaymentRes-KO":               GetPaymentResponse{Version: 1, Fault: unknown},
		"paGetPaymentV2Request":            getV2,
		"paGetPaymentV2Response":           GetPaymentResponse{Version: 2, Payment: &paymentV2},
		"paGetPaymentV2Response-KO":        GetPaymentResponse{Version: 2, Fault: allOfIt},
		"paSendRTReq":                      SendRTRequest{Version: 1, Target: target, Receipt: receipt},
		"paSendRTReq-small":                SendRTRequest{Version: 1, Target: target, Receipt: small},
		"paSendRTRes":                      SendRTResponse{Version: 1},
		"paSendRTRes-KO":                   SendRTResponse{Version: 1, Fault: NewFault(PAAReceiptDuplicata, "80014480828", "")},
		"paSendRTV2Request":                SendRTRequest{Version: 2, Target: target, Receipt: receiptV2},
		"paSendRTV2Request-small":          SendRTRequest{Version: 2, Target: target, Receipt: small},
		"paSendRTV2Response":               SendRTResponse{Version: 2},
		"paSendRTV2Response-KO":            SendRTResponse{Version: 2, Fault: NewFault(PAAReceiptDuplicata, "80014480828", "")},
		"paDemandPaymentNoticeRequest":     DemandRequest{Target: target, Service: "00001", ServiceSubject: "00002", Data: []byte("<service/>")},
		"paDemandPaymentNoticeResponse":    DemandResponse{QRCode: &qr, Payable: payable},
		"paDemandPaymentNoticeResponse-KO": DemandResponse{Fault: unknown},
	}
}

func TestGolden(t *testing.T) {
	forEachService(t, testGolden)
}

func testGolden(t *testing.T, s service) {
	for name, m := range s.messages() {
		got := append(m.Append(nil), '\n')
		file := filepath.Join("testdata", name+".xml")
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: wrote\n%s\nwant\n%s", name, got, want)
		}
		// Appended means appended.
		if b := m.Append([]byte("x")); string(b) != "x"+strings.TrimSuffix(string(want), "\n") {
			t.Errorf("%s: behind other bytes it is different", name)
		}
	}
}

func TestWrittenIsValidAndReadsBack(t *testing.T) {
	forEachService(t, testWritten)
}

func testWritten(t *testing.T, s service) {
	written := make(map[string][]byte)
	for name, m := range s.messages() {
		written[name] = m.Append(nil)
		got, err := s.read(parse(t, written[name]))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: read back\n%+v, %v; wrote\n%+v", name, got, err, m)
		}
		if root, _, _ := strings.Cut(name, "-"); !bytes.HasPrefix(written[name], []byte("<"+s.requests.prefix+":"+root+" ")) {
			t.Errorf("%s: begins %.60s", name, written[name])
		}
	}
	s.mustBeValid(t, written)
}

func TestSamplesRead(t *testing.T) {
	forEachService(t, testSamples)
}

func testSamples(t *testing.T, s service) {
	written := make(map[string][]byte)
	read := make(map[string]Message)
	for name, sample := range s.sampleMessages(t) {
		env := parse(t, sample)
		m, err := s.read(env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		read[name], written[name] = m, m.Append(nil)
		again, err := s.read(parse(t, written[name]))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%s: written and read again it is %+v, %v; was %+v", name, again, err, m)
		}
		op, isRequest := s.operation(env.Operation)
		if isRequest != strings.Contains(name, "Req") || isRequest && op != m.Operation() {
			t.Errorf("%s: operation %s, %v; the message says %s", name, op, isRequest, m.Operation())
		}
	}
	s.mustBeValid(t, written)
	for name, want := range s.samplesRead() {
		if !reflect.DeepEqual(read[name], want) {
			t.Errorf("%s: read\n%+v\nwant\n%+v", name, read[name], want)
		}
	}
}

// readSamples has some samples of each direction, value by value.
func readSamples() map[string]Message {
	target := Target{"80014480828", "80014480828", "80014480828_01"}
	qr := QRCode{"80014480828", "301202600000004244"}
	return map[string]Message{
		"paGetPaymentV2Request": GetPaymentRequest{Version: 2, Target: target, QRCode: qr, Amount: ref[money.Cents](1650), PaymentNote: "cart-0001"},
		"paDemandPaymentNoticeRequest": DemandRequest{Target: target, Service: "00001", ServiceSubject: "00001",
			Data: []byte("<service/>")},
		"paVerifyPaymentNoticeRes": VerifyResponse{Payable: Payable{
			Option:      &PaymentOption{Amount: 1650, Options: "EQ", DueDate: "2026-12-31", Detail: "Viaggio di istruzione 3B"},
			Description: "Viaggio di istruzione 3B", CreditorCode: "80014480828", CompanyName: "Liceo di Prova",
		}},
		"paSendRTV2Response-KO-duplicate": SendRTResponse{Version: 2, Fault: &Fault{Code: PAAReceiptDuplicata, String: "ricevuta duplicata", ID: "80014480828", Description: "receiptId gia acquisito"}},
		"paSendRTReq": SendRTRequest{Version: 1, Target: target, Receipt: Receipt{
			ID: "c110729d258c4ab1b765fe902aae41d6", NoticeNumber: "301202600000004244", CreditorCode: "80014480828", Outcome: "OK",
			CreditorReferenceID: "01202600000004244", Amount: 1650, Description: "Viaggio di istruzione 3B", CompanyName: "Liceo di Prova",
			Debtor: Subject{Type: "F", ID: "RSSMRA80A01H501U", FullName: "Mario Rossi"},
			Transfers: []Transfer{{ID: 1, Amount: 1650, Creditor: "80014480828", IBAN: "IT60X0542811101000000123456",
				Remittance: "/RFB/01202600000004244/16.50/TXT/Viaggio di istruzione 3B", Category: "9/0801100AP/"}},
			PSPID: "ABI00000", PSPFiscalCode: "97735020584", PSPName: "Banca di Prova", Channel: "97735020584_01", ChannelDescription: "app",
			Method: "creditCard", Fee: ref[money.Cents](150), PaidAt: "2026-11-20T10:15:30", ApplicationDate: "2026-11-20", TransferDate: "2026-11-23",
		}},
	}
}

// Whatever people have typed, what goes out is valid.
func TestTextsAreMadeToFit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("à\x00<", 200)
	messages := make(map[string][]byte)
	for name, text := range map[string]string{"long": long, "empty": "", "blank": " ", "not UTF-8": strings.Repeat("\xFF", 300), "astral": strings.Repeat("𝔞", 300)} {
		debtor := Subject{Type: "F", ID: "ANONIMO", FullName: text, Street: text, Civic: text, Postcode: text, City: text, Province: text, Country: text, Email: text}
		transfer := Transfer{ID: 1, Amount: 1, Creditor: "80014480828", Company: text, IBAN: "IT60X0542811101000000123456", Remittance: text, Category: text, Metadata: []Entry{{text, text}}}
		payment := Payment{CreditorReferenceID: "1", Amount: 1, DueDate: "2026-12-31", RetentionDate: text, Description: text, CompanyName: text, OfficeName: text,
			Debtor: debtor, Transfers: []Transfer{transfer}, Metadata: []Entry{{text, text}}}
		payable := Payable{Option: &PaymentOption{Amount: 1, Options: "EQ", DueDate: text, Detail: text}, Description: text, CreditorCode: text, CompanyName: text, OfficeName: text}
		receipt := Receipt{ID: text, NoticeNumber: "301202600000004244", CreditorCode: "80014480828", Outcome: "OK", CreditorReferenceID: "1", Amount: 1,
			Description: text, CompanyName: text, OfficeName: text, Debtor: debtor, Transfers: []Transfer{transfer}, PSPID: "p", PSPFiscalCode: text, PSPVAT: text,
			PSPName: text, Channel: "c", ChannelDescription: text, Payer: &debtor, Method: text, PaymentNote: text, Bundle: text, CIBundle: text,
			PaidAt: text, ApplicationDate: text, TransferDate: text}
		target, qr := Target{"80014480828", "80014480828", "80014480828_01"}, QRCode{"80014480828", "301202600000004244"}
		for kind, m := range map[string]Message{
			"verify":    VerifyResponse{Payable: payable},
			"demand":    DemandResponse{QRCode: &qr, Payable: payable},
			"get":       GetPaymentResponse{Version: 1, Payment: &payment},
			"getV2":     GetPaymentResponse{Version: 2, Payment: &payment},
			"rt":        SendRTRequest{Version: 1, Target: target, Receipt: receipt},
			"rtV2":      SendRTRequest{Version: 2, Target: target, Receipt: receipt},
			"ask":       GetPaymentRequest{Version: 2, Target: target, QRCode: qr, PaymentNote: text, TransferType: text, DueDate: text},
			"refuse":    VerifyResponse{Fault: &Fault{Code: FaultCode(text), String: text, ID: text, Description: text}},
			"refuse RT": SendRTResponse{Version: 2, Fault: NewFault("PAA_NEW", text, text)},
		} {
			name := name + " " + kind
			messages[name] = m.Append(nil)
			if err := verdict(t, messages[name]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	services[0].mustBeValid(t, messages)
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		most int
		want string
	}{
		{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"àèì", 3, "àèì"}, {"àèìò", 3, "àèì"}, {"𝔞b\xFFc", 3, "𝔞b\xFF"},
	} {
		got := cut(tc.in, tc.most)
		if got != tc.want || utf8.RuneCountInString(got) > tc.most {
			t.Errorf("cut(%q, %d) = %q, want %q", tc.in, tc.most, got, tc.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	full := fullMessages()
	for name, tc := range map[string]struct {
		message string
		read    func(*soap.Envelope) (Message, error)
		unknown bool
	}{
		"another root":                {`<pafn:paFly xmlns:pafn="` + PaForNodeNamespace + `"/>`, ReadPaForNode, true},
		"another namespace":           {strings.Replace(string(full["paSendRTReq"].Append(nil)), PaForNodeNamespace, "urn:x", 1), ReadPaForNode, true},
		"no namespace":                {"<paSendRTReq/>", ReadPaForNode, true},
		"a response as a request":     {string(full["paSendRTRes"].Append(nil)), ReadPaForNode, true},
		"a request as a response":     {string(full["paSendRTReq"].Append(nil)), ReadPaForNodeResponse, true},
		"OK with a fault":             {strings.Replace(string(full["paSendRTRes-KO"].Append(nil)), "KO", "OK", 1), ReadPaForNodeResponse, false},
		"KO without a fault":          {strings.Replace(string(full["paSendRTRes"].Append(nil)), "OK", "KO", 1), ReadPaForNodeResponse, false},
		"verify KO without a fault":   {strings.Replace(string(full["paVerifyPaymentNoticeRes"].Append(nil)), "OK", "KO", 1), ReadPaForNodeResponse, false},
		"verify OK with nothing":      {strings.ReplaceAll(string(full["paSendRTRes"].Append(nil)), "paSendRTRes", "paVerifyPaymentNoticeRes"), ReadPaForNodeResponse, false},
		"get OK with nothing":         {strings.ReplaceAll(string(full["paSendRTRes"].Append(nil)), "paSendRTRes", "paGetPaymentV2Response"), ReadPaForNodeResponse, false},
		"get KO without a fault":      {strings.Replace(string(full["paGetPaymentRes"].Append(nil)), "OK", "KO", 1), ReadPaForNodeResponse, false},
		"demand OK with nothing":      {strings.ReplaceAll(string(full["paSendRTRes"].Append(nil)), "paSendRTRes", "paDemandPaymentNoticeResponse"), ReadPaForNodeResponse, false},
		"demand KO without a fault":   {strings.Replace(string(full["paDemandPaymentNoticeResponse"].Append(nil)), "OK", "KO", 1), ReadPaForNodeResponse, false},
		"V1 receipt with V2 elements": {strings.ReplaceAll(string(full["paSendRTV2Request"].Append(nil)), "paSendRTV2Request", "paSendRTReq"), ReadPaForNode, false},
	} {
		m, err := tc.read(parse(t, []byte(tc.message)))
		if schema := (*SchemaError)(nil); m != nil || errors.Is(err, ErrUnknown) != tc.unknown || errors.As(err, &schema) == tc.unknown {
			t.Errorf("%s: got %v, %v", name, m, err)
		}
	}
}

// TestStableWords: these go over the wire and into stores.
func TestStableWords(t *testing.T) {
	t.Parallel()
	const want = `PAA_ID_DOMINIO_ERRATO Identificativo dominio errato
PAA_ID_INTERMEDIARIO_ERRATO Identificativo intermediario errato
PAA_PAGAMENTO_ANNULLATO Pagamento annullato
PAA_PAGAMENTO_DUPLICATO Pagamento duplicato
PAA_PAGAMENTO_IN_CORSO Pagamento in corso
PAA_PAGAMENTO_SCADUTO Pagamento scaduto
PAA_PAGAMENTO_SCONOSCIUTO Pagamento sconosciuto
PAA_RECEIPT_DUPLICATA Ricevuta duplicata
PAA_SEMANTICA Errore semantico
PAA_SINTASSI_EXTRAXSD Errore di sintassi extra XSD
PAA_SINTASSI_XSD Errore di sintassi XSD
PAA_STAZIONE_INT_ERRATA Stazione intermediario errata
PAA_SYSTEM_ERROR Errore generico
PPT_ATTIVAZIONE_IN_CORSO Attivazione in corso
PPT_AUTENTICAZIONE Errore di autenticazione
PPT_AUTORIZZAZIONE Il richiedente non ha i diritti per l'operazione
PPT_CANALE_DISABILITATO Canale conosciuto ma disabilitato da configurazione
PPT_CANALE_SCONOSCIUTO Canale sconosciuto
PPT_DOMINIO_DISABILITATO Dominio disabilitato
PPT_DOMINIO_SCONOSCIUTO IdentificativoDominio sconosciuto
PPT_ERRORE_EMESSO_DA_PAA Errore restituito dall'Ente Creditore
PPT_ERRORE_IDEMPOTENZA Errore idempotenza
PPT_ESITO_GIA_ACQUISITO L'esito del pagamento risulta già acquisito dal sistema pagoPA
PPT_FLUSSO_DUPLICATO Flusso di rendicontazione duplicato
PPT_IBAN_NON_CENSITO Il codice IBAN indicato dal EC non è presente nella lista degli IBAN comunicati al sistema pagoPA
PPT_ID_CARRELLO_DUPLICATO Identificativo Carrello RPT duplicato
PPT_INTERMEDIARIO_PA_DISABILITATO Intermediario dominio disabilitato
PPT_INTERMEDIARIO_PA_SCONOSCIUTO Identificativo intermediario dominio sconosciuto
PPT_INTERMEDIARIO_PSP_DISABILITATO Intermediario psp disabilitato
PPT_INTERMEDIARIO_PSP_SCONOSCIUTO Identificativo intermediario psp sconosciuto
PPT_MULTI_BENEFICIARIO La chiamata non è compatibile con il nuovo modello PSP
PPT_PAGAMENTO_DUPLICATO Pagamento in attesa risulta concluso al sistema pagoPA
PPT_PAGAMENTO_IN_CORSO Pagamento in attesa risulta in corso al sistema pagoPA
PPT_PAGAMENTO_SCONOSCIUTO Pagamento sconosciuto
PPT_PSP_DISABILITATO PSP conosciuto ma disabilitato da configurazione
PPT_PSP_SCONOSCIUTO PSP sconosciuto
PPT_SEMANTICA Errore semantico
PPT_SINTASSI_EXTRAXSD Errore di sintassi extra XSD
PPT_SINTASSI_XSD Errore di sintassi XSD
PPT_SOAPACTION_ERRATA SOAPAction errata
PPT_STAZIONE_INT_PA_DISABILITATA Stazione disabilitata
PPT_STAZIONE_INT_PA_ERRORE_RESPONSE Errore di risposta dalla stazione
PPT_STAZIONE_INT_PA_IRRAGGIUNGIBILE Errore di connessione verso la Stazione
PPT_STAZIONE_INT_PA_SCONOSCIUTA IdentificativoStazioneRichiedente sconosciuto
PPT_STAZIONE_INT_PA_SERVIZIO_NONATTIVO Il Servizio Applicativo della Stazione non è attivo
PPT_STAZIONE_INT_PA_TIMEOUT Timeout risposta dalla Stazione
PPT_SUPERAMENTOSOGLIA Una qualche soglia fissata per PPT è temporaneamente superata e la richiesta è quindi rifiutata
PPT_SYSTEM_ERROR Errore generico
PPT_TOKEN_SCADUTO paymentToken is expired
PPT_TOKEN_SCADUTO_KO paymentToken is expired
PPT_TOKEN_SCONOSCIUTO unknown token
`
	var got []string
	for code := range faultStrings {
		got = append(got, string(code)+" "+NewFault(code, "", "").String+"\n")
	}
	if joined := strings.Join(slices.Sorted(slices.Values(got)), ""); joined != want {
		t.Errorf("fault codes:\n%s\nwant\n%s", joined, want)
	}
}

func FuzzReadPaForNode(f *testing.F) { fuzzRead(f, services[0]) }

func FuzzReadNodeForPsp(f *testing.F) { fuzzRead(f, services[1]) }

func fuzzRead(f *testing.F, s service) {
	for _, m := range s.messages() {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		env, err := soap.Parse(soap.AppendEnvelope(nil, func(b []byte) []byte { return append(b, body...) }))
		if err != nil {
			return
		}
		m, err := s.read(env)
		if err != nil {
			return
		}
		if r, ok := m.(BollettinoResponse); ok {
			r.StandIn = false // the one thing that is read and not written
			m = r
		}
		// What was read is written as the same again, but for an optional
		// boolean or fault text that says nothing.
		again, err := s.read(parse(t, m.Append(nil)))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("read\n%+v\nread again\n%+v, %v", m, again, err)
		}
	})
}

func BenchmarkReadReceipt(b *testing.B) {
	raw := soap.AppendEnvelope(nil, fullMessages()["paSendRTV2Request"].Append)
	b.ReportAllocs()
	for b.Loop() {
		env, err := soap.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ReadPaForNode(env); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteVerifyResponse(b *testing.B) {
	m := fullMessages()["paVerifyPaymentNoticeRes"]
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = soap.AppendEnvelope(buf[:0], m.Append)
	}
}
