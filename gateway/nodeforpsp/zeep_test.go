// SPDX-License-Identifier: Apache-2.0

package nodeforpsp_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// python is an interpreter that has zeep: Debian's own, whatever stands before
// it in the path.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import zeep").Run() == nil {
			return name
		}
	}
	missing(t, "no python3 with zeep (python3-zeep)")
	return ""
}

// The official WSDLs work in a SOAP client that is not ours: it builds every
// request and checks every answer by them alone.
func TestForeignClient(t *testing.T) {
	interpreter := python(t)
	for _, version := range []string{"pagopa-api", "pagopa-api-SANP3.13.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f := newFace(t, gatewaytest.New(t))
			var notices []gateway.Notice
			var numbers []string
			for range 4 {
				n := f.IssueAt(f.postal.Code)
				notices, numbers = append(notices, n), append(numbers, n.Number.String())
			}
			c, err := f.OpenContribution(ctx, gatewaytest.Operator, f.postal.Code, gateway.NewContribution{Description: "Contributo", Amount: 5000, DueDate: "2026-12-31"})
			if err != nil {
				t.Fatal(err)
			}
			in, err := json.Marshal(map[string]any{
				"psp":    map[string]string{"idPSP": "ABI00001", "idBrokerPSP": "97735020584", "idChannel": "97735020584_01", "password": pspPassword},
				"school": f.postal.Code, "account": postalAccount, "iban": postalIBAN, "amount": "16.50", "notices": numbers, "service": c.Service,
				"gift": []byte("<contributoVolontario><codiceFiscale>RSSMRA80A01H501U</codiceFiscale><nominativo>Mario Rossi</nominativo></contributoVolontario>"),
			})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(interpreter, filepath.Join("testdata", "zeep_client.py"), filepath.Dir(official(t, version, "wsdl", "nodeForPsp.wsdl")), f.url)
			var stderr bytes.Buffer
			cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			type transfers struct {
				Transfer []struct {
					IBAN string
				} `json:"transfer"`
			}
			var answers map[string]struct {
				Outcome string `json:"outcome"`
				Fault   any    `json:"fault"`
				Total   string `json:"totalAmount"`
				Data    struct {
					Amount    string    `json:"paymentAmount"`
					Transfers transfers `json:"transferList"`
				} `json:"data"`
			}
			if err := json.Unmarshal(out, &answers); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if len(answers) != 13 {
				t.Errorf("%d operations answered, want 13", len(answers))
			}
			for name, a := range answers {
				if a.Outcome != "OK" || a.Fault != nil {
					t.Errorf("%s: %+v", name, a)
				}
			}
			if a := answers["activatePaymentNoticeV2"]; a.Total != "16.50" {
				t.Errorf("activated %+v", a)
			}
			if a := answers["paGetPaymentV2"].Data; a.Amount != "16.50" || len(a.Transfers.Transfer) != 1 || a.Transfers.Transfer[0].IBAN != postalIBAN {
				t.Errorf("payment %+v", a)
			}
			for _, n := range notices {
				f.wantState(t, n, gateway.NoticePaid)
			}
			r := f.wantReceipts(t, notices[0], gateway.AnomalyNone)[0]
			if r.Content.Payer == nil || r.Content.Payer.FullName != "Niccolò D'Àncona & figli <3>" {
				t.Errorf("payer %+v", r.Content.Payer)
			}
		})
	}
}
