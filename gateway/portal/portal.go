// SPDX-License-Identifier: Apache-2.0

// Package portal is the family's face: pages on which a parent sees the notices
// of all children, pays up to five at once, and keeps the receipts.
//
// It decides nothing about money: it asks gateway.Service, which checks again
// what these pages have checked. The structure of pages stands in templates/, their words
// in words/ in five languages, the style in static/; Bootstrap Italia, when it was fetched to static/vendor/, is worn
// below our own app.css.
//
// What a caller gets wrong: the page a PSP sends the family back to changes
// nothing. It shows what the receipts say, and waits for them.
package portal

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// Config is what the portal is made of. Service, Sessions, PublicURL, PDF,
// NoticePDF and Attest are required.
type Config struct {
	Service  *gateway.Service
	Sessions scs.Store // a CtxStore is used as one
	// PublicURL is the origin that browsers see.
	PublicURL *url.URL
	// Secure says that browsers come by https. Only a demo on loopback is not.
	Secure bool
	// PDF makes the document of a receipt.
	PDF func(gateway.Receipt, gateway.School) ([]byte, error)
	// NoticePDF prints a notice, with a second language beside Italian or none.
	NoticePDF func(ctx context.Context, n gateway.Notice, school gateway.School, language string) ([]byte, error)
	// Bulletin prints postal bulletins; nil: none are printed.
	Bulletin func([]gateway.Bulletin) ([]byte, error)
	// Attest makes the document of an attestation.
	Attest func(Attestation) ([]byte, error)
	// FormActions are the origins of the PSPs' pages: Paga ends there, and a
	// browser follows a form's redirect only to origins that the policy names.
	// Asked for at each answer: PSPs come and go. Nil: there are none.
	FormActions func() []string
	// TrustedProxies are the addresses or networks whose X-Forwarded-For is
	// believed when look-ups are counted per address.
	TrustedProxies []string
	Log            *slog.Logger // nil: silent
	// Observe gets every answer, for the metric of HTTP durations; may be nil.
	Observe func(route, method string, code int, d time.Duration)
	// Throttles counts, for all processes together, how often an address asks; nil:
	// each process counts for itself.
	Throttles Throttles
	// Identities are the OpenID providers families may enter with.
	Identities []IdentityProvider
}

// maxForm is far more than any form here can fill.
const maxForm = 64 << 10

type portal struct {
	svc        *gateway.Service
	sessions   *scs.SessionManager
	tongues    *tongues
	pages      map[string]map[string]*template.Template // by language and name
	askable    map[string]bool                          // the addresses of pages: routes with GET
	pdf        func(gateway.Receipt, gateway.School) ([]byte, error)
	noticeDoc  func(context.Context, gateway.Notice, gateway.School, string) ([]byte, error)
	bulletins  func([]gateway.Bulletin) ([]byte, error)
	attest     func(Attestation) ([]byte, error)
	log        *slog.Logger
	observe    func(route, method string, code int, d time.Duration)
	foreign    *http.CrossOriginProtection
	shared     Throttles
	lookups    *limiter // of notices by people without an account
	identities []IdentityProvider
	guesses    *limiter // of passwords
	signups    *limiter // steps of registrations and of recoveries
	gifts      *limiter // of notices that people make themselves
	questions  *limiter
}

// access says who may call a route.
type access int

const (
	// anyone: a public page; what it adds for a family, it checks itself.
	anyone access = iota + 1
	// visitor: somebody logged in, or a guest with what the session holds; not
	// an account whose password is provisional.
	visitor
	// family: somebody logged in.
	family
	// undecided: somebody logged in, who may not have said yet what they consent
	// to.
	undecided
	// provisional: somebody logged in, and be it with a password to be changed.
	provisional
)

type route struct {
	method, path string
	who          access
	handle       func(*portal, *gin.Context)
}

// routes are all pages and who may call them. What is not here is not served.
var routes = []route{
	{"GET", "/", visitor, (*portal).home},
	{"GET", "/accesso", visitor, (*portal).loginForm},
	{"POST", "/accesso", visitor, (*portal).login},
	{"POST", "/accesso/identita/:provider", anyone, (*portal).startIdentity},
	{"GET", "/accesso/identita/:provider", anyone, (*portal).finishIdentity},
	{"GET", "/accesso/recupero", anyone, (*portal).recoverForm},
	{"POST", "/accesso/recupero", anyone, (*portal).recover},
	{"GET", "/registrazione", anyone, (*portal).registerForm},
	{"POST", "/registrazione", anyone, (*portal).registerCode},
	{"POST", "/registrazione/dati", anyone, (*portal).registerPerson},
	{"POST", "/registrazione/conferma", anyone, (*portal).registerConfirm},
	{"GET", "/registrazione/inviata", anyone, (*portal).registerSent},
	{"GET", "/conferma", anyone, (*portal).confirmRegistration},
	{"POST", "/esci", provisional, (*portal).logout},
	{"GET", "/cambio-password", provisional, (*portal).passwordForm},
	{"POST", "/cambio-password", provisional, (*portal).changePassword},
	{"GET", "/consensi", undecided, (*portal).consents},
	{"POST", "/consensi", undecided, (*portal).setConsents},
	{"GET", "/area-riservata", family, (*portal).profile},
	{"POST", "/area-riservata/email", family, (*portal).askEmail},
	{"GET", "/area-riservata/email", anyone, (*portal).emailForm},
	{"POST", "/area-riservata/email/conferma", anyone, (*portal).confirmEmail},
	{"POST", "/area-riservata/invito", family, (*portal).redeem},
	{"POST", "/area-riservata/sessioni", family, (*portal).endLogin},
	{"GET", "/area-riservata/dati.json", family, (*portal).downloadData},
	{"POST", "/area-riservata/elimina", family, (*portal).deleteAccount},

	{"GET", "/avvisi", family, (*portal).notices},
	{"GET", "/avvisi/:school/:number", family, (*portal).notice},
	{"GET", "/avvisi/:school/:number/avviso.pdf", family, (*portal).noticePDF},
	{"GET", "/classe", family, (*portal).class},
	{"GET", "/carrello", visitor, (*portal).cart},
	{"POST", "/carrello/avvisi", family, (*portal).addNotice},
	{"POST", "/carrello/rimuovi", visitor, (*portal).removeNotice},
	{"GET", "/carrello/pagamento", visitor, (*portal).checkout},
	{"POST", "/carrello/pagamento", visitor, (*portal).pay},
	{"GET", "/carrello/esito/:cart", visitor, (*portal).outcome},
	{"GET", "/carrello/esito/:cart/stato", visitor, (*portal).outcomeState},
	{"POST", "/carrello/esito/:cart/riprova", visitor, (*portal).payAgain},
	{"GET", "/pagamenti", family, (*portal).payments},
	{"GET", "/pagamenti/:school/:receipt", family, (*portal).receipt},
	{"GET", "/pagamenti/:school/:receipt/ricevuta.pdf", family, (*portal).receiptPDF},
	{"GET", "/pagamenti/:school/:receipt/attestazione.pdf", family, (*portal).attestationPDF},
	{"GET", "/attestazioni", family, (*portal).attestations},
	{"GET", "/attestazioni/:year/:child", family, (*portal).yearPDF},

	{"GET", "/paga", visitor, (*portal).guestForm},
	{"POST", "/paga", visitor, (*portal).guestSearch},
	{"GET", "/paga/:school/:number", visitor, (*portal).guestNotice},
	{"POST", "/paga/:school/:number", visitor, (*portal).guestAdd},
	{"GET", "/paga/:school/:number/avviso.pdf", visitor, (*portal).guestPDF},

	// Whoever has the link may see what it shows.
	{"GET", "/bollettini/:cart/:link", anyone, (*portal).bulletin},
	{"GET", "/servizi-di-pagamento", anyone, (*portal).providers},
	{"GET", "/versamenti-volontari", visitor, (*portal).give},
	{"GET", "/versamenti-volontari/:school", visitor, (*portal).giveSchool},
	{"GET", "/versamenti-volontari/:school/:contribution", visitor, (*portal).giftForm},
	{"POST", "/versamenti-volontari/:school/:contribution", visitor, (*portal).makeGift},

	{"GET", "/assistenza", anyone, (*portal).help},
	{"POST", "/assistenza", anyone, (*portal).askHelp},
	{"GET", "/faq", anyone, static("faq")},
	{"GET", "/manuale", anyone, static("manual")},
	{"GET", "/privacy", anyone, static("privacy")},
	{"GET", "/termini", anyone, static("terms")},
	{"GET", "/accessibilita", anyone, static("accessibility")},
}

// New makes the portal's handler. It starts no goroutine.
func New(cfg Config) (http.Handler, error) {
	if cfg.Service == nil || cfg.Sessions == nil || cfg.PublicURL == nil || cfg.PDF == nil || cfg.NoticePDF == nil || cfg.Attest == nil {
		return nil, errors.New("portal: Service, Sessions, PublicURL, PDF, NoticePDF and Attest are required")
	}
	files, err := loadAssets()
	if err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	tongues, err := loadTongues()
	if err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	pages, err := parsePages(files, tongues)
	if err != nil {
		return nil, fmt.Errorf("portal: %w", err)
	}
	p := &portal{
		svc: cfg.Service, tongues: tongues, pages: pages, pdf: cfg.PDF, noticeDoc: cfg.NoticePDF, bulletins: cfg.Bulletin, attest: cfg.Attest,
		log: cfg.Log, observe: cfg.Observe,
		askable:    map[string]bool{},
		foreign:    http.NewCrossOriginProtection(),
		lookups:    newLimiter("lookups", 2*time.Second, 40),
		identities: cfg.Identities, shared: cfg.Throttles,
		guesses:   newLimiter("guesses", time.Second, 60),
		signups:   newLimiter("signups", 3*time.Second, 60),
		gifts:     newLimiter("gifts", 20*time.Second, 20),
		questions: newLimiter("questions", 2*time.Minute, 12),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if cfg.FormActions == nil {
		cfg.FormActions = func() []string { return nil }
	}
	if p.observe == nil {
		p.observe = func(string, string, int, time.Duration) {}
	}
	// A proxy may rewrite Host; the origin that browsers see is always ours.
	if err := p.foreign.AddTrustedOrigin(origin(cfg.PublicURL)); err != nil {
		return nil, fmt.Errorf("portal: public URL: %w", err)
	}
	p.sessions = newSessions(cfg.Sessions, cfg.Secure)

	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	if err := engine.SetTrustedProxies(cfg.TrustedProxies); err != nil {
		return nil, fmt.Errorf("portal: trusted proxies: %w", err)
	}
	engine.Use(p.measure, gin.CustomRecoveryWithWriter(nil, p.panicked), p.guardForms, p.identify, p.speak)
	for _, r := range routes {
		if r.who == 0 {
			return nil, fmt.Errorf("portal: nobody may call %s %s", r.method, r.path)
		}
		handlers := []gin.HandlerFunc{p.admit(r.who), func(c *gin.Context) { r.handle(p, c) }}
		engine.Handle(r.method, r.path, handlers...)
		if r.method == http.MethodGet {
			p.askable[r.path] = true
			engine.Handle(http.MethodHead, r.path, handlers...)
		}
	}
	engine.NoRoute(func(c *gin.Context) { p.problem(c, http.StatusNotFound) })
	engine.NoMethod(func(c *gin.Context) { p.problem(c, http.StatusMethodNotAllowed) })

	mux := http.NewServeMux()
	mux.Handle("/static/", http.StripPrefix("/static/", files))
	mux.Handle("/", p.withSession(engine, true))
	mux.Handle("GET /carrello/esito/{cart}/stato", p.withSession(engine, false))
	return secureHeaders(mux, cfg), nil
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }
