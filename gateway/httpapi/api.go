// SPDX-License-Identifier: Apache-2.0

// Package httpapi is the back-office REST API: what the programs of a school's
// office use to issue notices, follow their payment and fetch receipts.
//
// openapi.yaml is the source: the server's types and routing are generated from
// it (api.gen.go), every request is validated against it, and it is what
// /api/openapi.json and /api/docs show. What it cannot say is here: who may
// call a route (access.go), how a repeated request is told (once.go), which
// error becomes which answer (problem.go). The business rules are the
// gateway's.
//
// What a caller gets wrong: a route exists only with its line in the table of
// access.go; New refuses a document with an operation that has none.
package httpapi

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// Config is what the API is made of. Service, TokenKey, PDF and NoticePDF are required.
type Config struct {
	Service *gateway.Service
	// TokenKey signs access tokens and page cursors: 32 bytes or more, the same
	// in every process of an installation.
	TokenKey []byte
	// PDF prints a receipt.
	PDF func(gateway.Receipt, gateway.School) ([]byte, error)
	// NoticePDF prints a notice, with a second language beside Italian or none.
	NoticePDF func(ctx context.Context, n gateway.Notice, school gateway.School, language string) ([]byte, error)
	// Letters prints invitations; those of a class with a list to hand them out
	// by. Nil: they are data only.
	Letters func(school gateway.School, class string, list gateway.Invitations) ([]byte, error)
	// Observe gets every answer under its route's template, for the metric of
	// HTTP durations; may be nil.
	Observe func(route, method string, code int, took time.Duration)
	// PerMinute is how many requests a client may make in a minute; 0 is
	// DefaultPerMinute. Quotas counts them for all processes together; nil: each
	// counts for itself.
	PerMinute int
	Quotas    Quotas
	Log       *slog.Logger // nil: silent
	// CheckMapping says what is wrong with an import's mapping of columns; nil:
	// the import itself says so.
	CheckMapping func(map[string]string) error
	// TrustedProxies are the addresses whose X-Forwarded-For is believed when
	// failed log-ins are counted; none: the address of the connection.
	TrustedProxies []string
}

// requestTime bounds the work of one request. Payments are the slowest: the
// connectors' own limits are well below.
const requestTime = 30 * time.Second

// DefaultPerMinute lets an office load what it has, and stops a loop that ran
// wild.
const DefaultPerMinute = 12_000

type handlers struct {
	shared    Quotas // nil: there is none
	quotas    *localQuotas
	svc       *gateway.Service
	pdf       func(gateway.Receipt, gateway.School) ([]byte, error)
	noticePDF func(context.Context, gateway.Notice, gateway.School, string) ([]byte, error)
	// lettersPDF prints invitations.
	lettersPDF func(gateway.School, string, gateway.Invitations) ([]byte, error)
	log        *slog.Logger
	answered   func(route, method string, code int, took time.Duration)
	doc        *document
	tokenKey   []byte
	cursorKey  []byte
	logins     *throttle

	checkMapping func(map[string]string) error
}

// New makes the handler of /api/ and /oauth2/.
func New(cfg Config) (http.Handler, error) {
	h, err := newHandlers(cfg)
	if err != nil {
		return nil, err
	}
	engine, err := h.engine(cfg.TrustedProxies)
	if err != nil {
		return nil, err
	}
	return withHEAD(engine), nil
}

// withHEAD answers HEAD as GET; the server leaves the body out (RFC 9110,
// section 9.3.2).
func withHEAD(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := *r
			get.Method = http.MethodGet
			r = &get
		}
		next.ServeHTTP(w, r)
	})
}

func newHandlers(cfg Config) (*handlers, error) {
	if cfg.Service == nil || cfg.PDF == nil || cfg.NoticePDF == nil || len(cfg.TokenKey) < 32 {
		return nil, errors.New("httpapi: Service, PDF, NoticePDF and a TokenKey of 32 bytes are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	doc, err := loadDocument()
	if err != nil {
		return nil, err
	}
	if cfg.Letters == nil {
		cfg.Letters = func(gateway.School, string, gateway.Invitations) ([]byte, error) { return nil, problemAccept }
	}
	h := &handlers{
		lettersPDF: cfg.Letters, svc: cfg.Service, pdf: cfg.PDF, noticePDF: cfg.NoticePDF, log: cfg.Log, doc: doc, logins: newThrottle(10_000),
		answered: cfg.Observe, checkMapping: cfg.CheckMapping,
	}
	if cfg.PerMinute <= 0 {
		cfg.PerMinute = DefaultPerMinute
	}
	h.shared, h.quotas = cfg.Quotas, newLocalQuotas(cfg.PerMinute)
	// One key, two uses: neither may stand for the other.
	for info, key := range map[string]*[]byte{"access token": &h.tokenKey, "page cursor": &h.cursorKey} {
		if *key, err = hkdf.Key(sha256.New, cfg.TokenKey, nil, "nodogate "+info, 32); err != nil {
			return nil, fmt.Errorf("httpapi: derive %s key: %w", info, err)
		}
	}
	return h, nil
}

func (h *handlers) engine(trustedProxies []string) (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	if err := e.SetTrustedProxies(trustedProxies); err != nil {
		return nil, fmt.Errorf("httpapi: trusted proxies: %w", err)
	}
	e.Use(h.observe, h.recover)
	e.NoRoute(func(c *gin.Context) { h.fail(c, problemNoRoute) })
	e.NoMethod(func(c *gin.Context) { h.fail(c, problemNoMethod) })

	routes := e.Group("", h.authorise, h.read)
	routes.POST("/oauth2/token", h.issueToken)
	routes.GET("/api/openapi.json", h.serveDocument)
	routes.GET("/api/docs", h.serveDocs)
	routes.POST("/api/v1/schools/:cf/imports", h.createImport)
	routes.POST("/api/v1/schools/:cf/registry/imports", h.importRegistry)
	strict := NewStrictHandlerWithOptions(h, []StrictMiddlewareFunc{h.once}, StrictGinServerOptions{
		// The request was validated against the document: what still fails to
		// bind is a disagreement between document and types.
		RequestErrorHandlerFunc:  h.fail,
		HandlerErrorFunc:         h.fail,
		ResponseErrorHandlerFunc: h.fail,
	})
	RegisterHandlersWithOptions(routes, strict, GinServerOptions{
		ErrorHandler: func(c *gin.Context, err error, _ int) { h.fail(c, err) },
	})
	return e, nil
}

// call is what is known of the request being served. It belongs to the
// request's goroutine.
type call struct {
	id     string
	route  route
	op     *operation
	caller caller
	body   []byte // canonical JSON
	scope  string // of the idempotency key
	kind   string // media type of the answer to a keyed request
	print  [sha256.Size]byte
	table  []byte         // the body of an operation that takes a table
	upload gateway.Upload // the body of an operation that takes a file
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// begin is the first line of every handler: the generated code passes the
// *gin.Context, which must not be kept by anything behind this package.
func begin(ctx context.Context) (context.Context, *call) {
	ctx = ctx.(*gin.Context).Request.Context()
	return ctx, callOf(ctx)
}

// observe numbers the request, bounds it, and counts and logs its end.
func (h *handlers) observe(c *gin.Context) {
	start := h.svc.Now()
	k := &call{id: rand.Text()}
	limit := requestTime
	if carriesFile(c.Request.Method, c.FullPath()) {
		limit = longTime
		// The server's own limits are for the others; the machine's time is theirs.
		r, until := http.NewResponseController(c.Writer), time.Now().Add(limit)
		_, _ = r.SetReadDeadline(until), r.SetWriteDeadline(until) // a test's recorder has none
	}
	ctx, cancel := context.WithTimeout(context.WithValue(c.Request.Context(), callKey{}, k), limit)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	head := c.Writer.Header()
	head.Set("X-Request-Id", k.id)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-store")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")

	c.Next()

	// Labels come from closed lists: a caller can invent paths and methods.
	route, method := c.FullPath(), c.Request.Method
	if route == "" {
		route = "none"
	}
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
	default:
		method = "other"
	}
	status := c.Writer.Status()
	took := h.svc.Now().Sub(start)
	if h.answered != nil {
		h.answered(route, method, status, took)
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("request_id", k.id), slog.String("method", method), slog.String("route", route),
		slog.Int("status", status), slog.Duration("duration", took), slog.String("client", k.caller.ID))
}

// recover answers a panic as any other fault of ours.
func (h *handlers) recover(c *gin.Context) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if err, ok := r.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(r)
		}
		h.log.Error("panic", "request_id", callOf(c.Request.Context()).id, "route", c.FullPath(), "panic", r, "stack", string(debug.Stack()))
		if !c.Writer.Written() {
			h.write(c, problemInternal, nil)
		}
		c.Abort()
	}()
	c.Next()
}

// ginPath is the route template as Gin writes it: /a/{b} is /a/:b.
func ginPath(p string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(p)
}
