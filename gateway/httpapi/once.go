// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// keyed says how an operation with an Idempotency-Key is run, by the table of
// reliability.md, section 3. Only answers with an effect are kept: a refusal
// changed nothing, so the same key may be tried again, with a corrected body
// too, and a state that forbids the request (409) is looked at anew.
type keyed struct {
	// staged: the operation calls out and cannot be one transaction. The key is
	// taken before it and its answer kept after it; the operation itself must
	// be idempotent by call.operationKey.
	staged bool
	// secret: the answer shows something that is shown once. It is not kept, and
	// the request, sent again, is told so.
	secret bool
	render func(response any, w http.ResponseWriter) error
}

// inTx is for operations that are one transaction, in which their answer is
// kept too.
func inTx[R any](visit func(R, http.ResponseWriter) error) *keyed {
	return &keyed{render: func(response any, w http.ResponseWriter) error { return visit(response.(R), w) }}
}

func showingSecret[R any](visit func(R, http.ResponseWriter) error) *keyed {
	k := inTx(visit)
	k.secret = true
	return k
}

func staged[R any](visit func(R, http.ResponseWriter) error) *keyed {
	k := inTx(visit)
	k.staged = true
	return k
}

const (
	// keepKeys is longer than any attempt lives.
	keepKeys = 48 * time.Hour
	// A staged request that has not ended by then was cut off.
	maxRunning = time.Minute
)

// readKey takes the Idempotency-Key. Its scope is the client and the operation,
// so that nobody sees another's answer.
func (k *call) readKey(c *gin.Context) error {
	values := c.Request.Header.Values("Idempotency-Key")
	switch {
	case len(values) == 0:
		return wrong("Idempotency-Key", "required", "send this header with a key of your making, the same when you repeat the request")
	case len(values) > 1 || !printable(values[0]):
		return wrong("Idempotency-Key", "format", "give 1 to 255 printable ASCII characters, once")
	}
	k.scope = gateway.RequestKey(k.caller.ID, c.Request.Method, c.FullPath(), values[0])
	return nil
}

// operationKey names the request and its content to the gateway. The content is
// part of it: a refused request frees its key for another.
func (k *call) operationKey() string {
	return gateway.RequestKey(k.scope, hex.EncodeToString(k.print[:]))
}

// once runs operations that take an Idempotency-Key at most once for each key.
func (h *handlers) once(f StrictHandlerFunc, _ string) StrictHandlerFunc {
	return func(c *gin.Context, request any) (any, error) {
		k := callOf(c.Request.Context())
		if k.route.once == nil {
			return f(c, request)
		}
		run := h.runInTx
		if k.route.once.staged {
			run = h.runStaged
		}
		answer, replayed, err := run(c, k, func() (any, error) { return f(c, request) })
		if err != nil {
			return nil, err
		}
		if answer.Location != "" {
			c.Header("Location", answer.Location)
		}
		if answer.ETag != "" {
			c.Header("ETag", answer.ETag)
		}
		if replayed {
			c.Header("Idempotency-Replayed", "true")
		}
		kind := "application/json"
		if !replayed {
			kind = k.kind // of a secret, which may be a letter, and is not replayed
		}
		c.Data(answer.Status, kind, answer.Body)
		return nil, nil
	}
}

func (h *handlers) runInTx(c *gin.Context, k *call, f func() (any, error)) (answer gateway.OnceRecord, replayed bool, err error) {
	request := c.Request
	defer func() { c.Request = request }()
	err = h.svc.Atomically(request.Context(), func(ctx context.Context, tx gateway.Tx) error {
		if answer, replayed, err = h.take(tx, k); err != nil || replayed {
			return err
		}
		c.Request = request.WithContext(ctx) // the handler joins the transaction
		response, err := f()
		if err != nil {
			return err
		}
		if k.kind, err = k.route.once.keep(&answer, response); err != nil {
			return err
		}
		kept := answer
		if k.route.once.secret {
			kept.Body = nil
		}
		return tx.PutOnce(kept)
	})
	return answer, replayed, err
}

func (h *handlers) runStaged(c *gin.Context, k *call, f func() (any, error)) (answer gateway.OnceRecord, replayed bool, err error) {
	ctx := c.Request.Context()
	err = h.svc.Atomically(ctx, func(_ context.Context, tx gateway.Tx) error {
		answer, replayed, err = h.take(tx, k)
		return err
	})
	if err != nil || replayed {
		return answer, replayed, err
	}
	response, err := f()
	if err == nil {
		k.kind, err = k.route.once.keep(&answer, response)
	}
	// What happened is kept, though the client may have gone.
	end := context.WithoutCancel(ctx)
	if err != nil {
		free := func(_ context.Context, tx gateway.Tx) error {
			// Not when another took the key over meanwhile.
			rec, err := tx.OnceRecord(k.scope)
			if err == nil && rec.Running && rec.CreatedAt.Equal(answer.CreatedAt) {
				err = tx.DeleteOnce(k.scope)
			}
			return err
		}
		return answer, false, errors.Join(err, h.svc.Atomically(end, free))
	}
	put := func(_ context.Context, tx gateway.Tx) error { return tx.PutOnce(answer) }
	return answer, false, h.svc.Atomically(end, put)
}

// take finds the answer of the key, or takes the key for this request.
func (h *handlers) take(tx gateway.Tx, k *call) (rec gateway.OnceRecord, replayed bool, err error) {
	now := h.svc.Now()
	old, err := tx.OnceRecord(k.scope)
	switch {
	case errors.Is(err, gateway.ErrNotFound) || err == nil && !now.Before(old.ExpiresAt):
	case err != nil:
		return old, false, err
	case old.Fingerprint != k.print:
		return old, false, gateway.ErrKeyReused
	case !old.Running && k.route.once.secret:
		return old, false, problemShownOnce
	case !old.Running:
		return old, true, nil
	case now.Sub(old.CreatedAt) < maxRunning:
		return old, false, problemRunning
	default:
		// It was cut off: this request goes on for it.
		if err := tx.DeleteOnce(k.scope); err != nil {
			return old, false, err
		}
	}
	rec = gateway.OnceRecord{Scope: k.scope, Fingerprint: k.print, Running: true, CreatedAt: now, ExpiresAt: now.Add(keepKeys)}
	err = tx.PutOnce(rec)
	if errors.Is(err, gateway.ErrConflict) {
		err = problemRunning // the same request beside us was quicker
	}
	return rec, false, err
}

// keep renders the answer into the record, and gives its media type.
func (k *keyed) keep(rec *gateway.OnceRecord, response any) (kind string, err error) {
	w := recorder{head: http.Header{}}
	if err := k.render(response, &w); err != nil {
		return "", err
	}
	rec.Running, rec.Status, rec.Body, rec.Location, rec.ETag = false, w.status, w.body.Bytes(), w.head.Get("Location"), w.head.Get("ETag")
	return w.head.Get("Content-Type"), nil
}

// recorder is a ResponseWriter into memory.
type recorder struct {
	head   http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.head }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
