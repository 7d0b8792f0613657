// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"

	"github.com/nodogate/nodogate/gateway/money"
)

func TestParseFiscalCode(t *testing.T) {
	for _, tc := range []struct {
		in, want string
		err      error
	}{
		{"RSSMRA80A01H501U", "RSSMRA80A01H501U", nil},
		{" rssmra80a01h501u ", "RSSMRA80A01H501U", nil},
		{"BSCMTT83A12L719R", "BSCMTT83A12L719R", nil},
		{"JHNDOE00A01F205N", "JHNDOE00A01F205N", nil},
		{"VRDGPP13R10B293P", "VRDGPP13R10B293P", nil},
		{"RSSMRA80A01H50MM", "RSSMRA80A01H50MM", nil}, // omocodia: one letter
		{"RSSMRA80A01H5LMX", "RSSMRA80A01H5LMX", nil},
		{"RSSMRAULALMHRLMD", "RSSMRAULALMHRLMD", nil}, // all seven
		{"RSSMRA10A41H501F", "RSSMRA10A41H501F", nil},
		{"ANONIMO", "ANONIMO", nil},
		{"00488410010", "00488410010", nil},
		{"FRRPLA90C41H501Y", "", ErrFiscalCodeCheck}, // published in a test, wrong
		{"RSSMRA80A01H501V", "", ErrFiscalCodeCheck},
		{"00488410011", "", ErrFiscalCodeCheck},
		{"RSSMRA80F01H501U", "", ErrFiscalCodeForm}, // F is no month
		{"RSSMRA8AA01H501U", "", ErrFiscalCodeForm},
		{"RSS1RA80A01H501U", "", ErrFiscalCodeForm},
		{"RSSMRA80A01H501", "", ErrFiscalCodeForm},
		{"RSSMRA80A01H501ÙX", "", ErrFiscalCodeForm},
		{"", "", ErrFiscalCodeForm},
	} {
		got, err := ParseFiscalCode(tc.in)
		if string(got) != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("ParseFiscalCode(%q) = %q, %v; want %q, %v", tc.in, string(got), err, tc.want, tc.err)
		}
	}
}

func TestOfAge(t *testing.T) {
	t.Parallel()
	on := Date{Year: 2026, Month: time.November, Day: 23}
	for code, want := range map[FiscalCode]bool{
		"RSSMRA80A01H501U": true, "RSSMRA10A41H501F": false, "80014480828": false, Anonymous: false, "": false,
		"RSSMRA08S23H501X": true,  // 18 today
		"RSSMRA08S24H501X": false, // tomorrow
		"RSSMRA08S64H501X": false, // a woman, tomorrow
		"RSSMRA08S63H501X": true,
		"RSSMRA26S24H501X": true,  // born in 1926
		"RSSMRA26S23H501X": false, // today
		"RSSMRAUUS24H501X": true,  // 1999, by letters
		"RSSMRA00B29H501X": true,
	} {
		if got := code.OfAge(on); got != want {
			t.Errorf("%s is of age: %t", code, got)
		}
	}
	if FiscalCode("RSSMRA08B29H501X").OfAge(Date{Year: 2026, Month: time.February, Day: 28}) || !FiscalCode("RSSMRA08B29H501X").OfAge(Date{Year: 2026, Month: time.March, Day: 1}) {
		t.Error("who was born on the 29th of February comes of age on the 1st of March")
	}
}

func TestParseSchoolCode(t *testing.T) {
	for _, ok := range []string{"80014480828", "80015010723", "97735020584", "15376371009", "01199250158", "77777777777"} {
		if _, err := ParseSchoolCode(ok); err != nil {
			t.Errorf("ParseSchoolCode(%q) = %v", ok, err)
		}
	}
	for _, bad := range []string{"", "8001448082", "800144808280", "80014480829", "8001448082x", "٨0014480828"} {
		if _, err := ParseSchoolCode(bad); err == nil {
			t.Errorf("ParseSchoolCode(%q) passed", bad)
		}
	}
}

func TestParseIBAN(t *testing.T) {
	for _, ok := range []string{
		"IT60X0542811101000000123456", "it60 x054 2811 1010 0000 0123 456", "IT50H0100003245142300316570",
		"IT77Z0306978444100000046005", "IT45R0760103200000000001016", "IT15L0760117400001007214826", "DE89370400440532013000",
	} {
		if _, err := ParseIBAN(ok); err != nil {
			t.Errorf("ParseIBAN(%q) = %v", ok, err)
		}
	}
	for _, bad := range []string{"", "IT60X0542811101000000123457", "IT60X054281110100000012345", "IT60-0542811101000000123456", "IT23A0542811101000000123456"} {
		if got, err := ParseIBAN(bad); !errors.Is(err, ErrIBAN) {
			t.Errorf("ParseIBAN(%q) = %q, %v", bad, got, err)
		}
	}
	if !IBAN("IT45R0760103200000000001016").Postal() || IBAN("IT60X0542811101000000123456").Postal() {
		t.Error("Postal is wrong")
	}
}

func TestDate(t *testing.T) {
	for _, bad := range []string{"", "2026-02-30", "2026-2-3", "31/12/2026", "1999-12-31", "2200-01-01", "2026-12-31T00:00:00Z"} {
		if d, err := ParseDate(bad); !errors.Is(err, ErrDate) {
			t.Errorf("ParseDate(%q) = %v, %v", bad, d, err)
		}
	}
	for _, tc := range []struct{ day, deadline string }{
		{"2026-12-31", "2026-12-31T23:00:00Z"}, // winter: UTC+1
		{"2026-07-31", "2026-07-31T22:00:00Z"}, // summer: UTC+2
		{"2026-10-25", "2026-10-25T23:00:00Z"}, // the night the clocks go back
		{"2026-03-28", "2026-03-28T23:00:00Z"}, // the eve of going forward
	} {
		d, err := ParseDate(tc.day)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Deadline().Format(time.RFC3339); got != tc.deadline {
			t.Errorf("%s.Deadline() = %s, want %s", tc.day, got, tc.deadline)
		}
		if d.String() != tc.day {
			t.Errorf("%v.String() = %s", tc.day, d)
		}
	}
	if d := (Date{2026, 12, 31}).AddDays(1); d != (Date{2027, 1, 1}) {
		t.Errorf("AddDays = %v", d)
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 999, time.UTC)
	c := NewClock(func() time.Time { return at }, time.Time{})
	first := c.Now()
	if first.Nanosecond()%1000 != 0 || first.Location() != time.UTC {
		t.Errorf("Now() = %v, want whole microseconds in UTC", first)
	}
	at = at.Add(-time.Hour)
	if got := c.Now(); !got.Equal(first) {
		t.Errorf("after a step back Now() = %v, want %v", got, first)
	}
	floor := first.Add(24 * time.Hour)
	if got := NewClock(func() time.Time { return at }, floor).Now(); !got.Equal(floor) {
		t.Errorf("Now() = %v under the floor %v", got, floor)
	}
}

func TestStateAt(t *testing.T) {
	n := Notice{State: NoticeOpen, DueDate: Date{2026, 12, 31}}
	last := n.DueDate.Deadline()
	if got := n.StateAt(last.Add(-time.Microsecond)); got != NoticeOpen {
		t.Errorf("at the last moment of the day: %s", got)
	}
	if got := n.StateAt(last); got != NoticeExpired {
		t.Errorf("at midnight: %s", got)
	}
	n.PayableAfterDue = true
	if got := n.StateAt(last); got != NoticeOpen {
		t.Errorf("payable after due, at midnight: %s", got)
	}
}

// The unused hash must cost what a real one costs: were it unreadable, the
// comparison would end at once and tell that there is no such account.
func TestUnusedHashIsReal(t *testing.T) {
	p, salt, key, err := argon2id.DecodeHash(unusedHash)
	if err != nil {
		t.Fatal(err)
	}
	if *p != *hashParams || len(salt) != int(hashParams.SaltLength) || len(key) != int(hashParams.KeyLength) {
		t.Errorf("unused hash has %+v, salt %d, key %d; want %+v", p, len(salt), len(key), hashParams)
	}
}

func TestCheckPassword(t *testing.T) {
	for p, ok := range map[string]bool{
		"Abcdefg1": true, "àÈ345678": true, "Abcdef1": false, "abcdefg1": false, "ABCDEFG1": false, "Abcdefgh": false, "": false,
	} {
		if err := CheckPassword(p); (err == nil) != ok {
			t.Errorf("CheckPassword(%q) = %v", p, err)
		}
	}
}

func cents(n int64) money.Cents { return money.Cents(n) }

func TestJudge(t *testing.T) {
	day := Date{2026, 12, 31}
	before, after := day.Deadline().Add(-time.Hour), day.Deadline()
	open := Notice{State: NoticeOpen, Amount: 1650, PastAmounts: nil, DueDate: day}
	with := func(f func(*Notice)) *Notice { n := open; f(&n); return &n }
	for _, tc := range []struct {
		name    string
		n       *Notice
		amount  int64
		earlier int64
		odd     oddity
		now     time.Time
		pays    bool
		anomaly Anomaly
	}{
		{"all fits", &open, 1650, 0, oddity{}, before, true, AnomalyNone},
		{"unknown notice", nil, 1650, 0, oddity{}, before, false, AnomalyUnknown},
		{"already paid", with(func(n *Notice) { n.State = NoticePaid }), 1650, 0, oddity{}, before, false, AnomalyDouble},
		{"already paid, other amount", with(func(n *Notice) { n.State = NoticePaid }), 1, 0, oddity{}, before, false, AnomalyDouble},
		{"expired", &open, 1650, 0, oddity{}, after, true, AnomalyExpired},
		{"expired in the store", with(func(n *Notice) { n.State = NoticeExpired }), 1650, 0, oddity{}, before, true, AnomalyExpired},
		{"cancelled", with(func(n *Notice) { n.State = NoticeCancelled }), 1650, 0, oddity{}, before, true, AnomalyCancelled},
		{"too little", &open, 1649, 0, oddity{}, before, false, AnomalyAmount},
		{"too little, the rest came before", &open, 650, 1000, oddity{}, before, true, AnomalyAmount},
		{"too much", &open, 1651, 0, oddity{}, before, true, AnomalyAmount},
		{"an amount it had", with(func(n *Notice) { n.PastAmounts = append(n.PastAmounts, 1500) }), 1500, 0, oddity{}, before, true, AnomalyAmount},
		{"late", &open, 1650, 0, oddity{late: true}, before, true, AnomalyLate},
		{"late, another pays now", &open, 1650, 0, oddity{late: true, rival: true}, before, false, AnomalyLate},
		{"late, another has paid", with(func(n *Notice) { n.State = NoticePaid }), 1650, 0, oddity{late: true}, before, false, AnomalyLate},
		{"another station of ours", &open, 1650, 0, oddity{station: true}, before, true, AnomalyStation},
	} {
		pays, anomaly := judge(tc.n, cents(tc.amount), cents(tc.earlier), tc.odd, tc.now)
		if pays != tc.pays || anomaly != tc.anomaly {
			t.Errorf("%s: judge = %v, %q; want %v, %q", tc.name, pays, anomaly, tc.pays, tc.anomaly)
		}
	}
}
