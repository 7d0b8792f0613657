// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"github.com/nodogate/nodogate/gateway"
)

// secureHeaders puts what reliability.md, section 9, asks for on every answer.
func secureHeaders(next http.Handler, cfg Config) http.Handler {
	const before = "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self' data:; script-src 'self'; " +
		"connect-src 'self'; form-action "
	const after = "; frame-ancestors 'none'; base-uri 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		forms := strings.Join(append([]string{"'self'"}, cfg.FormActions()...), " ")
		h.Set("Content-Security-Policy", before+forms+after)
		h.Set("X-Content-Type-Options", "nosniff")
		// no-referrer would make browsers send "Origin: null" with our own
		// forms, and the origin check would refuse them.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
		// Pages are personal; what is not says so itself.
		h.Set("Cache-Control", "no-store")
		if cfg.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

func newSessions(store scs.Store, secure bool) *scs.SessionManager {
	sm := scs.New()
	sm.Store = store
	sm.HashTokenInStore = true
	sm.IdleTimeout, sm.Lifetime = gateway.LoginIdle, gateway.LoginWhole
	sm.Cookie.Persist = false
	sm.Cookie.Name = "nodogate"
	if secure {
		// A cookie with this prefix is refused by browsers unless it is Secure,
		// for this host only and for the path /.
		sm.Cookie.Name, sm.Cookie.Secure = "__Host-nodogate", true
	}
	return sm
}

// withSession loads the session before next and, when save is set, saves it
// before the first byte of the answer. It stands in for scs's LoadAndSave in two
// points: a session that cannot be saved is a whole 503 with nothing after it;
// and what a script asks in the background does not save, for it would keep an
// idle session alive, and could write an old copy over a log-out beside it.
func (p *portal) withSession(next http.Handler, save bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Cookie, Accept-Language")
		sw := &sessionWriter{ResponseWriter: w}
		var token string
		if cookie, err := r.Cookie(p.sessions.Cookie.Name); err == nil {
			token = cookie.Value
		}
		ctx, err := p.sessions.Load(r.Context(), token)
		if err != nil {
			p.sessionFailed(sw, r, err)
			return
		}
		sw.begin = func() {
			if err := p.saveSession(ctx, w); err != nil {
				p.sessionFailed(sw, r, err)
			}
		}
		if !save {
			sw.begin = nil
		}
		next.ServeHTTP(sw, r.WithContext(ctx))
	})
}

func (p *portal) saveSession(ctx context.Context, w http.ResponseWriter) error {
	switch p.sessions.Status(ctx) {
	case scs.Modified:
		token, expiry, err := p.sessions.Commit(ctx)
		if err != nil {
			return err
		}
		p.sessions.WriteSessionCookie(ctx, w, token, expiry)
	case scs.Destroyed:
		p.sessions.WriteSessionCookie(ctx, w, "", time.Time{})
	}
	return nil
}

func (p *portal) sessionFailed(sw *sessionWriter, r *http.Request, err error) {
	p.log.Error("portal session", "error", err)
	sw.begin = nil
	for _, key := range []string{"Location", "Content-Disposition"} {
		sw.Header().Del(key) // of the answer that is not given
	}
	http.Error(sw, p.asked(r).plain("problem.away"), http.StatusServiceUnavailable)
	sw.dead = true
}

// sessionWriter runs begin before the first byte; when that fails it has
// answered, and what comes after is dropped.
type sessionWriter struct {
	http.ResponseWriter
	begin func()
	dead  bool
}

func (w *sessionWriter) start() bool {
	if begin := w.begin; begin != nil {
		w.begin = nil
		begin()
	}
	return !w.dead
}

func (w *sessionWriter) WriteHeader(code int) {
	if w.start() {
		w.ResponseWriter.WriteHeader(code)
	}
}

func (w *sessionWriter) Write(b []byte) (int, error) {
	if !w.start() {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

func (p *portal) measure(c *gin.Context) {
	start := p.svc.Now()
	c.Next()
	route := c.FullPath()
	method := c.Request.Method
	if route == "" {
		route = "other"
	}
	if !slices.Contains([]string{"GET", "HEAD", "POST"}, method) {
		method = "other"
	}
	p.observe(route, method, c.Writer.Status(), p.svc.Now().Sub(start))
}

// panicked answers what a programmer's mistake leaves behind.
func (p *portal) panicked(c *gin.Context, cause any) { p.fail(c, fmt.Errorf("panic: %v", cause)) }

// guardForms refuses forms that other sites send, and oversized ones.
func (p *portal) guardForms(c *gin.Context) {
	if p.foreign.Check(c.Request) != nil {
		p.problem(c, http.StatusForbidden)
		return
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	if err := c.Request.ParseForm(); err != nil {
		status := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		p.problem(c, status)
	}
}

// accountKey is where identify leaves the account in a request.
const accountKey = "account"

// identify finds out who is asking.
func (p *portal) identify(c *gin.Context) {
	ctx := c.Request.Context()
	id := p.sessions.GetString(ctx, sessionAccount)
	if id == "" {
		return
	}
	a, err := p.svc.SignedIn(ctx, id, p.sessions.GetString(ctx, sessionLogin))
	switch {
	case err == nil:
		c.Set(accountKey, &a)
	case errors.Is(err, gateway.ErrNotFound): // ended elsewhere, or deleted
		if err := p.sessions.Destroy(ctx); err != nil {
			p.fail(c, err)
		}
	default:
		p.fail(c, err)
	}
}

// account is who is logged in; nil for a guest.
func account(c *gin.Context) *gateway.Account {
	a, _ := c.Get(accountKey)
	acc, _ := a.(*gateway.Account)
	return acc
}

// admit keeps out who may not call a route.
func (p *portal) admit(who access) gin.HandlerFunc {
	return func(c *gin.Context) {
		a := account(c)
		switch {
		case who == anyone:
		case a == nil && who != visitor:
			p.toLogin(c)
		case a != nil && a.MustChange && who != provisional:
			c.Redirect(http.StatusSeeOther, "/cambio-password")
			c.Abort()
		case a != nil && a.ConsentsAt.IsZero() && who != provisional && who != undecided:
			back := "/"
			if c.Request.Method == http.MethodGet {
				back = c.Request.URL.RequestURI()
			}
			c.Redirect(http.StatusSeeOther, "/consensi?torna="+url.QueryEscape(back))
			c.Abort()
		}
	}
}

// toLogin asks to log in first, and to come back to where this request was
// going; a form cannot be sent again, so its page is where to come back to.
func (p *portal) toLogin(c *gin.Context) {
	back := c.Request.URL.RequestURI()
	if c.Request.Method == http.MethodPost {
		back = returnPath(c.PostForm("torna"), "/carrello")
	}
	c.Redirect(http.StatusSeeOther, "/accesso?torna="+url.QueryEscape(back))
	c.Abort()
}

// returnPath is s when that is a path of this site, and otherwise fallback.
func returnPath(s, fallback string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" ||
		!strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "\\\r\n\t") ||
		path.Clean(u.Path) != u.Path {
		return fallback
	}
	return s
}

// The keys of a session. Values are strings, so that any store can keep them.
const (
	sessionAccount = "account"
	sessionLogin   = "login"  // id of the account's Login
	sessionBasket  = "basket" // school/number, blank between
	sessionCarts   = "carts"  // ids of carts opened in this session
	sessionGuest   = "guest"  // identity of a guest, for idempotency
	sessionMessage = "message"
	sessionTicket  = "ticket" // key of the form, blank, number of the question
	// sessionLanguage is the language chosen here.
	sessionLanguage = "language"
)

// guest is the identity of a person without an account.
func (p *portal) guest(c *gin.Context) string {
	ctx := c.Request.Context()
	id := p.sessions.GetString(ctx, sessionGuest)
	if id == "" {
		id = rand.Text()
		p.sessions.Put(ctx, sessionGuest, id)
	}
	return id
}

// tell shows a sentence on the next page; the words stand in layout.html.
func (p *portal) tell(c *gin.Context, message string) {
	p.sessions.Put(c.Request.Context(), sessionMessage, message)
}

// limiter lets each address ask burst times at once, and once more each time
// every has passed. It keeps two generations of addresses: when the younger is
// full it becomes the elder, and the elder is forgotten, so that no flood of
// addresses fills the memory.
type limiter struct {
	what  string // its name where all processes count together
	every time.Duration
	burst int

	mu           sync.Mutex
	young, elder map[netip.Prefix]*rate.Limiter // guarded by mu
}

const maxAddresses = 10_000

func newLimiter(what string, every time.Duration, burst int) *limiter {
	return &limiter{what: what, every: every, burst: burst, young: map[netip.Prefix]*rate.Limiter{}}
}

// subscriber is what counts as one: an IPv6 subscriber owns 2^64 addresses.
func subscriber(address string) netip.Prefix {
	a, err := netip.ParseAddr(address)
	if err != nil {
		a = netip.IPv6Unspecified()
	}
	bits := 32
	if a = a.Unmap().WithZone(""); a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// allow says whether this subscriber may ask this process once more; if not,
// when.
func (l *limiter) allow(who netip.Prefix, now time.Time) (bool, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.young[who]
	if !ok {
		if one, ok = l.elder[who]; !ok {
			one = rate.NewLimiter(rate.Every(l.every), l.burst)
		}
		if len(l.young) >= maxAddresses {
			l.elder, l.young = l.young, map[netip.Prefix]*rate.Limiter{}
		}
		l.young[who] = one
	}
	if one.AllowN(now, 1) {
		return true, 0
	}
	return false, time.Duration((1 - one.TokensAt(now)) * float64(l.every))
}

// Throttles counts what comes from an address, for all processes together. An
// error means that it cannot tell now: then each process counts for itself,
// since a portal that nobody can enter for want of a counter serves nobody.
type Throttles interface {
	Take(ctx context.Context, what, who string, every time.Duration, burst int) (gateway.Quota, error)
}

// within answers 429 when the address has asked too often.
func (p *portal) within(c *gin.Context, l *limiter) bool {
	who := subscriber(c.ClientIP())
	var q gateway.Quota
	var err error
	if p.shared != nil {
		if q, err = p.shared.Take(c.Request.Context(), l.what, who.String(), l.every, l.burst); err != nil {
			p.log.Warn("shared throttle", "what", l.what, "error", err)
		}
	}
	if p.shared == nil || err != nil {
		q.Allowed, q.RetryAfter = l.allow(who, p.svc.Now())
	}
	if q.Allowed {
		return true
	}
	// Rounded up: who waits so long is not refused again.
	c.Header("Retry-After", strconv.Itoa(int(math.Ceil(q.RetryAfter.Seconds()))))
	p.problem(c, http.StatusTooManyRequests)
	return false
}
