// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nodogate/nodogate/gateway/money"
)

// ArchiveID is what the archive of notices is called on /control.
const ArchiveID = "ACA"

// archiveModes are the modes that mean something for the archive.
var archiveModes = []Mode{ModeOK, ModeDown, ModeSlow, ModeCut, ModeRefuse}

// archive is pagoPA's archive of notices (ACA), as paCreatePosition 0.0.1 shows
// it. Guarded by Server.mu.
type archive struct {
	mode      Mode
	positions map[notice]*archived
	oldest    []notice
}

// archived is a position of the archive.
type archived struct {
	School      string      `json:"paFiscalCode"`
	Number      string      `json:"nav"`
	IUV         string      `json:"iuv"`
	Amount      money.Cents `json:"amount"`
	Description string      `json:"description"`
	Expires     time.Time   `json:"expirationDate"`
	IBAN        string      `json:"iban"`
	PostalIBAN  string      `json:"postalIban,omitempty"`
	Lapses      bool        `json:"switchToExpired"`
	StandIn     bool        `json:"payStandIn"`
	Closed      bool        `json:"-"`
	Status      string      `json:"status"` // VALID, INVALID, EXPIRED
	Updates     int         `json:"updates"`
}

// statusAt is what the position is now.
func (a *archived) statusAt(now time.Time) string {
	switch {
	case a.Closed:
		return "INVALID"
	case a.Lapses && now.After(a.Expires):
		return "EXPIRED"
	}
	return "VALID"
}

// newPosition is NewDebtPositionRequest.
type newPosition struct {
	School      string       `json:"paFiscalCode"`
	EntityType  string       `json:"entityType"`
	EntityCode  string       `json:"entityFiscalCode"`
	EntityName  string       `json:"entityFullName"`
	IUV         string       `json:"iuv"`
	Number      *string      `json:"nav"`
	Amount      *money.Cents `json:"amount"`
	Description string       `json:"description"`
	Expires     *time.Time   `json:"expirationDate"`
	IBAN        *string      `json:"iban"`
	PostalIBAN  *string      `json:"postalIban"`
	Lapses      bool         `json:"switchToExpired"`
	StandIn     *bool        `json:"payStandIn"`
}

// check holds a request against the OpenAPI's limits.
func (p *newPosition) check() error {
	between := func(name, v string, low, high int) error {
		if n := utf8.RuneCountInString(v); n < low || n > high {
			return fmt.Errorf("%s: %d to %d characters", name, low, high)
		}
		return nil
	}
	err := errors.Join(
		between("paFiscalCode", p.School, 11, 11), between("entityFiscalCode", p.EntityCode, 2, 255), between("entityFullName", p.EntityName, 1, 255),
		between("iuv", p.IUV, 1, 255), between("description", p.Description, 1, 255),
	)
	for name, v := range map[string]*string{"iban": p.IBAN, "postalIban": p.PostalIBAN} {
		if v != nil {
			err = errors.Join(err, between(name, *v, 27, 27))
		}
	}
	switch {
	case p.Number != nil:
		err = errors.Join(err, between("nav", *p.Number, 1, 255))
	default:
		number := "3" + p.IUV
		p.Number = &number
	}
	if p.EntityType != "F" && p.EntityType != "G" {
		err = errors.Join(err, errors.New("entityType: F or G"))
	}
	if p.Amount == nil || *p.Amount < 0 || *p.Amount > money.Max {
		err = errors.Join(err, errors.New("amount: 0 to 99999999999 cents"))
	}
	if p.Expires == nil {
		err = errors.Join(err, errors.New("expirationDate: an instant"))
	}
	return err
}

// postPosition makes, changes or closes a position, as paCreatePosition does.
func (s *Server) postPosition(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	mode := s.archive.mode
	s.mu.Unlock()
	switch {
	case mode == ModeDown:
		fail(w, http.StatusServiceUnavailable, "Service unavailable", "")
		return
	case r.Header.Get("Ocp-Apim-Subscription-Key") == "":
		fail(w, http.StatusUnauthorized, "Access denied", "send the subscription key")
		return
	}
	body, err := io.ReadAll(r.Body)
	var p newPosition
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(body)).Decode(&p)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "Bad request", "the body is no NewDebtPositionRequest")
		return
	}
	if err := p.check(); err != nil {
		fail(w, http.StatusBadRequest, "Bad request", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	switch {
	case mode == ModeRefuse:
		fail(w, http.StatusUnprocessableEntity, "Unprocessable request", "the archive is set to refuse")
		return
	case mode == ModeSlow && !s.think(r):
		return
	}
	a, status, detail := s.keep(p)
	switch {
	case status != http.StatusOK:
		fail(w, status, "Invocation exception", detail)
	case mode == ModeCut:
		panic(http.ErrAbortHandler) // ends the connection without an answer
	default:
		writeJSON(w, a)
	}
}

// keep does the work; what is over does not begin again.
func (s *Server) keep(p newPosition) (archived, int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	name := notice{p.School, *p.Number}
	a := s.archive.positions[name]
	closing := *p.Amount == 0
	switch {
	case a == nil && closing:
		return archived{}, http.StatusNotFound, "no debt position with this iuv"
	case a != nil && a.statusAt(now) != "VALID":
		return archived{}, http.StatusConflict, "unauthorized action on a debt position that is " + a.statusAt(now)
	case !closing && now.After(*p.Expires):
		return archived{}, http.StatusBadRequest, "expirationDate is over"
	case a == nil:
		a = &archived{}
		s.archive.positions[name] = a
		if s.archive.oldest = append(s.archive.oldest, name); len(s.archive.oldest) > maxPages {
			delete(s.archive.positions, s.archive.oldest[0])
			s.archive.oldest = s.archive.oldest[1:]
		}
	}
	a.Updates++
	if closing {
		a.Closed = true
	} else {
		text := func(v *string) string {
			if v == nil {
				return ""
			}
			return *v
		}
		*a = archived{
			School: p.School, Number: *p.Number, IUV: p.IUV, Amount: *p.Amount, Description: p.Description, Expires: *p.Expires,
			IBAN: text(p.IBAN), PostalIBAN: text(p.PostalIBAN), Lapses: p.Lapses, StandIn: p.StandIn == nil || *p.StandIn, Updates: a.Updates,
		}
	}
	a.Status = a.statusAt(now)
	return *a, http.StatusOK, ""
}

// showPositions lists what the archive holds, the oldest first; without the
// debtors, whom nobody needs here.
func (s *Server) showPositions(w http.ResponseWriter, _ *http.Request) {
	items := []archived{}
	s.mu.Lock()
	for _, name := range s.archive.oldest {
		a := *s.archive.positions[name]
		a.Status = a.statusAt(s.cfg.Now())
		items = append(items, a)
	}
	s.mu.Unlock()
	writeJSON(w, map[string]any{"items": items})
}

// controlArchive is control for the archive.
func (s *Server) controlArchive(w http.ResponseWriter, mode Mode) {
	if !slices.Contains(archiveModes, mode) {
		fail(w, http.StatusBadRequest, "Bad request", fmt.Sprintf("mode of the archive is one of %v", archiveModes))
		return
	}
	s.mu.Lock()
	s.archive.mode = mode
	s.mu.Unlock()
	s.cfg.Log.Info("sandbox mode", "psp", ArchiveID, "mode", string(mode))
	writeJSON(w, map[string]any{"psp": ArchiveID, "mode": mode})
}
