// SPDX-License-Identifier: Apache-2.0

package xml

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
	"github.com/nodogate/nodogate/iuv"
	"github.com/nodogate/nodogate/receipts"
)

func ref[T any](v T) *T { return &v }

// full has every field set.
func full(t testing.TB) receipts.Receipt {
	t.Helper()
	number, err := iuv.Parse("301202600000004244")
	if err != nil {
		t.Fatal(err)
	}
	entries := []receipts.Entry{{Key: "CODICE <1>", Value: "a & b"}}
	return receipts.Receipt{
		ID: "c110729d258c4ab1b765fe902aae41d6", Notice: number, Creditor: "80014480828", Outcome: "OK",
		CreditorReferenceID: number.IUV(), Amount: 1650, Description: "Viaggio di istruzione 3B",
		CompanyName: "Liceo di Prova", OfficeName: "Segreteria",
		Debtor: receipts.Subject{
			Type: "F", ID: "RSSMRA80A01H501U", FullName: "Mario Rossi", Street: "Via Roma", Civic: "1/bis", Postcode: "00100",
			City: "Roma", Province: "RM", Country: "IT", Email: "mario.rossi@example.it",
		},
		Transfers: []receipts.Transfer{
			{ID: 1, Amount: 1050, Creditor: "80014480828", Company: "Liceo di Prova", IBAN: "IT60X0542811101000000123456", Remittance: "gita", Category: "9/0801100AP/", Metadata: entries},
			{ID: 2, Amount: 600, Creditor: "80014480828", Company: "Liceo di Prova", Stamp: "PG1hcmNhLz4=", Remittance: "bollo", Category: "9/0801100AP/"},
		},
		PSP:                receipts.PSP{ID: "ABI00000", FiscalCode: "97735020584", VAT: "15376371009", Name: "Banca di Prova", Channel: "97735020584_01"},
		ChannelDescription: "app", Payer: &receipts.Subject{Type: "G", ID: "01199250158", FullName: "Associazione genitori"},
		Method: "creditCard", PaymentNote: "cart-0001", Fee: ref[money.Cents](150), CreditorFee: ref[money.Cents](0), Bundle: "b", CIBundle: "c",
		PaidAt: time.Date(2026, 11, 20, 9, 15, 30, 123456000, time.UTC), ApplicationDate: "2026-11-20", TransferDate: "2026-11-23",
		Metadata: entries, StandIn: true,
	}
}

// message is r in a whole request.
func message(r receipts.Receipt, version int) []byte {
	request := pagopa.SendRTRequest{
		Version: version,
		Target:  pagopa.Target{PA: "80014480828", Broker: "80015010723", Station: "80015010723_01"},
		Receipt: ToMessage(r),
	}
	return soap.AppendEnvelope(nil, request.Append)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want := full(t)
	if err := receipts.Check(want); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(message(want, 2))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read back\n%+v, %v\nwant\n%+v", got, err, want)
	}
	small := receipts.Receipt{
		ID: "1", Notice: want.Notice, Creditor: "80014480828", Outcome: "OK", CreditorReferenceID: want.CreditorReferenceID, Amount: 1,
		Description: "d", CompanyName: "c", Debtor: receipts.Subject{Type: "F", ID: "ANONIMO", FullName: "n"},
		Transfers: []receipts.Transfer{{ID: 5, Amount: 1, Creditor: "80014480828", IBAN: "i", Remittance: "r", Category: "c"}},
		PSP:       receipts.PSP{ID: "p", Name: "n", Channel: "c"}, ChannelDescription: "d",
	}
	for _, version := range []int{1, 2} {
		if got, err = Parse(message(small, version)); err != nil || !reflect.DeepEqual(got, small) {
			t.Errorf("V%d: read back\n%+v, %v\nwant\n%+v", version, got, err, small)
		}
	}
}

// A receipt that comes as V1 after V2 says the same.
func TestVersionsHaveOneContent(t *testing.T) {
	t.Parallel()
	r := full(t)
	r.Transfers[1].Stamp, r.Transfers[1].IBAN = "", "IT60X0542811101000000123456" // V1 knows no stamp
	v1, err1 := Parse(message(r, 1))
	v2, err2 := Parse(message(r, 2))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if reflect.DeepEqual(v1, v2) || v1.Content() != v2.Content() {
		t.Errorf("V1\n%+v\nV2\n%+v", v1, v2)
	}
}

func TestPaidAt(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                  "0001-01-01T00:00:00Z",
		"2026-11-20T10:15:30":               "2026-11-20T09:15:30Z", // Rome, winter
		"2026-07-20T10:15:30":               "2026-07-20T08:15:30Z", // Rome, summer
		"2026-11-20T10:15:30Z":              "2026-11-20T10:15:30Z",
		"2026-11-20T10:15:30.1234567+09:00": "2026-11-20T01:15:30.123456Z",
	} {
		m := ToMessage(full(t))
		m.PaidAt = in
		r, err := FromMessage(m)
		if got := r.PaidAt.Format(time.RFC3339Nano); err != nil || got != want || r.PaidAt.Location() != time.UTC {
			t.Errorf("paymentDateTime %q is %s, %v; want %s", in, got, err, want)
		}
	}
	if got := ToMessage(full(t)).PaidAt; got != "2026-11-20T10:15:30.123456+01:00" {
		t.Errorf("written as %s", got)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	good := string(message(full(t), 2))
	verify := pagopa.VerifyRequest{
		Target: pagopa.Target{PA: "80014480828", Broker: "80015010723", Station: "80015010723_01"},
		QRCode: pagopa.QRCode{CreditorCode: "80014480828", NoticeNumber: "301202600000004244"},
	}
	var syntax *soap.ParseError
	var schema *pagopa.SchemaError
	for _, tc := range []struct {
		name, raw string
		is        func(error) bool
	}{
		{"no XML", "x", func(err error) bool { return errors.As(err, &syntax) }},
		{"cut", good[:len(good)/2], func(err error) bool { return errors.As(err, &syntax) }},
		{"not valid", strings.Replace(good, "<outcome>OK", "<outcome>NO", 1), func(err error) bool { return errors.As(err, &schema) }},
		{"unknown message", strings.ReplaceAll(good, "paSendRTV2Request", "paSendRTV3Request"), func(err error) bool { return errors.Is(err, pagopa.ErrUnknown) }},
		{"no receipt", string(soap.AppendEnvelope(nil, verify.Append)), func(err error) bool { return errors.Is(err, ErrNoReceipt) }},
		{"aux digit 9", strings.Replace(good, "<noticeNumber>3", "<noticeNumber>9", 1), func(err error) bool {
			return errors.Is(err, receipts.ErrInconsistent) && errors.Is(err, iuv.ErrAux)
		}},
		{"empty receiptId", strings.Replace(good, "c110729d258c4ab1b765fe902aae41d6", "", 1), func(err error) bool { return errors.Is(err, receipts.ErrInconsistent) }},
		{"overlong receiptId", strings.Replace(good, "c110729d", strings.Repeat("c", 256), 1), func(err error) bool { return errors.Is(err, receipts.ErrInconsistent) }},
	} {
		if r, err := Parse([]byte(tc.raw)); !tc.is(err) || !reflect.DeepEqual(r, receipts.Receipt{}) {
			t.Errorf("%s: got %+v, %v", tc.name, r, err)
		}
	}
	m := ToMessage(full(t))
	m.PaidAt = "yesterday"
	if _, err := FromMessage(m); err == nil {
		t.Error("a paymentDateTime that is none: no error")
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"paSendRTReq.xml", "paSendRTV2Request.xml"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "pagopa", "samples", name))
		if err != nil {
			if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
				t.Fatal(err)
			}
			t.Skip("the samples are not there")
		}
		_, body, _ := bytes.Cut(raw, []byte("?>"))
		r, err := Parse(soap.AppendEnvelope(nil, func(b []byte) []byte { return append(b, body...) }))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := receipts.Check(r); err != nil || r.Amount != 1650 || r.PaidAt.Hour() != 9 || len(r.Transfers) != 1 {
			t.Errorf("%s: %v in %+v", name, err, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message(full(f), 1))
	f.Add(message(full(f), 2))
	f.Add([]byte("<"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := Parse(raw)
		if err != nil {
			return
		}
		r.Content() // must never panic on what was read
		// Rome had no whole minutes before 1894, which xsd:dateTime cannot say.
		if r.PaidAt.Year() < 1894 {
			r.PaidAt = time.Time{}
		}
		again, err := Parse(message(r, 2))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("read\n%+v\nread again\n%+v, %v", r, again, err)
		}
	})
}
