// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"gopkg.in/yaml.v3"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

const (
	appKey     = "the-service-key"
	motherCode = gateway.FiscalCode("VRDLCU82H55E202K")
)

// citizens is App IO: it does as it is told and keeps what it was sent.
type citizens struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	profiles map[string]string // answers by code; one that is missing has no app
	got      []appMessage
	asked    []string        // paths and keys, in order
	raw      []*http.Request // with bodies
	answer   func(path string, n int) int
	head     http.Header
}

const welcome = `{"sender_allowed":true,"preferred_languages":["it_IT"]}`

func newCitizens(t *testing.T) *citizens {
	c := &citizens{t: t, head: http.Header{}, profiles: map[string]string{string(gatewaytest.ParentCode): welcome, string(motherCode): welcome}}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	c.url = srv.URL + "/api/v1"
	return c
}

func (c *citizens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")
	n := len(c.asked)
	c.asked = append(c.asked, path+" "+r.Header.Get("Ocp-Apim-Subscription-Key"))
	if r.Method != http.MethodPost || path != "/profiles" && path != "/messages" || r.URL.RawQuery != "" {
		c.t.Errorf("%s %s", r.Method, r.URL)
	}
	r = r.Clone(context.WithoutCancel(r.Context())) // the server goes on with its own
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.raw = append(c.raw, r)
	for k, v := range c.head {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/json")
	if c.answer != nil {
		switch status := c.answer(path, n); status {
		case 0:
			panic(http.ErrAbortHandler)
		case http.StatusOK:
		default:
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"detail":"about %s"}`, body)
			return
		}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if path == "/profiles" {
		var in struct {
			Code string `json:"fiscal_code"`
		}
		if err := dec.Decode(&in); err != nil {
			c.t.Errorf("%s: %v", body, err)
		}
		answer, known := c.profiles[in.Code]
		if !known {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, answer)
		return
	}
	var m appMessage
	if err := dec.Decode(&m); err != nil {
		c.t.Errorf("%s: %v", body, err)
	}
	c.got = append(c.got, m)
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, `{"id":"01BX9NSMKVXXS5PSP2FATZMYYY"}`)
}

func (c *citizens) does(f func(path string, n int) int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

// took empties what was sent, sorted by who gets it.
func (c *citizens) took() []appMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.got
	c.got, c.asked = nil, nil
	slices.SortFunc(list, func(a, b appMessage) int { return strings.Compare(string(a.Code), string(b.Code)) })
	return list
}

func (c *citizens) calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.asked
	c.asked = nil
	return list
}

func newAppOffice(g *gatewaytest.Gateway, c *citizens, keys map[gateway.SchoolCode]string) office {
	g.T.Helper()
	shared := appKey
	if keys != nil {
		shared = ""
	}
	app, err := NewAppIO(c.url, shared, keys, true)
	if err != nil {
		g.T.Fatal(err)
	}
	return newOffice(g, func(cfg *Config) { cfg.AppIO = app })
}

// coded registers a pupil with a father who has an address, and a mother who has
// none.
func (o office) coded() {
	o.T.Helper()
	o.family()
	err := o.PutPayer(o.T.Context(), gatewaytest.Operator, gateway.Payer{
		School: gatewaytest.SchoolCode, ID: "mother", Code: motherCode, FirstName: "Genitore", LastName: "Verdi", Language: "de",
	}, "p1", "mother")
	if err != nil {
		o.T.Fatal(err)
	}
}

func (o office) wantApp(template string, want outcome, n float64) {
	o.T.Helper()
	if got := testutil.ToFloat64(o.app.WithLabelValues(template, string(want))); got != n {
		o.T.Errorf("%s %s: counted %v, want %v", template, want, got, n)
	}
}

func TestFamilyIsToldInTheApp(t *testing.T) {
	t.Parallel()
	gatewaytest.Each(t, func(t *testing.T, g *gatewaytest.Gateway) {
		c := newCitizens(t)
		o := newAppOffice(g, c, nil)
		o.coded()
		n := g.Issue()
		o.drain()
		o.wantMails("father@example.org") // the mail goes all the same
		list := c.took()
		if len(list) != 2 || list[0].Code != gatewaytest.ParentCode || list[1].Code != motherCode {
			t.Fatalf("messages %+v", list)
		}
		father, mother := list[0].Content, list[1].Content
		if father.Subject != "Nuovo avviso di pagamento: IC 6 Grosseto" || mother.Subject != "Neue Zahlungsmitteilung: IC 6 Grosseto" {
			t.Errorf("subjects %q, %q", father.Subject, mother.Subject)
		}
		if !father.Silent || mother.Silent {
			t.Error("the app mails a copy to who gets our mail, or none to who gets none")
		}
		want := appPayment{Amount: 1650, Number: n.Number.String(), Invalid: true}
		want.Payee.Code = gatewaytest.SchoolCode
		if father.Payment == nil || *father.Payment != want || father.DueDate != "2026-12-31T22:59:59.000Z" || list[0].TTL != 604800 {
			t.Errorf("payment %+v until %s", father.Payment, father.DueDate)
		}
		for _, m := range list {
			for _, secret := range []string{"Rossi", "Verdi", "Genitore", string(gatewaytest.PupilCode), string(m.Code)} {
				if strings.Contains(m.Content.Subject+m.Content.Markdown, secret) {
					t.Errorf("%q stands in:\n%s", secret, m.Content.Markdown)
				}
			}
		}
		r := g.Settle(n, "")
		o.drain()
		if list = c.took(); len(list) != 2 || list[0].Content.Payment != nil || list[0].Content.DueDate != "" ||
			!strings.Contains(list[0].Content.Markdown, "(https://pagamenti.example/pagamenti/80014480828/"+r.ID+")") {
			t.Errorf("messages of a receipt %+v", list)
		}
		o.wantOutbox(kindApp, 0, 0)
		o.wantApp(templateIssued, sent, 2)
		o.wantApp(templatePaid, sent, 2)
		if g.Time.Advance(time.Hour); o.drain() != 0 {
			t.Error("something was delivered twice")
		}
		o.wantSilence(n.Number.String(), string(motherCode), appKey)
	})
}

// A reminder is a request to pay, and a notice that can be paid late says so.
func TestReminderInTheApp(t *testing.T) {
	t.Parallel()
	c := newCitizens(t)
	o := newAppOffice(gatewaytest.New(t), c, nil)
	o.coded()
	o.Issue()
	o.Issue(func(n *gateway.NewNotice) { n.PayableAfterDue = true }) // which nobody is reminded of
	o.drain()
	var late []bool
	for _, m := range c.took() {
		late = append(late, !m.Content.Payment.Invalid)
	}
	if len(late) != 4 || slices.Index(late, true) < 0 || slices.Index(late, false) < 0 {
		t.Errorf("payable late: %v", late)
	}
	o.Time.Advance(35 * 24 * time.Hour)
	if n, err := o.Remind(t.Context()); n != 1 || err != nil {
		t.Fatalf("Remind = %d, %v", n, err)
	}
	o.drain()
	list := c.took()
	if len(list) != 2 || list[0].Content.Payment == nil || list[0].Content.Subject != "Avviso in scadenza: IC 6 Grosseto" {
		t.Errorf("messages %+v", list)
	}
}

// TestAppAnswers tells for each answer of the service what becomes of a message.
func TestAppAnswers(t *testing.T) {
	t.Parallel()
	const no = `{"sender_allowed":false}`
	for _, test := range []struct {
		name             string
		profile          string // "" is nobody's
		profiles, answer int    // statuses; 200 is the usual
		outcome          outcome
		pending, parked  int
		calls            int
	}{
		{"has the app", welcome, 200, 200, sent, 0, 0, 2},
		{"has no app", "", 200, 200, refused, 0, 0, 1},
		{"switched the service off", no, 200, 200, refused, 0, 0, 1},
		{"profile without the answer", `{}`, 200, 200, retried, 1, 0, 1},
		{"profile is a web page", `<html>`, 200, 200, retried, 1, 0, 1},
		{"too many profiles", welcome, 429, 200, retried, 1, 0, 1},
		{"profiles away", welcome, 503, 200, retried, 1, 0, 1},
		{"profiles cut", welcome, 0, 200, retried, 1, 0, 1},
		{"key refused", welcome, 401, 200, retried, 1, 0, 1},
		{"key not of this service", welcome, 403, 200, retried, 1, 0, 1},
		{"code not taken", welcome, 400, 200, parked, 0, 1, 1},
		{"message refused", welcome, 200, 400, parked, 0, 1, 2},
		{"too large", welcome, 200, 413, parked, 0, 1, 2},
		{"too many messages", welcome, 200, 429, retried, 1, 0, 2},
		{"messages away", welcome, 200, 500, retried, 1, 0, 2},
		{"messages forbidden", welcome, 200, 403, retried, 1, 0, 2},
		{"redirected", welcome, 200, 302, retried, 1, 0, 2},
		{"answer lost", welcome, 200, 0, retried, 1, 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCitizens(t)
			delete(c.profiles, string(gatewaytest.ParentCode))
			if test.profile != "" {
				c.profiles[string(gatewaytest.ParentCode)] = test.profile
			}
			c.does(func(path string, _ int) int {
				if path == "/profiles" {
					return test.profiles
				}
				return test.answer
			})
			o := newAppOffice(gatewaytest.New(t), c, nil)
			o.family() // of whom the father has a code
			n := o.Issue()
			o.drain()
			o.wantMails("father@example.org", "mother@example.org")
			o.wantOutbox(kindApp, test.pending, test.parked)
			o.wantApp(templateIssued, test.outcome, 1)
			if got := c.calls(); len(got) != test.calls {
				t.Errorf("calls %q, want %d", got, test.calls)
			}
			if test.outcome == parked && !strings.Contains(o.log.String(), fmt.Sprintf("refused (%d)", max(test.profiles, test.answer))) {
				t.Errorf("the log does not say why:\n%s", o.log)
			}
			if (test.outcome == refused || test.outcome == sent) && o.log.Len() > 0 {
				t.Errorf("a quiet thing is logged:\n%s", o.log)
			}
			o.wantSilence(n.Number.String(), appKey)
		})
	}
}

// The service asks for patience: all that waits under the key waits, and then
// goes.
func TestAppAsksForPatience(t *testing.T) {
	t.Parallel()
	c := newCitizens(t)
	c.head.Set("Retry-After", "120")
	c.does(func(string, int) int { return 429 })
	o := newAppOffice(gatewaytest.New(t), c, nil)
	o.family()
	o.Issue()
	o.drain()
	if got := c.calls(); len(got) != 1 {
		t.Fatalf("calls %q", got)
	}
	c.does(nil)
	o.Issue()
	o.Time.Advance(time.Minute)
	o.drain()
	if got := c.calls(); got != nil {
		t.Errorf("called before its time: %q", got)
	}
	o.Time.Advance(time.Minute + time.Second)
	o.drain()
	if got := c.took(); len(got) != 2 {
		t.Errorf("%d messages, want 2", len(got))
	}
	o.wantOutbox(kindApp, 0, 0)
}

// A key that is refused holds up its own school only, and uses up few tries.
func TestAppKeysByThemselves(t *testing.T) {
	t.Parallel()
	c := newCitizens(t)
	g := gatewaytest.New(t)
	g.AddSchool(gatewaytest.OtherCode, "Liceo")
	o := newAppOffice(g, c, map[gateway.SchoolCode]string{gatewaytest.SchoolCode: "wrong", gatewaytest.OtherCode: "right"})
	o.family()
	err := errors.Join(
		o.PutPupil(t.Context(), gatewaytest.Operator, gateway.Pupil{School: gatewaytest.OtherCode, ID: "p1", Code: gatewaytest.PupilCode, FirstName: "Maria"}),
		o.PutPayer(t.Context(), gatewaytest.Operator, gateway.Payer{School: gatewaytest.OtherCode, ID: "father", Code: gatewaytest.ParentCode}, "p1", "father"),
	)
	if err != nil {
		t.Fatal(err)
	}
	c.does(func(_ string, n int) int {
		if strings.HasSuffix(c.asked[n], " wrong") { // called with mu held
			return 401
		}
		return 200
	})
	for range 10 {
		o.Issue()
		o.IssueAt(gatewaytest.OtherCode)
	}
	o.drain()
	wrong := 0
	for _, call := range c.calls() {
		if strings.HasSuffix(call, " wrong") {
			wrong++
		}
	}
	if got := c.took(); len(got) != 10 || wrong > failuresToRest+atOnce {
		t.Errorf("%d messages of the right key, %d tries with the wrong one", len(got), wrong)
	}
	// It is put right: all goes.
	c.does(nil)
	for range 20 {
		o.Time.Advance(rest)
		o.drain()
	}
	if got := c.took(); len(got) != 10 {
		t.Errorf("%d messages after the key was put right", len(got))
	}
	o.wantOutbox(kindApp, 0, 0)
}

// What changes between the event and the message is honoured.
func TestChangedBeforeTheApp(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(o office, n gateway.Notice){
		"cancelled": func(o office, n gateway.Notice) {
			if _, err := o.Cancel(o.T.Context(), gatewaytest.Operator, n.School, n.Number); err != nil {
				o.T.Fatal(err)
			}
		},
		"expired": func(o office, _ gateway.Notice) { o.Time.Advance(60 * 24 * time.Hour) },
		"link ended": func(o office, _ gateway.Notice) {
			if err := o.PutPupil(o.T.Context(), gatewaytest.Operator, gateway.Pupil{School: gatewaytest.SchoolCode, ID: "p1", Code: "VRDGPP10A01H501T"}); err != nil {
				o.T.Fatal(err)
			}
		},
		"key taken away": func(o office, _ gateway.Notice) { o.cfg.AppIO.shared = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCitizens(t)
			o := newAppOffice(gatewaytest.New(t), c, nil)
			o.family()
			n := o.Issue()
			if n, err := o.Once(t.Context()); n != 1 || err != nil { // the event
				t.Fatalf("Once = %d, %v", n, err)
			}
			change(o, n)
			o.drain()
			if got := c.calls(); got != nil {
				t.Errorf("calls %q", got)
			}
			o.wantOutbox(kindApp, 0, 0)
		})
	}
}

// Whom the registry does not know is told in the app, where it is one's own debt
// and one is of age.
func TestDebtorIsToldInTheApp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		code gateway.FiscalCode
		set  func(office)
		want gateway.FiscalCode
	}{
		{"of age", gatewaytest.ParentCode, func(office) {}, gatewaytest.ParentCode},
		{"a child", gatewaytest.PupilCode, func(office) {}, ""},
		{"nobody", gateway.Anonymous, func(office) {}, ""},
		{"an organisation", "80014480828", func(office) {}, ""},
		{"a child with parents", gatewaytest.PupilCode, office.family, gatewaytest.ParentCode},
		{"a payer, once", gatewaytest.ParentCode, office.family, gatewaytest.ParentCode},
	} {
		cs := newCitizens(t)
		cs.profiles[string(gatewaytest.PupilCode)] = welcome
		o := newAppOffice(gatewaytest.New(t), cs, nil)
		c.set(o)
		n := o.Issue(func(n *gateway.NewNotice) { n.DebtorCode = string(c.code) })
		o.drain()
		o.Settle(n, "")
		o.drain()
		list := cs.took()
		if c.want == "" && len(list) != 0 || c.want != "" && (len(list) != 2 || list[0].Code != c.want) {
			t.Errorf("%s: %d messages, want to %q", c.name, len(list), c.want)
		}
		if c.name == "of age" && (strings.Contains(list[0].Content.Markdown, "**Per**") || list[0].Content.Silent) {
			t.Errorf("%s: told as of somebody else's:\n%s", c.name, list[0].Content.Markdown)
		}
		o.wantOutbox(kindApp, 0, 0)
	}
}

func TestNoKeyNoMessages(t *testing.T) {
	t.Parallel()
	c := newCitizens(t)
	for name, o := range map[string]office{
		"none":             newOffice(gatewaytest.New(t)),
		"another school's": newAppOffice(gatewaytest.New(t), c, map[gateway.SchoolCode]string{gatewaytest.OtherCode: "k"}),
	} {
		o.family()
		o.Issue()
		o.drain()
		o.wantMails("father@example.org", "mother@example.org")
		o.wantOutbox(kindApp, 0, 0)
		if got := c.calls(); got != nil {
			t.Errorf("%s: calls %q", name, got)
		}
	}
}

// Nobody said which language: the app knows.
func TestAppLanguage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ account, registry, app, want string }{
		{"", "", "de_DE", "Neue"}, {"", "", "es_ES", "Nuovo"}, {"", "fr", "de_DE", "Nouvel"}, {"en", "fr", "de_DE", "New"}, {"", "ja", "sl_SI", "Novo"},
	} {
		c := newCitizens(t)
		c.profiles[string(gatewaytest.ParentCode)] = `{"sender_allowed":true,"preferred_languages":["` + test.app + `"]}`
		o := newAppOffice(gatewaytest.New(t), c, nil)
		o.family()
		o.parent("father", "", test.registry)
		if test.account != "" {
			a := o.FamilyOf("father", gatewaytest.ParentCode, "Mario", "Rossi")
			if err := o.SetLanguage(t.Context(), a.ID, test.account); err != nil {
				t.Fatal(err)
			}
		}
		o.Issue()
		o.drain()
		if got := c.took(); len(got) != 1 || !strings.HasPrefix(got[0].Content.Subject, test.want) {
			t.Errorf("%+v: %+v", test, got)
		}
	}
}

// TestAppWords holds the words against golden files, and what a school may write
// against Markdown and the limits.
func TestAppWords(t *testing.T) {
	t.Parallel()
	words, err := parseTemplates()
	if err != nil {
		t.Fatal(err)
	}
	n := gatewaytest.New(t).Issue()
	short := facts{
		School: "IC 6", SchoolCode: "80014480828", Child: "Maria", Description: "Gita *a* <Roma> [qui](http://x)", Amount: 123456, DueDate: n.DueDate,
		Number: "3012 0260 0000 0042 44", Link: "https://pagamenti.example/avvisi/80014480828/301202600000004244",
	}
	long := short
	long.School, long.Help, long.Description, long.Child = strings.Repeat("𝒜", 140), strings.Repeat("*", 300), strings.Repeat("_", 140), strings.Repeat("|", 70)
	for code, l := range words {
		for _, template := range noticeMails {
			f := short
			if template == templatePaid {
				f.PaidDate = n.DueDate
			}
			f.Refunded = template == templateRefunded
			c, err := l.appContent(template, f, n)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "appio_"+template+"."+code+".md")
			got := c.Subject + "\n\n" + c.Markdown + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(file); err != nil || got != string(want) {
				t.Errorf("%s: %v:\n%s", file, err, got)
			}
			short, _ := l.appContent(template, facts{School: "X", Amount: 1, Number: "3", DueDate: n.DueDate, PaidDate: f.PaidDate, Refunded: f.Refunded}, n)
			f.School, f.Help, f.Description, f.Child = long.School, long.Help, long.Description, long.Child
			long, _ := l.appContent(template, f, n)
			for _, c := range []appContent{c, short, long} {
				if s, m := len(utf16.Encode([]rune(c.Subject))), len(utf16.Encode([]rune(c.Markdown))); s < leastSubject || s > mostSubject || m < leastMarkdown || m > mostMarkdown {
					t.Errorf("%s %s: subject of %d, text of %d", code, template, s, m)
				}
			}
		}
	}
	if got := cutTo("abcdef", 5); got != "abcd…" {
		t.Errorf("cut to %q", got)
	}
	if got := cutTo("abcde", 5); got != "abcde" {
		t.Errorf("cut to %q", got)
	}
	if got := cutTo("ab 𝒜𝒜", 6); got != "ab 𝒜…" {
		t.Errorf("cut to %q", got)
	}
}

func TestNewAppIO(t *testing.T) {
	t.Parallel()
	own := func(key string) map[gateway.SchoolCode]string {
		return map[gateway.SchoolCode]string{gatewaytest.SchoolCode: key}
	}
	for _, c := range []struct {
		address, key string
		keys         map[gateway.SchoolCode]string
		private, ok  bool
	}{
		{AppIOURL, "k", nil, false, true},
		{AppIOURL, "", own("k"), false, true},
		{"http://127.0.0.1:8081/appio/api/v1", "k", nil, true, true},
		{"http://127.0.0.1:8081/appio/api/v1", "k", nil, false, false},
		{"https://user:pass@api.example/v1", "k", nil, false, false},
		{"https://api.example/v1?k=v", "k", nil, false, false},
		{"api.example", "k", nil, false, false},
		{AppIOURL, "", nil, false, false},
		{AppIOURL, "pass word", nil, false, false},
		{AppIOURL, "", own(""), false, false},
		{AppIOURL, "k", own("pass\r\nword"), false, false},
	} {
		if _, err := NewAppIO(c.address, c.key, c.keys, c.private); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		} else if err != nil && strings.Contains(err.Error(), "pass") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func TestCheckAppIO(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{400: "", 422: "", 401: "key of school 80014480828 is refused (401)", 403: "shared key is refused (403)", 200: "address", 404: "address", 503: "503"} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		app, err := NewAppIO(srv.URL, appKey, map[gateway.SchoolCode]string{gatewaytest.SchoolCode: "own-key"}, true)
		if err != nil {
			t.Fatal(err)
		}
		err = app.Check(t.Context())
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "own-key")) {
			t.Errorf("%d: %v, want %q", status, err, want)
		}
		srv.Close()
		if err := app.Check(t.Context()); err == nil {
			t.Error("a service that is away passes")
		}
	}
}

// What is sent is what the official description of the service allows.
func TestAppRequestsAreValid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(projectRoot(t), "..", "shared", "pagopa", "app-io", "io-functions-services-index.yaml"))
	if err != nil {
		if os.Getenv("CI") != "" || os.Getenv("NODOGATE_TEST_STRICT") != "" {
			t.Fatal("the official description is not there")
		}
		t.Skip("the official description is not there")
	}
	router := appRouter(t, text)
	c := newCitizens(t)
	c.profiles[string(motherCode)] = `{"sender_allowed":false}`
	o := newAppOffice(gatewaytest.New(t), c, nil)
	o.coded()
	for _, change := range []func(*gateway.NewNotice){
		func(*gateway.NewNotice) {},
		func(n *gateway.NewNotice) { n.PayableAfterDue, n.Description = true, strings.Repeat("à", 140) },
		func(n *gateway.NewNotice) { n.Amount = mostAppCents },
		func(n *gateway.NewNotice) { n.Amount = mostAppCents + 1 }, // which the app cannot name: nothing is sent
	} {
		n := o.Issue(change)
		o.drain()
		if n.Amount <= mostAppCents {
			o.Settle(n, "")
		}
		o.drain()
	}
	if len(c.raw) != 3*6 {
		t.Errorf("%d requests, want 18", len(c.raw))
	}
	for _, r := range c.raw {
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Fatal(err)
		}
		err = openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
				if in.SecurityScheme.In == "header" && r.Header.Get(in.SecurityScheme.Name) == appKey {
					return nil
				}
				return errors.New("no key")
			}},
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// appRouter reads the official description, a Swagger 2.0 with two paths of which
// are spoken.
func appRouter(t *testing.T, text []byte) interface {
	FindRoute(*http.Request) (*routers.Route, map[string]string, error)
} {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var two openapi2.T
	if err := json.Unmarshal(asJSON, &two); err != nil {
		t.Fatal(err)
	}
	for path := range two.Paths {
		if path != "/profiles" && path != "/messages" {
			delete(two.Paths, path)
		}
	}
	doc, err := openapi2conv.ToV3(&two)
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: "/api/v1"}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}
