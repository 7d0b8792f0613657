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
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/egress"
)

// Archive is pagoPA's archive of notices (Archivio Centralizzato Avvisi, ACA):
// it pays on behalf of a creditor whose own systems do not answer (stand-in), so
// it must know what every notice is now.
//
// What a caller gets wrong: the archive has no delete. A position is closed by
// amount 0, and one that was closed, has lapsed there or was paid is not opened
// again; it answers 409.
type Archive struct {
	http *http.Client
	url  string
	key  string
}

// NewArchive reaches the archive at a base address like
// https://api.platform.pagopa.it/aca/v1 with a subscription key.
func NewArchive(address, key string, allowPrivate bool) (*Archive, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("give an address like https://api.platform.pagopa.it/aca/v1, without user, query or fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !allowPrivate):
		return nil, errors.New("must be https")
	case key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("needs a subscription key of printable ASCII characters")
	}
	return &Archive{http: egress.Client(atOnce, allowPrivate), url: u.JoinPath("paCreatePosition").String(), key: key}, nil
}

// position is a NewDebtPositionRequest of paCreatePosition 0.0.1.
type position struct {
	School          string `json:"paFiscalCode"`
	EntityType      string `json:"entityType"` // F or G
	EntityCode      string `json:"entityFiscalCode"`
	EntityName      string `json:"entityFullName"`
	IUV             string `json:"iuv"`
	Number          string `json:"nav"`
	Amount          int64  `json:"amount"` // cents; 0 closes
	Description     string `json:"description"`
	ExpirationDate  string `json:"expirationDate"`
	IBAN            string `json:"iban,omitempty"`
	PostalIBAN      string `json:"postalIban,omitempty"`
	SwitchToExpired bool   `json:"switchToExpired"`
	PayStandIn      bool   `json:"payStandIn"`
}

// post is the status of the archive's answer. An error holds nothing of what was
// sent, and nothing of the answer, which may repeat it.
func (a *Archive) post(ctx context.Context, body any) (status int, retryAfter string, err error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(b))
	if err != nil {
		return 0, "", errors.New("aca: the address is not one")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Ocp-Apim-Subscription-Key", a.key)
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("aca: %s", egress.Reason(err))
	}
	defer resp.Body.Close()
	// The status is the answer; the rest is read so that the connection can be
	// used again.
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("Retry-After"), nil
}

// Check asks whether the archive answers and takes the key. It sends what can
// only be refused, so nothing changes there.
func (a *Archive) Check(ctx context.Context) error {
	status, _, err := a.post(ctx, struct{}{})
	switch {
	case err != nil:
		return err
	case status == http.StatusBadRequest || status == http.StatusUnprocessableEntity:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("aca: the subscription key is refused (%d)", status)
	}
	return fmt.Errorf("aca: answered %d to a request that it should refuse: is the address right?", status)
}

// changesNotice says whether the archive may have to be told of an event. An
// anomaly may keep the notice from being paid.
func changesNotice(e gateway.EventPayload) bool {
	return e.Number != "" && (strings.HasPrefix(string(e.Type), "notice.") || e.Type == gateway.EventReceiptAnomaly)
}

func (w *Worker) updateOf(m gateway.Message, e gateway.EventPayload) (gateway.Message, error) {
	number, err := number(e)
	if err != nil {
		return gateway.Message{}, err
	}
	return gateway.ArchiveMessage(derivedID(m.ID, kindArchive), e.School, number, w.cfg.Service.Now()), nil
}

// mirror brings the archive up to date with what a notice is now. Of several
// changes in a row the first message tells all, and the others find nothing left
// to tell.
func (w *Worker) mirror(ctx context.Context, m gateway.Message) (outcome, error) {
	var p gateway.ArchivePayload
	if json.Unmarshal(m.Payload, &p) != nil || p.Number.IsZero() {
		return "", fmt.Errorf("aca: %w: unreadable payload", ErrPermanent)
	}
	n, err := w.cfg.Service.Notice(ctx, p.School, p.Number)
	if errors.Is(err, gateway.ErrNotFound) {
		return dropped, nil
	}
	if err != nil {
		return "", fmt.Errorf("aca: notice: %w", err)
	}
	school, err := w.cfg.Service.School(ctx, p.School)
	if err != nil {
		return "", fmt.Errorf("aca: school: %w", err)
	}
	last, err := w.cfg.Service.ArchivePosition(ctx, p.School, p.Number)
	if err != nil {
		return "", fmt.Errorf("aca: position: %w", err)
	}
	want := shownAs(n, last, w.cfg.Service.Now())
	if want == "" || last.Version == n.Version && (last.State == want || last.State == gateway.ArchiveRefused) {
		return dropped, nil
	}
	// Written before the archive is called, as an attempt is before its PSP:
	// from now on it may know of the notice, though its answer be lost.
	now := gateway.ArchivePosition{
		School: n.School, Number: n.Number, State: gateway.ArchiveAsked, Version: n.Version, DueDate: n.DueDate, Lapses: !n.PayableAfterDue,
	}
	if err := w.cfg.Service.PutArchivePosition(ctx, now); err != nil {
		return "", fmt.Errorf("aca: position: %w", err)
	}
	code, retryAfter, err := w.cfg.Archive.post(ctx, positionOf(n, school, want))
	if err != nil {
		return "", err
	}
	now.Code = code
	now.State, err = taken(want, last, code)
	if err != nil {
		return "", later(err, retryAfter)
	}
	if err := w.cfg.Service.PutArchivePosition(ctx, now); err != nil {
		return "", fmt.Errorf("aca: position: %w", err)
	}
	if now.State == gateway.ArchiveRefused {
		w.cfg.Log.Error("the archive of notices refuses a notice: it will not until the notice changes", "id", m.ID, "school", n.School, "notice", n.Number.String(), "status", code)
		return refused, nil
	}
	return sent, nil
}

// shownAs is what the archive is to hold of a notice: open, closed, or nothing
// that it has not got already. A notice that cannot be paid is closed, if the
// archive may know of it. One that ends by its date is let alone where the
// archive knows that date and ends it too.
func shownAs(n gateway.Notice, last gateway.ArchivePosition, now time.Time) gateway.ArchiveState {
	switch n.StateAt(now) {
	case gateway.NoticeOpen:
		if expressible(n) {
			return gateway.ArchiveOpen
		}
	case gateway.NoticeDraft:
		return ""
	case gateway.NoticeExpired:
		if last.State == gateway.ArchiveOpen && last.Lapses && last.DueDate == n.DueDate {
			return ""
		}
	}
	if last.State == "" || last.State == gateway.ArchiveClosed {
		return ""
	}
	return gateway.ArchiveClosed
}

// expressible says whether a position, which names one account, can say whom the
// notice pays. What cannot is not mirrored: in stand-in all of the money would
// go to one creditor.
func expressible(n gateway.Notice) bool {
	if len(n.Transfers) != 1 {
		return false
	}
	t := n.Transfers[0]
	return t.School == n.School && t.Stamp == nil && len(t.IBAN) == ibanLength
}

// ibanLength is that of an Italian IBAN, the only one the archive takes.
const ibanLength = 27

func positionOf(n gateway.Notice, school gateway.School, want gateway.ArchiveState) position {
	debtor := n.Debtor.Subject()
	p := position{
		School: string(n.School), EntityType: debtor.Type, EntityCode: debtor.ID, EntityName: debtor.FullName,
		IUV: n.Number.IUV(), Number: n.Number.String(), Description: n.Description,
		// The last second of the day in Rome, which is its own zone's midnight less one.
		ExpirationDate:  n.DueDate.Deadline().Add(-time.Second).In(gateway.Rome()).Format(time.RFC3339),
		SwitchToExpired: !n.PayableAfterDue,
		// Money came that does not fit: nobody may take more for us meanwhile.
		PayStandIn: !n.Held,
	}
	if want == gateway.ArchiveClosed {
		p.PayStandIn = false
		return p
	}
	t := n.Transfers[0]
	p.Amount, p.IBAN, p.PostalIBAN = int64(n.Amount), string(t.IBAN), string(school.PostalIBAN(t))
	return p
}

// taken reads the archive's answer. What it says no to stays refused until the
// notice changes; everything else that is no success is tried again.
func taken(want gateway.ArchiveState, last gateway.ArchivePosition, code int) (gateway.ArchiveState, error) {
	closing := want == gateway.ArchiveClosed
	switch {
	case code >= 200 && code < 300:
		return want, nil
	case closing && code == http.StatusConflict:
		return want, nil // paid, lapsed or closed there already
	case closing && code == http.StatusNotFound && last.State != gateway.ArchiveOpen:
		return want, nil // it never got there
	case slices.Contains([]int{http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity}, code):
		return gateway.ArchiveRefused, nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return "", fmt.Errorf("aca: the subscription key is refused (%d)", code)
	}
	return "", fmt.Errorf("aca: answered %d", code)
}
