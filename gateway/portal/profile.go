// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

type profilePage struct {
	frame
	Username, Email, Code string // Code with its middle hidden
	Children              []childOf
	Logins                []loginLine
	Error                 string // of the password's form; always empty here
	EmailError            string // format, password
	NewEmail              string
	DeleteError           string
}

type childOf struct{ Name, Class, School string }

type loginLine struct {
	ID, Device  string
	Since, Seen time.Time
	Here        bool
}

func (p *portal) profile(c *gin.Context) { p.profilePage(c, http.StatusOK, profilePage{}) }

func (p *portal) profilePage(c *gin.Context, status int, page profilePage) {
	ctx, a := c.Request.Context(), account(c)
	page.frame, page.Username, page.Email, page.Code = p.frame(c), a.Username, a.Email, a.Code.LogValue().String()
	children, err := p.children(c)
	if err != nil {
		p.fail(c, err)
		return
	}
	page.Children = children
	logins, err := p.svc.Logins(ctx, a.ID)
	if err != nil {
		p.fail(c, err)
		return
	}
	here := p.sessions.GetString(ctx, sessionLogin)
	for _, l := range logins {
		page.Logins = append(page.Logins, loginLine{l.ID, l.Device, l.Since, l.Seen, l.ID == here})
	}
	p.render(c, status, "profile", page)
}

func (p *portal) children(c *gin.Context) ([]childOf, error) {
	ctx := c.Request.Context()
	pupils, err := p.svc.FamilyPupils(ctx, *account(c))
	if err != nil {
		return nil, err
	}
	var out []childOf
	for _, pupil := range pupils {
		school, err := p.svc.School(ctx, pupil.School)
		if err != nil {
			return nil, err
		}
		out = append(out, childOf{pupil.FirstName + " " + pupil.LastName, pupil.Class, school.Name})
	}
	return out, nil
}

func (p *portal) askEmail(c *gin.Context) {
	if !p.within(c, p.guesses) {
		return
	}
	a, email := account(c), c.PostForm("nuova_email")
	var invalid *gateway.Invalid
	switch err := p.svc.AskEmailChange(c.Request.Context(), a.ID, c.PostForm("password"), email); {
	case errors.As(err, &invalid):
		p.profilePage(c, http.StatusBadRequest, profilePage{EmailError: "format", NewEmail: email})
	case errors.Is(err, gateway.ErrCredentials):
		p.profilePage(c, http.StatusBadRequest, profilePage{EmailError: "password", NewEmail: email})
	case err != nil:
		p.fail(c, err)
	default:
		p.tell(c, "email_sent")
		c.Redirect(http.StatusSeeOther, "/area-riservata")
	}
}

type emailPage struct {
	frame
	Token, Email string
	Gone         bool
}

// emailForm shows what a link would confirm. Looking changes nothing: programs
// that check mails open every link in them.
func (p *portal) emailForm(c *gin.Context) {
	page := emailPage{frame: p.frame(c), Token: c.Query("token")}
	change, err := p.svc.EmailOf(c.Request.Context(), page.Token)
	if errors.Is(err, gateway.ErrNotFound) {
		page.Gone = true
		p.render(c, http.StatusNotFound, "email", page)
		return
	}
	if err != nil {
		p.fail(c, err)
		return
	}
	page.Email = change.Email
	p.render(c, http.StatusOK, "email", page)
}

func (p *portal) confirmEmail(c *gin.Context) {
	if !p.within(c, p.guesses) {
		return
	}
	err := p.svc.ConfirmEmail(c.Request.Context(), c.PostForm("token"))
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		p.render(c, http.StatusNotFound, "email", emailPage{frame: p.frame(c), Gone: true})
	case err != nil:
		p.fail(c, err)
	default:
		p.tell(c, "email")
		c.Redirect(http.StatusSeeOther, "/area-riservata")
	}
}

func (p *portal) endLogin(c *gin.Context) {
	ctx, a := c.Request.Context(), account(c)
	var err error
	if id := c.PostForm("sessione"); id == "altre" {
		err = p.svc.EndOtherLogins(ctx, a.ID, p.sessions.GetString(ctx, sessionLogin))
	} else {
		err = p.svc.EndLogin(ctx, a.ID, id)
	}
	if err != nil {
		p.fail(c, err)
		return
	}
	p.tell(c, "login_ended")
	c.Redirect(http.StatusSeeOther, "/area-riservata")
}

func (p *portal) deleteAccount(c *gin.Context) {
	if !p.within(c, p.guesses) {
		return
	}
	if c.PostForm("conferma") != "si" {
		p.profilePage(c, http.StatusBadRequest, profilePage{DeleteError: "tick"})
		return
	}
	t := p.tongue(c)
	switch err := p.svc.DeleteAccount(c.Request.Context(), account(c).ID, c.PostForm("password")); {
	case errors.Is(err, gateway.ErrCredentials):
		p.profilePage(c, http.StatusBadRequest, profilePage{DeleteError: "password"})
	case err != nil:
		p.fail(c, err)
	default:
		p.leave(c, t, "/")
	}
}

// ownData is all that is kept about a family, for it to take away (GDPR, art.
// 15 and 20).
type ownData struct {
	Account  ownAccount   `json:"account"`
	Children []ownChild   `json:"children"`
	Logins   []ownLogin   `json:"sessions"`
	Notices  []ownNotice  `json:"notices"`
	Payments []ownReceipt `json:"payments"`
}

type ownAccount struct {
	Username   string    `json:"username"`
	FiscalCode string    `json:"fiscal_code"`
	FirstName  string    `json:"first_name"`
	LastName   string    `json:"last_name"`
	Email      string    `json:"email"`
	Language   string    `json:"language"`
	CreatedAt  time.Time `json:"created_at"`
	Consents   struct {
		At     time.Time `json:"at"`
		Mail   bool      `json:"mail"`
		Choice bool      `json:"remember_choice"`
	} `json:"consents"`
	LastMethod string `json:"last_method,omitempty"`
	LastPSP    string `json:"last_psp,omitempty"`
}

type ownChild struct {
	FirstName  string `json:"first_name"`
	LastName   string `json:"last_name"`
	FiscalCode string `json:"fiscal_code"`
	School     string `json:"school"`
	Class      string `json:"class"`
	SchoolYear string `json:"school_year"`
}

type ownLogin struct {
	Device string    `json:"device"`
	Since  time.Time `json:"since"`
	Seen   time.Time `json:"last_seen"`
}

type ownNotice struct {
	School      string    `json:"school"`
	Number      string    `json:"number"`
	Debtor      string    `json:"debtor"`
	Description string    `json:"description"`
	AmountCents int64     `json:"amount_cents"`
	DueDate     string    `json:"due_date"`
	State       string    `json:"state"`
	CreatedAt   time.Time `json:"created_at"`
}

type ownReceipt struct {
	School      string    `json:"school"`
	Number      string    `json:"number"`
	ReceiptID   string    `json:"receipt_id"`
	AmountCents int64     `json:"amount_cents"`
	PaidAt      time.Time `json:"paid_at"`
	PSP         string    `json:"psp"`
}

func (p *portal) downloadData(c *gin.Context) {
	ctx, a := c.Request.Context(), account(c)
	d := ownData{
		Account: ownAccount{
			Username: a.Username, FiscalCode: string(a.Code), FirstName: a.FirstName, LastName: a.LastName, Email: a.Email,
			Language: a.Language, CreatedAt: a.CreatedAt, LastMethod: string(a.LastMethod), LastPSP: string(a.LastPSP),
		},
		Children: []ownChild{}, Logins: []ownLogin{}, Notices: []ownNotice{}, Payments: []ownReceipt{},
	}
	d.Account.Consents.At, d.Account.Consents.Mail, d.Account.Consents.Choice = a.ConsentsAt, a.MailConsent, a.ChoiceConsent
	pupils, err := p.svc.FamilyPupils(ctx, *a)
	if err != nil {
		p.fail(c, err)
		return
	}
	for _, x := range pupils {
		d.Children = append(d.Children, ownChild{x.FirstName, x.LastName, string(x.Code), string(x.School), x.Class, x.SchoolYear})
	}
	logins, err := p.svc.Logins(ctx, a.ID)
	if err != nil {
		p.fail(c, err)
		return
	}
	for _, l := range logins {
		d.Logins = append(d.Logins, ownLogin{l.Device, l.Since, l.Seen})
	}
	list, err := p.svc.FamilyNotices(ctx, *a)
	if err != nil {
		p.fail(c, err)
		return
	}
	ids := map[gateway.SchoolCode][]string{}
	for _, n := range list {
		if n.SettledBy != "" {
			ids[n.School] = append(ids[n.School], n.SettledBy)
		}
	}
	paid, err := p.receiptsOf(ctx, ids)
	if err != nil {
		p.fail(c, err)
		return
	}
	for _, n := range list {
		d.Notices = append(d.Notices, ownNotice{
			string(n.School), n.Number.String(), n.Debtor.Name, n.Description, int64(n.Amount), n.DueDate.String(), string(n.StateAt(p.svc.Now())), n.CreatedAt,
		})
		r, ok := paid[n.School][n.SettledBy]
		if !ok {
			continue
		}
		d.Payments = append(d.Payments, ownReceipt{string(n.School), n.Number.String(), r.Content.ID, int64(r.Content.Amount), paidAt(r), r.Content.PSP.Name})
	}
	body, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		p.fail(c, err)
		return
	}
	c.Header("Content-Disposition", `attachment; filename="dati-personali.json"`)
	c.Data(http.StatusOK, "application/json; charset=utf-8", body)
}
