// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/egress"
)

// AppIO is the state's app (App IO) through its API for public bodies, 4.0.0: a
// message reaches who has the app and has not switched the school's service off,
// and carries what it takes to pay there.
//
// What a caller gets wrong: to have no app is no error. Nobody who has none, or
// wants nothing of the school in it, is to be found in a log or a metric but as a
// number.
type AppIO struct {
	http              *http.Client
	profiles, message string
	shared            string // the key of schools without one of their own
	keys              map[gateway.SchoolCode]string
}

// AppIOURL is the service's own address.
const AppIOURL = "https://api.io.pagopa.it/api/v1"

// NewAppIO reaches the API at a base address like AppIOURL. A school writes under
// its own key where it has one, else under the shared one, else not at all.
func NewAppIO(address, shared string, keys map[gateway.SchoolCode]string, allowPrivate bool) (*AppIO, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("give an address like " + AppIOURL + ", without user, query or fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !allowPrivate):
		return nil, errors.New("must be https")
	case shared == "" && len(keys) == 0:
		return nil, errors.New("needs a key")
	}
	bad := func(key string) bool {
		return key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
	}
	if shared != "" && bad(shared) {
		return nil, errors.New("the key must be printable ASCII characters")
	}
	for school, key := range keys {
		if bad(key) {
			return nil, fmt.Errorf("the key of school %s must be printable ASCII characters", school)
		}
	}
	return &AppIO{
		http: egress.Client(atOnce, allowPrivate), shared: shared, keys: keys,
		// Both take the fiscal code in the body. Their namesakes with the code in
		// the address would write it into every proxy's log.
		profiles: u.JoinPath("profiles").String(), message: u.JoinPath("messages").String(),
	}, nil
}

// sharedTarget is the outbox's target of messages under the shared key; under a
// school's own it is the school. Stored: never renamed.
const sharedTarget = "shared"

// key is what a school writes under, and the target of its messages: those under
// one key wait for each other when the service asks for patience, and no others.
func (a *AppIO) key(school gateway.SchoolCode) (key, target string, ok bool) {
	if a == nil {
		return "", "", false
	}
	if key, own := a.keys[school]; own {
		return key, string(school), true
	}
	return a.shared, sharedTarget, a.shared != ""
}

// post sends JSON and decodes what a success answers into answer, where it is not
// nil. An error holds nothing of what was sent, and nothing of the answer, which
// may repeat it.
func (a *AppIO) post(ctx context.Context, to, key string, body, answer any) (status int, retryAfter string, err error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(b))
	if err != nil {
		return 0, "", errors.New("appio: the address is not one")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Ocp-Apim-Subscription-Key", key)
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("appio: %s", egress.Reason(err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if answer != nil && resp.StatusCode == http.StatusOK && (err != nil || json.Unmarshal(text, answer) != nil) {
		return 0, "", errors.New("appio: the answer is not what it should be")
	}
	return resp.StatusCode, resp.Header.Get("Retry-After"), nil
}

// Check asks whether the service answers and takes each key. It sends what can only
// be refused, so nobody is asked about.
func (a *AppIO) Check(ctx context.Context) error {
	keys := map[string]string{}
	if a.shared != "" {
		keys["the shared key"] = a.shared
	}
	for school, key := range a.keys {
		keys["the key of school "+string(school)] = key
	}
	var bad []error
	for _, whose := range slices.Sorted(maps.Keys(keys)) {
		status, _, err := a.post(ctx, a.profiles, keys[whose], struct{}{}, nil)
		switch {
		case err != nil:
			return err // of no key in particular
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			bad = append(bad, fmt.Errorf("appio: %s is refused (%d)", whose, status))
		case status != http.StatusBadRequest && status != http.StatusUnprocessableEntity:
			return fmt.Errorf("appio: answered %d to a request that it should refuse: is the address right?", status)
		}
	}
	return errors.Join(bad...)
}

// profile is a LimitedProfile.
type profile struct {
	Allowed   *bool    `json:"sender_allowed"`
	Languages []string `json:"preferred_languages"` // it_IT; the first is liked best
}

// appMessage is a NewMessage.
type appMessage struct {
	Code    gateway.FiscalCode `json:"fiscal_code"`
	TTL     int                `json:"time_to_live"` // seconds
	Content appContent         `json:"content"`
}

type appContent struct {
	Subject  string `json:"subject"`
	Markdown string `json:"markdown"`
	// Silent keeps the app from mailing a copy of its own.
	Silent  bool        `json:"require_secure_channels"`
	DueDate string      `json:"due_date,omitempty"`
	Payment *appPayment `json:"payment_data,omitempty"`
}

type appPayment struct {
	Amount  int64  `json:"amount"` // cents
	Number  string `json:"notice_number"`
	Invalid bool   `json:"invalid_after_due_date"`
	Payee   struct {
		Code gateway.SchoolCode `json:"fiscal_code"`
	} `json:"payee"`
}

// Limits of the API. Lengths are counted as its own implementation counts them, in
// units of UTF-16.
const (
	appCodeLength = 16         // of a person; a provisional code of 11 digits is in no app
	appTTL        = 604800     // a week: for so long it tries to reach a device
	mostAppCents  = 9999999999 // of one payment
	leastSubject  = 10
	mostSubject   = 120
	leastMarkdown = 80
	mostMarkdown  = 10000
)

// sendApp asks whether the payer has the app and takes messages of the school
// there, and sends one; it says in template which one it was.
//
// The API knows no idempotency key: a message whose answer was lost is sent again,
// and names the same notice twice.
func (w *Worker) sendApp(ctx context.Context, m gateway.Message, template *string) (outcome, error) {
	var p mailPayload
	if json.Unmarshal(m.Payload, &p) != nil || p.Number.IsZero() {
		return "", fmt.Errorf("appio: %w: unreadable payload", ErrPermanent)
	}
	if !slices.Contains(noticeMails, p.Template) {
		return "", errors.New("appio: unknown template") // of a newer version, perhaps
	}
	*template = p.Template
	key, _, ok := w.cfg.AppIO.key(p.School)
	if !ok {
		return dropped, nil // its key was taken away
	}
	payers, pupil, err := w.cfg.Outbox.PayersOf(ctx, p.School, p.Number)
	if err != nil {
		return "", err
	}
	if p.Payer == "" {
		pupil = gateway.Pupil{} // it is the debtor's own
	}
	f, n, err := w.facts(ctx, p, pupil)
	if err != nil || f == nil {
		return dropped, err
	}
	if p.Payer == "" {
		payers = []gateway.Payer{debtor(n)}
	}
	i := slices.IndexFunc(payers, func(y gateway.Payer) bool { return y.ID == p.Payer })
	if i < 0 || len(payers[i].Code) != appCodeLength {
		return dropped, nil // the school has ended the link
	}
	payer := payers[i]
	if n.Amount > mostAppCents {
		return dropped, nil // the app cannot name it
	}
	has, who, err := w.cfg.AppIO.askProfile(ctx, key, payer.Code)
	if err != nil || !has {
		return refused, err
	}
	// The consent that an account holds is about mails; what one wants in the app
	// is said in the app.
	_, lang, err := w.cfg.Service.MailWishes(ctx, payer.Code)
	if err != nil {
		return "", err
	}
	l := w.language(firstKnown(w.words, append([]string{lang, payer.Language}, who.Languages...)))
	content, err := l.appContent(p.Template, *f, n)
	if err != nil {
		return "", err
	}
	content.Silent = payer.Email != ""
	status, retryAfter, err := w.cfg.AppIO.post(ctx, w.cfg.AppIO.message, key, appMessage{payer.Code, appTTL, content}, nil)
	if err != nil {
		return "", err
	}
	return sent, appAnswer("message", status, retryAfter)
}

// firstKnown is the first language that mails are written in; preferences of the
// app are like it_IT.
func firstKnown(words map[string]language, list []string) string {
	for _, code := range list {
		code, _, _ = strings.Cut(code, "_")
		if _, ok := words[code]; ok {
			return code
		}
	}
	return ""
}

// askProfile says whether a person has the app and takes messages of the key's
// service.
func (a *AppIO) askProfile(ctx context.Context, key string, code gateway.FiscalCode) (bool, profile, error) {
	var who profile
	status, retryAfter, err := a.post(ctx, a.profiles, key, map[string]gateway.FiscalCode{"fiscal_code": code}, &who)
	switch {
	case err != nil:
		return false, who, err
	case status == http.StatusNotFound:
		return false, who, nil
	case status != http.StatusOK:
		return false, who, appAnswer("profile", status, retryAfter)
	case who.Allowed == nil:
		// Not an answer of this API: nobody is written to on a guess.
		return false, who, errors.New("appio: the answer is not what it should be")
	}
	return *who.Allowed, who, nil
}

// appAnswer is the error of an answer that is no success. What is wrong with one
// message parks it; what is wrong with the key or the service may pass.
func appAnswer(what string, status int, retryAfter string) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return later(fmt.Errorf("appio: %s: the key is refused (%d)", what, status), retryAfter)
	case status >= 400 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout:
		return fmt.Errorf("appio: %s: %w: refused (%d)", what, ErrPermanent, status)
	}
	return later(fmt.Errorf("appio: %s: answered %d", what, status), retryAfter)
}

// appContent says of a notice what a mail says, in the app's form.
func (l language) appContent(name string, f facts, n gateway.Notice) (appContent, error) {
	subject := oneLine((&speaker{l: l, data: f}).say(name + ".subject"))
	for _, text := range []*string{&f.School, &f.Child, &f.Description, &f.Help} {
		*text = plainMarkdown.Replace(*text)
	}
	v, err := l.noticeView(name, &f)
	if err != nil {
		return appContent{}, err
	}
	c := appContent{Subject: cutTo(subject, mostSubject)}
	if name == templateIssued || name == templateReminder {
		if v.Outro, err = l.say("app.pay", f); err != nil {
			return appContent{}, err
		}
		c.DueDate = n.DueDate.Deadline().Add(-time.Second).UTC().Format("2006-01-02T15:04:05.000Z")
		c.Payment = &appPayment{Amount: int64(n.Amount), Number: n.Number.String(), Invalid: !n.PayableAfterDue}
		c.Payment.Payee.Code = n.School
	}
	var b strings.Builder
	b.WriteString(v.Intro + "\n\n")
	for _, fact := range v.Facts {
		b.WriteString("- **" + fact.Label + "**: " + fact.Value + "\n")
	}
	if v.Link != "" {
		v.Button = "[" + v.Button + "](" + v.Link + ")"
	}
	for _, text := range []string{v.Outro, v.Button, v.Help, v.Footer[0]} {
		if text != "" {
			b.WriteString("\n" + text + "\n")
		}
	}
	c.Markdown = cutTo(strings.TrimSpace(b.String()), mostMarkdown)
	return c, nil
}

// plainMarkdown keeps what people wrote from being read as Markdown.
var plainMarkdown = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "~", `\~`, "|", `\|`, "&", `\&`)

// cutTo keeps a text within a number of UTF-16 units.
func cutTo(s string, most int) string {
	units := 0
	end := 0 // of what fits with the ellipsis
	for i, r := range s {
		if units <= most-1 {
			end = i
		}
		if units += utf16.RuneLen(r); units > most {
			return strings.TrimSpace(s[:end]) + "…"
		}
	}
	return s
}
