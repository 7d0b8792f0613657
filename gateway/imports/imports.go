// SPDX-License-Identifier: Apache-2.0

// Package imports issues notices from the spreadsheets of schools. It is told
// of none: it claims what the API or the command line left in the database, so
// any process may do the work, and another goes on when one dies.
//
// What a table is, gateway/sheet knows; what a notice is, the gateway. Here is
// what lies between: which column is what, what a person may write in a cell,
// and how a file is gone through. Every file is gone through twice: the first
// time nothing is issued, so that a file with a bad row, or one that breaks off,
// leaves nothing half done.
//
// What a caller gets wrong: texts for people are Italian and may quote the
// file, so they belong in the answer to the school and never in a log.
package imports

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/sheet"
)

// Config is what a Worker is made of. Service and Name are required.
type Config struct {
	Service *gateway.Service
	// Name tells this worker from all others, of other processes too.
	Name string
	Log  *slog.Logger // nil: silent
	// Tick wakes an idle Worker; nil is once a second.
	Tick <-chan time.Time
	// Progress is called after every step; may be nil.
	Progress func(gateway.Import)
	// Chunk is how many rows are issued in one transaction, and Parallel how many
	// such transactions run at once; zero: 2000, and 2.
	Chunk, Parallel int
}

// Worker does imports, one after the other.
type Worker struct{ cfg Config }

// maxTries is after how many claims without a step an import is given up: it
// kills, or stops, whoever takes it.
const maxTries = 5

// New makes a Worker. It starts nothing; Run does.
func New(cfg Config) (*Worker, error) {
	if cfg.Service == nil || cfg.Name == "" {
		return nil, errors.New("imports: Service and Name are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Chunk <= 0 {
		cfg.Chunk = 2000
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 2
	}
	if cfg.Progress == nil {
		cfg.Progress = func(gateway.Import) {}
	}
	return &Worker{cfg}, nil
}

// Run works until ctx ends. What it has begun it gives back then.
func (w *Worker) Run(ctx context.Context) error {
	tick := w.cfg.Tick
	if tick == nil {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		tick = t.C
	}
	for ctx.Err() == nil {
		did, err := w.Once(ctx)
		if err != nil && ctx.Err() == nil {
			w.cfg.Log.Error("import", "err", err)
		}
		if did && err == nil {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
		case <-tick:
		}
	}
	return nil
}

// Once does one import, if there is one to do.
func (w *Worker) Once(ctx context.Context) (bool, error) {
	imp, err := w.cfg.Service.ClaimImport(ctx, w.cfg.Name)
	if errors.Is(err, gateway.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = w.Do(ctx, imp)
	return true, err
}

// Do does an import that this worker holds. An error is the machine's: the
// import is not ended then, and will be claimed again. What is wrong with the
// file ends it, and is no error here.
func (w *Worker) Do(ctx context.Context, imp gateway.Import) (_ gateway.Import, err error) {
	defer func() {
		if r := recover(); r != nil {
			// What was panicked with may be a person's.
			w.cfg.Log.Error("panic in an import", "id", imp.ID, "school", imp.School, "stack", string(debug.Stack()))
			err = fmt.Errorf("import %s: panic: %T", imp.ID, r)
		}
	}()
	start := w.cfg.Service.Now()
	if imp.Tries > maxTries {
		imp.Report.FailedCode, imp.Report.FailedText = "internal", "l'importazione si è interrotta più volte: avvisa chi gestisce il sistema"
		return w.finish(ctx, imp, gateway.ImportFailed, nil)
	}
	j := &job{w: w, svc: w.cfg.Service, imp: imp}
	done, err := j.run(ctx)
	switch {
	case err == nil:
		w.cfg.Log.Info("import", "id", done.ID, "school", done.School, "state", string(done.State), "dry_run", done.DryRun,
			"rows", done.Rows, "accepted", done.Accepted, "rejected", done.Rejected, "duration", w.cfg.Service.Now().Sub(start))
	case ctx.Err() != nil:
		// Another goes on at once.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, w.cfg.Service.ReleaseImport(end, j.imp))
	}
	return done, err
}

func (w *Worker) finish(ctx context.Context, imp gateway.Import, state gateway.ImportState, found []gateway.ImportError) (gateway.Import, error) {
	imp.State = state
	imp, err := w.cfg.Service.FinishImport(ctx, imp, found)
	if err == nil {
		w.cfg.Progress(imp)
	}
	return imp, err
}

// job is one import being done.
type job struct {
	w      *Worker
	svc    *gateway.Service
	imp    gateway.Import // owned by the goroutine of run
	school gateway.School
	// fresh: the first pass was done here, and found none of the rows in the
	// database. Written by the goroutine that counts the first pass.
	fresh bool
}

func (j *job) run(ctx context.Context) (gateway.Import, error) {
	var err error
	if j.school, err = j.svc.School(ctx, j.imp.School); err != nil {
		return j.imp, err
	}
	if !j.imp.Checked {
		i := &j.imp
		i.Rows, i.Accepted, i.Rejected, i.Warnings, i.Kept, i.Progress = 0, 0, 0, 0, 0, 0
		if err := j.svc.RestartImport(ctx, *i); err != nil {
			return j.imp, err
		}
		j.fresh = true
		if err := j.pass(ctx, false); err != nil {
			return j.fail(ctx, err)
		}
		if i.Rows == 0 {
			return j.fail(ctx, &problem{"empty", "sotto l'intestazione non ci sono righe"})
		}
		switch {
		case i.DryRun:
			i.Accepted = i.Rows - i.Rejected
			return j.w.finish(ctx, *i, gateway.ImportDone, nil)
		case i.Rejected > 0 && i.OnError == gateway.OnErrorStop:
			i.Report.FailedCode, i.Report.FailedText = "rows_rejected", "alcune righe non vanno bene e nessun avviso è stato emesso: correggi il file e caricalo di nuovo"
			return j.w.finish(ctx, *i, gateway.ImportFailed, nil)
		}
		i.Checked = true
		if err := j.svc.StepImport(ctx, *i, nil); err != nil {
			return j.imp, err
		}
	}
	if err := j.pass(ctx, true); err != nil {
		return j.fail(ctx, err)
	}
	j.imp.Rejected = j.imp.Rows - j.imp.Accepted
	return j.w.finish(ctx, j.imp, gateway.ImportDone, nil)
}

// fail ends the import when the file is to blame.
func (j *job) fail(ctx context.Context, err error) (gateway.Import, error) {
	var p *problem
	var e *sheet.Error
	row := 0
	switch {
	case errors.As(err, &p):
		j.imp.Report.FailedCode, j.imp.Report.FailedText = p.code, p.message
	case errors.As(err, &e):
		j.imp.Report.FailedCode, j.imp.Report.FailedText = e.Code, e.Error()
		row = e.Row
	default:
		return j.imp, err
	}
	found := []gateway.ImportError{{Seq: int64(row)*perRow + perRow - 1, Row: row, Code: j.imp.Report.FailedCode, Message: j.imp.Report.FailedText}}
	return j.w.finish(ctx, j.imp, gateway.ImportFailed, found)
}

// chunk is a run of rows that is worked together.
type chunk struct {
	items []*item
	next  int     // the row behind the last
	done  float64 // of the file
	ready chan struct{}
	// What the work on it says.
	issued, existed int
	known           bool // one of the rows is here, or its id or number is
	err             error
}

// pass goes through the file once. Rows are read by one goroutine, prepared and
// issued by some, and counted here in their order: what is written down is true
// of all rows before Next.
func (j *job) pass(ctx context.Context, issue bool) error {
	imp := &j.imp
	rep := imp.Report
	src, err := openSource(j.svc.OpenUpload(ctx, imp.School, imp.Upload), imp.Upload.Size, imp, gateway.DateIn(j.svc.Now()),
		func(h [sha256.Size]byte) (map[string]string, error) { return j.svc.ColumnMapping(ctx, imp.School, h) })
	if err != nil {
		return err
	}
	switch {
	case issue:
		imp.Report = rep // as it was shown, whatever was remembered since
	case imp.Report.Source == "given":
		if err := j.svc.RememberMapping(ctx, imp.School, src.digest, imp.Mapping); err != nil {
			return err
		}
	}
	from := imp.Next
	g, work := errgroup.WithContext(ctx)
	todo := make(chan *chunk)
	order := make(chan *chunk, j.w.cfg.Parallel)
	g.Go(func() error {
		defer close(order)
		defer close(todo)
		return j.read(work, src, issue, from, order, todo)
	})
	for range j.w.cfg.Parallel {
		g.Go(func() error {
			for c := range todo {
				c.err = j.work(work, src, c, issue)
				close(c.ready)
			}
			return nil
		})
	}
	g.Go(func() error {
		for c := range order {
			select {
			case <-c.ready:
			case <-work.Done():
				return work.Err()
			}
			if c.err != nil {
				return c.err
			}
			if err := j.count(work, c, issue); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// read cuts the file into chunks.
func (j *job) read(ctx context.Context, src *source, issue bool, from int, order, todo chan<- *chunk) error {
	send := func(c *chunk) error {
		if len(c.items) == 0 {
			return nil
		}
		c.next, c.done = c.items[len(c.items)-1].row+1, src.r.Done()
		for _, to := range []chan<- *chunk{order, todo} {
			select {
			case to <- c:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	begin := func() *chunk {
		return &chunk{items: make([]*item, 0, j.w.cfg.Chunk), ready: make(chan struct{})}
	}
	c := begin()
	for {
		it, err := src.next()
		if errors.Is(err, io.EOF) {
			return send(c)
		}
		if err != nil {
			return err
		}
		if it.row < from || issue && it.bad {
			continue // done before; found before
		}
		if c.items = append(c.items, it); len(c.items) == cap(c.items) {
			if err := send(c); err != nil {
				return err
			}
			c = begin()
		}
	}
}

// work prepares the rows of a chunk, and checks or issues them.
func (j *job) work(ctx context.Context, src *source, c *chunk, issue bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			j.w.cfg.Log.Error("panic in an import", "id", j.imp.ID, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %T", r)
		}
	}()
	good := make([]*item, 0, len(c.items))
	notices := make([]gateway.Notice, 0, len(c.items))
	for _, it := range c.items {
		// A row that is wrong already is looked at all the same: who corrects the
		// file wants to know everything at once.
		if !it.bad || len(it.cells) > 0 && !issue {
			it.prepare(j.svc, j.school, src)
		}
		if !it.bad {
			good, notices = append(good, it), append(notices, it.notice)
		}
	}
	if issue {
		results, err := j.svc.IssueRows(ctx, j.imp.Actor, j.school, notices, j.imp.CreatedAt, j.fresh)
		if err != nil {
			return err
		}
		for i, r := range results {
			switch {
			case r.Err != nil:
				good[i].refuse(r.Err, src)
			case r.Existed:
				c.existed++
			default:
				c.issued++
			}
		}
		return nil
	}
	refused, fresh, err := j.svc.CheckRows(ctx, j.school, notices)
	if err != nil {
		return err
	}
	c.known = fresh < len(notices)
	for i, r := range refused {
		if r != nil {
			good[i].refuse(r, src)
		}
	}
	return nil
}

// The first pass is a fifth of the work when a second one follows.
const firstPass = 0.2

// count writes down what was done up to the end of a chunk.
func (j *job) count(ctx context.Context, c *chunk, issue bool) error {
	imp := &j.imp
	if !issue && c.known {
		j.fresh = false
	}
	var found []gateway.ImportError
	for _, it := range c.items {
		switch {
		case !issue:
			imp.Rows++
			if it.bad {
				imp.Rejected++
			}
		case !it.bad:
			continue
		}
		for _, e := range it.found {
			switch {
			case !e.Warning:
				// In the second pass known already, unless somebody was quicker since
				// the first: keeping it again changes nothing.
			case issue:
				continue
			default:
				imp.Warnings++
			}
			if imp.Kept < gateway.MaxImportErrors {
				imp.Kept++
				found = append(found, e)
			}
		}
	}
	done := c.done
	switch {
	case issue:
		imp.Issued, imp.Existed = imp.Issued+c.issued, imp.Existed+c.existed
		imp.Accepted = imp.Issued + imp.Existed
		imp.Next = c.next
		done = firstPass + (1-firstPass)*done
	case !imp.DryRun:
		done *= firstPass
	}
	imp.Progress = max(imp.Progress, min(99, int(100*done)))
	if err := j.svc.StepImport(ctx, *imp, found); err != nil {
		return err
	}
	j.w.cfg.Progress(*imp)
	return nil
}
