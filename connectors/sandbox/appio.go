// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// AppID is what the state's app (App IO) is called on /control.
const AppID = "APPIO"

// maxMessages is how many messages of the app are kept.
const maxMessages = 200

// phone is App IO on everybody's telephone, as its API for public bodies 4.0.0
// shows it. Guarded by Server.mu.
type phone struct {
	mode     Mode
	messages []received // the oldest first
}

// received is a message that arrived.
type received struct {
	To      string         `json:"to"` // a name, not a code
	At      time.Time      `json:"at"`
	Content messageContent `json:"content"`
}

// newMessage is NewMessage, as far as somebody who asks to be paid needs it.
type newMessage struct {
	Code    string         `json:"fiscal_code"`
	TTL     *int           `json:"time_to_live"`
	Content messageContent `json:"content"`
}

type messageContent struct {
	Subject  string          `json:"subject"`
	Markdown string          `json:"markdown"`
	DueDate  *time.Time      `json:"due_date,omitempty"`
	Payment  *messagePayment `json:"payment_data,omitempty"`
	Silent   bool            `json:"require_secure_channels"`
}

type messagePayment struct {
	Amount  money.Cents `json:"amount"`
	Number  string      `json:"notice_number"`
	Invalid bool        `json:"invalid_after_due_date"`
	Payee   struct {
		Code string `json:"fiscal_code"`
	} `json:"payee"`
}

var (
	messageNumber = regexp.MustCompile(`^[0123][0-9]{17}$`)
	payeeCode     = regexp.MustCompile(`^[0-9]{11}$`)
)

// maxMessageAmount is what the app can name.
const maxMessageAmount = money.Cents(9999999999)

// check holds a message against the limits of the API.
func (m *newMessage) check() error {
	length := func(s string) int { return len(utf16.Encode([]rune(s))) }
	var bad []error
	if n := length(m.Content.Subject); n < 10 || n > 120 {
		bad = append(bad, errors.New("subject: 10 to 120 characters"))
	}
	if n := length(m.Content.Markdown); n < 80 || n > 10000 {
		bad = append(bad, errors.New("markdown: 80 to 10000 characters"))
	}
	if m.TTL != nil && (*m.TTL < 3600 || *m.TTL > 604800) {
		bad = append(bad, errors.New("time_to_live: 3600 to 604800 seconds"))
	}
	if p := m.Content.Payment; p != nil {
		if p.Amount < 1 || p.Amount > maxMessageAmount {
			bad = append(bad, errors.New("amount: 1 to 9999999999 cents"))
		}
		if !messageNumber.MatchString(p.Number) {
			bad = append(bad, errors.New("notice_number: 18 digits"))
		}
		if !payeeCode.MatchString(p.Payee.Code) {
			bad = append(bad, errors.New("payee: a fiscal code of 11 digits"))
		}
	}
	return errors.Join(bad...)
}

// answers says whether the app answers a request now, and has answered when not.
func (s *Server) appAnswers(w http.ResponseWriter, r *http.Request, in any) (Mode, bool) {
	s.mu.Lock()
	mode := s.phone.mode
	s.mu.Unlock()
	switch {
	case mode == ModeDown:
		fail(w, http.StatusServiceUnavailable, "Service unavailable", "")
		return mode, false
	case r.Header.Get("Ocp-Apim-Subscription-Key") == "":
		fail(w, http.StatusUnauthorized, "Access denied", "send the subscription key")
		return mode, false
	case json.NewDecoder(r.Body).Decode(in) != nil:
		fail(w, http.StatusBadRequest, "Bad request", "the body is not what the API takes")
		return mode, false
	case mode == ModeSlow && !s.think(r):
		return mode, false
	}
	return mode, true
}

// owner is who has the app.
func (s *Server) owner(code string) (Person, bool) {
	i := slices.IndexFunc(s.cfg.People, func(p Person) bool { return p.App && p.Code == gateway.FiscalCode(code) })
	if i < 0 {
		return Person{}, false
	}
	return s.cfg.People[i], true
}

// postProfile plays getProfileByPOST.
func (s *Server) postProfile(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Code string `json:"fiscal_code"`
	}
	if _, ok := s.appAnswers(w, r, &in); !ok {
		return
	}
	who, ok := s.owner(in.Code)
	if !ok {
		fail(w, http.StatusNotFound, "Profile not found", "the citizen has no app")
		return
	}
	writeJSON(w, map[string]any{"sender_allowed": !who.Muted, "preferred_languages": []string{"it_IT"}})
}

// postMessage plays submitMessageforUserWithFiscalCodeInBody.
func (s *Server) postMessage(w http.ResponseWriter, r *http.Request) {
	var in newMessage
	mode, ok := s.appAnswers(w, r, &in)
	if !ok {
		return
	}
	if err := in.check(); err != nil || mode == ModeRefuse {
		detail := "the app is set to refuse"
		if err != nil {
			detail = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		fail(w, http.StatusBadRequest, "Invalid payload", detail)
		return
	}
	// Who has no app, or wants nothing, is not told apart here: the real one
	// takes the message and rejects it later.
	if who, ok := s.owner(in.Code); ok && !who.Muted {
		s.mu.Lock()
		s.phone.messages = append(s.phone.messages, received{who.FirstName + " " + who.LastName, s.cfg.Now(), in.Content})
		if n := len(s.phone.messages); n > maxMessages {
			s.phone.messages = slices.Clone(s.phone.messages[n-maxMessages:])
		}
		s.mu.Unlock()
	}
	if mode == ModeCut {
		panic(http.ErrAbortHandler) // ends the connection without an answer
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]string{"id": s.random()}) // the peer is gone: its loss
}

// inbox is what arrived, the newest first.
func (s *Server) inbox() []received {
	s.mu.Lock()
	list := slices.Clone(s.phone.messages)
	s.mu.Unlock()
	slices.Reverse(list)
	return list
}

// showMessages is what arrived, as JSON.
func (s *Server) showMessages(w http.ResponseWriter, _ *http.Request) {
	list := s.inbox()
	if list == nil {
		list = []received{}
	}
	writeJSON(w, map[string]any{"items": list})
}

var (
	//go:embed appio.html
	phoneText     string
	phoneTemplate = template.Must(template.New("phone").Parse(phoneText))
)

// showPhone is what arrived, as somebody reads it.
func (s *Server) showPhone(w http.ResponseWriter, _ *http.Request) {
	type item struct {
		To, Subject, Text, Amount, Number, Due string
		Late                                   bool
	}
	var view struct {
		Items []item
		Muted []string
	}
	for _, m := range s.inbox() {
		i := item{To: m.To, Subject: m.Content.Subject, Text: m.Content.Markdown}
		if p := m.Content.Payment; p != nil {
			i.Amount, i.Number, i.Late = p.Amount.Italian(), p.Number, !p.Invalid
		}
		if d := m.Content.DueDate; d != nil {
			i.Due = gateway.DateIn(*d).Italian()
		}
		view.Items = append(view.Items, i)
	}
	for _, p := range s.cfg.People {
		if p.App && p.Muted {
			view.Muted = append(view.Muted, p.FirstName+" "+p.LastName)
		}
	}
	s.render(w, http.StatusOK, phoneTemplate, view)
}

// controlPhone is control for the app.
func (s *Server) controlPhone(w http.ResponseWriter, mode Mode) {
	if !slices.Contains(archiveModes, mode) {
		fail(w, http.StatusBadRequest, "Bad request", fmt.Sprintf("mode of the app is one of %v", archiveModes))
		return
	}
	s.mu.Lock()
	s.phone.mode = mode
	s.mu.Unlock()
	s.cfg.Log.Info("sandbox mode", "psp", AppID, "mode", string(mode))
	writeJSON(w, map[string]any{"psp": AppID, "mode": mode})
}
