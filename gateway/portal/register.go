// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math/big"
	"math/bits"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/places"
)

// Registration goes in four steps: the fiscal code, the person, the summary, the
// mail. What was typed stays in the session until the mail is asked for, so that
// going back loses nothing; no page and no address ever says whether a code is
// known here.

// The keys of a session for registering.
const (
	sessionRegistration = "registration" // JSON of registering
	sessionQuestion     = "question"     // the two numbers of the control question
	sessionWork         = "work"         // the challenge of the proof of work
)

// registering is what was typed so far.
type registering struct {
	Human  bool // the control was passed
	Person gateway.NewPerson
}

type registerPage struct {
	frame
	Step     int
	Form     gateway.NewPerson
	Question template.HTML // in words
	Work     string
	WorkBits int
	// Errors are the fields that are wrong, with the code of what is wrong.
	Errors  []gateway.FieldError
	Lists   placeLists
	Control bool // the control was failed
	Human   bool // the control was passed
}

// Wrong is why a field is wrong; empty when it is not.
func (p registerPage) Wrong(field string) string {
	for _, e := range p.Errors {
		if e.Field == field {
			return e.Code
		}
	}
	return ""
}

// Word names the sentence on what is wrong with a field.
func (p registerPage) Word(field string) string {
	code := p.Wrong(field)
	switch {
	case code == "age", code == "disagrees" && slices.Contains([]string{"first_name", "last_name", "birth_date", "sex"}, field):
		return field + "." + code
	}
	return field + ".other"
}

// placeLists help to write where one was born.
type placeLists struct {
	Countries, Regions []string
	Provinces          []places.Province
}

func (p *portal) registration(ctx context.Context) (r registering) {
	// What cannot be read is as if it were not there.
	_ = json.Unmarshal([]byte(p.sessions.GetString(ctx, sessionRegistration)), &r)
	return r
}

func (p *portal) keepRegistration(ctx context.Context, r registering) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p.sessions.Put(ctx, sessionRegistration, string(b))
	return nil
}

func (p *portal) registerForm(c *gin.Context) {
	if account(c) != nil {
		c.Redirect(http.StatusSeeOther, "/")
		return
	}
	r := p.registration(c.Request.Context())
	step := 1
	if r.Human && r.Person.Code != "" {
		step = 2
		if n, err := strconv.Atoi(c.Query("passo")); err == nil && n >= 1 && n <= 3 {
			step = n
		}
	}
	if step == 3 {
		// The summary shows what would be taken, and nothing else.
		if _, err := p.svc.CheckPerson(r.Person); err != nil {
			step = 2
		}
	}
	p.registerStep(c, http.StatusOK, registerPage{Step: step, Form: r.Person, Human: r.Human})
}

func (p *portal) registerStep(c *gin.Context, status int, page registerPage) {
	page.frame = p.frame(c)
	switch page.Step {
	case 1:
		if page.Human {
			break // asked once is enough
		}
		if err := p.ask(c, &page); err != nil {
			p.fail(c, err)
			return
		}
	case 2:
		page.Lists = placeLists{places.Countries(), places.Regions(), places.Provinces()}
		if page.Form.Country == "" {
			page.Form.Country = "Italia"
		}
	}
	p.render(c, status, "register", page)
}

// workBits is how hard the proof of work is: some tenths of a second on a phone.
const workBits = 15

// ask sets a new control question and a new challenge, and keeps what answers
// them. Each serves once.
func (p *portal) ask(c *gin.Context, page *registerPage) error {
	ctx := c.Request.Context()
	a, err := rand.Int(rand.Reader, big.NewInt(9))
	if err != nil {
		return err
	}
	b, err := rand.Int(rand.Reader, big.NewInt(9))
	if err != nil {
		return err
	}
	x, y := int(a.Int64())+1, int(b.Int64())+1
	t := p.tongue(c)
	first, err := t.choose("number", x)
	if err != nil {
		return err
	}
	second, err := t.choose("number", y)
	if err != nil {
		return err
	}
	if page.Question, err = t.say("register.question", "a", first, "b", second); err != nil {
		return err
	}
	page.Work, page.WorkBits = rand.Text(), workBits
	p.sessions.Put(ctx, sessionQuestion, fmt.Sprintf("%d %d", x, y))
	p.sessions.Put(ctx, sessionWork, page.Work)
	return nil
}

// human says whether the control was passed: the sum, in digits or in the words of
// any of our languages, or the proof of work.
func (p *portal) human(c *gin.Context) bool {
	ctx := c.Request.Context()
	question, work := p.sessions.PopString(ctx, sessionQuestion), p.sessions.PopString(ctx, sessionWork)
	if nonce := c.PostForm("lavoro"); work != "" && nonce != "" && len(nonce) <= 20 {
		sum := sha256.Sum256([]byte(work + nonce))
		if leadingZeros(sum[:]) >= workBits {
			return true
		}
	}
	var x, y int
	if n, err := fmt.Sscanf(question, "%d %d", &x, &y); err != nil || n != 2 {
		return false
	}
	answer := strings.ToLower(strings.TrimSpace(c.PostForm("controllo")))
	if answer == strconv.Itoa(x+y) {
		return true
	}
	for _, t := range p.tongues.byCode {
		if words, err := t.choose("number", x+y); err == nil && answer == string(words) {
			return true
		}
	}
	return false
}

func leadingZeros(b []byte) int {
	n := 0
	for _, x := range b {
		if x != 0 {
			return n + bits.LeadingZeros8(x)
		}
		n += 8
	}
	return n
}

// registerCode is the first step.
func (p *portal) registerCode(c *gin.Context) {
	if !p.within(c, p.signups) {
		return
	}
	ctx := c.Request.Context()
	r := p.registration(ctx)
	page := registerPage{Step: 1, Form: r.Person}
	page.Form.Code = cutTo(strings.TrimSpace(c.PostForm("codice_fiscale")), 40)
	if _, err := p.svc.CheckNewCode(page.Form.Code); err != nil {
		page.Errors = fieldErrors(err)
		if page.Errors == nil {
			p.fail(c, err)
			return
		}
	}
	if !r.Human {
		r.Human = p.human(c)
	}
	page.Human, page.Control = r.Human, !r.Human
	if page.Control || page.Errors != nil {
		// Who has answered is not asked again for the sake of a wrong code.
		if err := p.keepRegistration(ctx, r); err != nil {
			p.fail(c, err)
			return
		}
		p.registerStep(c, http.StatusBadRequest, page)
		return
	}
	r.Person = page.Form
	p.next(c, r, 2)
}

// next keeps what was typed and goes to another step.
func (p *portal) next(c *gin.Context, r registering, step int) {
	if err := p.keepRegistration(c.Request.Context(), r); err != nil {
		p.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/registrazione?passo="+strconv.Itoa(step))
}

// registerPerson is the second step.
func (p *portal) registerPerson(c *gin.Context) {
	if !p.within(c, p.signups) {
		return
	}
	r := p.registration(c.Request.Context())
	if !r.Human {
		c.Redirect(http.StatusSeeOther, "/registrazione") // the session ended
		return
	}
	post := func(name string) string { return cutTo(c.PostForm(name), 300) }
	r.Person = gateway.NewPerson{
		Code: r.Person.Code, BirthDate: post("data_nascita"), Sex: post("sesso"), Email: post("email"), EmailAgain: post("conferma_email"),
		Person: gateway.Person{
			FirstName: post("nome"), LastName: post("cognome"), Country: post("nazione"), Region: post("regione"), Province: post("provincia"), Town: post("comune"),
		},
		Language: p.tongue(c).code, Terms: c.PostForm("termini") != "", PrivacyRead: c.PostForm("privacy") != "",
	}
	if c.PostForm("indietro") != "" {
		p.next(c, r, 1) // nothing is checked yet, and nothing typed is lost
		return
	}
	if _, err := p.svc.CheckPerson(r.Person); err != nil {
		page := registerPage{Step: 2, Form: r.Person, Errors: fieldErrors(err), Human: true}
		if page.Errors == nil {
			p.fail(c, err)
			return
		}
		if page.Wrong("fiscal_code") != "" {
			page.Step = 1
		}
		if err := p.keepRegistration(c.Request.Context(), r); err != nil {
			p.fail(c, err)
			return
		}
		p.registerStep(c, http.StatusBadRequest, page)
		return
	}
	p.next(c, r, 3)
}

// cutTo bounds what a form may keep in a session.
func cutTo(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most])
	}
	return s
}

// registerConfirm is the third step: the mail is asked for.
func (p *portal) registerConfirm(c *gin.Context) {
	if !p.within(c, p.signups) {
		return
	}
	ctx := c.Request.Context()
	r := p.registration(ctx)
	if !r.Human {
		c.Redirect(http.StatusSeeOther, "/registrazione")
		return
	}
	if err := p.svc.Register(ctx, r.Person); err != nil {
		if fieldErrors(err) == nil {
			p.fail(c, err)
			return
		}
		p.next(c, r, 2)
		return
	}
	p.sessions.Remove(ctx, sessionRegistration)
	c.Redirect(http.StatusSeeOther, "/registrazione/inviata")
}

func fieldErrors(err error) []gateway.FieldError {
	var bad *gateway.Invalid
	if errors.As(err, &bad) {
		return bad.Fields
	}
	return nil
}

type sentPage struct {
	frame
	What string // registration, username, password
}

func (p *portal) registerSent(c *gin.Context) {
	p.render(c, http.StatusOK, "sent", sentPage{p.frame(c), "registration"})
}

type confirmedPage struct {
	frame
	Over bool // the link was used up or is none
}

// confirmRegistration is where the first mail leads.
func (p *portal) confirmRegistration(c *gin.Context) {
	if !p.within(c, p.signups) {
		return
	}
	err := p.svc.ConfirmRegistration(c.Request.Context(), c.Query("token"))
	over := errors.Is(err, gateway.ErrLink)
	if err != nil && !over {
		p.fail(c, err)
		return
	}
	status := http.StatusOK
	if over {
		status = http.StatusNotFound
	}
	p.render(c, status, "confirmed", confirmedPage{p.frame(c), over})
}

type recoverPage struct {
	frame
	What  string // username, password, new (the link was followed), over
	Token string
	Error string // weak, guessable, differ
}

// recoverForm asks for what finds the account, or for the new password when the
// link of the mail was followed.
func (p *portal) recoverForm(c *gin.Context) {
	page := recoverPage{What: "password", Token: c.Query("token")}
	status := http.StatusOK
	switch {
	case page.Token != "":
		page.What = "new"
		if err := p.svc.CheckPasswordLink(c.Request.Context(), page.Token); errors.Is(err, gateway.ErrLink) {
			page.What, status = "over", http.StatusNotFound
		} else if err != nil {
			p.fail(c, err)
			return
		}
	case c.Query("cosa") == "username":
		page.What = "username"
	}
	page.frame = p.frame(c)
	p.render(c, status, "recover", page)
}

func (p *portal) recover(c *gin.Context) {
	if !p.within(c, p.signups) {
		return
	}
	ctx := c.Request.Context()
	if token := c.PostForm("token"); token != "" {
		p.newPassword(c, token)
		return
	}
	what, err := "password", error(nil)
	if c.PostForm("cosa") == "username" {
		what = "username"
		err = p.svc.ForgotUsername(ctx, c.PostForm("codice_fiscale"))
	} else {
		err = p.svc.ForgotPassword(ctx, cutTo(c.PostForm("username"), 100))
	}
	if err != nil {
		p.fail(c, err)
		return
	}
	p.render(c, http.StatusOK, "sent", sentPage{p.frame(c), what})
}

func (p *portal) newPassword(c *gin.Context, token string) {
	page := recoverPage{What: "new", Token: token}
	status := http.StatusBadRequest
	wanted := c.PostForm("nuova_password")
	if wanted != c.PostForm("conferma_password") {
		page.Error = "differ"
	} else {
		err := p.svc.ResetPassword(c.Request.Context(), token, wanted)
		switch {
		case errors.Is(err, gateway.ErrGuessablePassword):
			page.Error = "guessable"
		case errors.Is(err, gateway.ErrWeakPassword):
			page.Error = "weak"
		case errors.Is(err, gateway.ErrLink):
			page.What, status = "over", http.StatusNotFound
		case err != nil:
			p.fail(c, err)
			return
		default:
			p.tell(c, "password")
			c.Redirect(http.StatusSeeOther, "/accesso")
			return
		}
	}
	page.frame = p.frame(c)
	p.render(c, status, "recover", page)
}

// redeem proves an account by the code of a school's letter.
func (p *portal) redeem(c *gin.Context) {
	if !p.within(c, p.guesses) {
		return
	}
	err := p.svc.Redeem(c.Request.Context(), account(c).ID, cutTo(c.PostForm("codice_invito"), 40))
	switch {
	case errors.Is(err, gateway.ErrLink), errors.Is(err, gateway.ErrInvitation):
		p.tell(c, "invitation_wrong")
	case err != nil:
		p.fail(c, err)
		return
	default:
		if err := p.sessions.RenewToken(c.Request.Context()); err != nil { // its rights have changed
			p.fail(c, err)
			return
		}
		p.tell(c, "invited")
	}
	c.Redirect(http.StatusSeeOther, "/")
}
