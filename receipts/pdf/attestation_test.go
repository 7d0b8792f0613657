// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
)

func attestation(year, payments int) Attestation {
	a := Attestation{Year: year, Pupil: Person{"Maria Rossi", "RSSMRA10A41H501F"}}
	for i := range payments {
		p := Payment{
			School: School{Name: "IC 6 Grosseto", Code: "80014480828"}, Number: "3012 0260 0000 0004 24",
			Description: fmt.Sprintf("Viaggio di istruzione %d", i+1), Class: "3B", PaidAt: time.Date(2026, 3, 12+i%15, 22, 30, 0, 0, time.UTC),
			Amount: 1650, Payer: &Person{"Mario Rossi", "RSSMRA80A01H501U"}, Method: "creditCard", PSP: "Banca Uno", ReceiptID: fmt.Sprintf("rt-%d", i),
		}
		if i == 1 {
			p.Payer = nil
		}
		a.Payments = append(a.Payments, p)
	}
	return a
}

func TestAttestation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		a    Attestation
		says []string
	}{
		{"one payment", attestation(0, 1), []string{"Attestazione di pagamento", "16,50", "Maria Rossi", "RSSMRA10A41H501F", "Mario Rossi", "RSSMRA80A01H501U",
			"IC 6 Grosseto", "80014480828", "3012 0260 0000 0004 24", "12 marzo 2026, ore 23:30:00", "carta di pagamento", "Banca Uno", "rt-0"}},
		{"a year", attestation(2026, 40), []string{"Attestazione dei pagamenti 2026", "660,00", "12/03/2026", "non indicato", "Viaggio di istruzione 40"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteAttestation(&b, tt.a); err != nil {
				t.Fatal(err)
			}
			var again bytes.Buffer
			if err := WriteAttestation(&again, tt.a); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
				t.Errorf("the same again gives other bytes, %v", err)
			}
			shown := strings.Join(strings.Fields(poppler(t, "pdftotext", b.Bytes(), "-layout", "-")), " ")
			for _, want := range tt.says {
				if !bytes.Contains([]byte(shown), []byte(want)) {
					t.Errorf("does not say %q:\n%s", want, shown)
				}
			}
		})
	}
	if err := WriteAttestation(&bytes.Buffer{}, Attestation{}); !errors.Is(err, ErrNoPayments) {
		t.Errorf("nothing paid: %v", err)
	}
	much := attestation(2026, 2)
	much.Payments[0].Amount, much.Payments[1].Amount = money.Max, money.Max
	if err := WriteAttestation(&bytes.Buffer{}, much); !errors.Is(err, money.ErrRange) {
		t.Errorf("too much: %v", err)
	}
}
