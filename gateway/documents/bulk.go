// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
)

const (
	// step is after how many notices progress is written down.
	step = 25
	// maxTries is after how many workers that died of it a print is given up.
	maxTries = 3
)

// Why a print failed. Stored and sent: never renamed.
const (
	nothingToPrint = "nothing_to_print" // all were paid or taken back meanwhile
	internal       = "internal"
)

// Run prints what was asked for until ctx ends. What it had begun then is given
// back, and begun anew by another.
func (p *Printer) Run(ctx context.Context) error {
	tick := p.cfg.Tick
	if tick == nil {
		t := time.NewTicker(2 * time.Second)
		defer t.Stop()
		tick = t.C
	}
	for ctx.Err() == nil {
		did, err := p.Once(ctx)
		if err != nil && ctx.Err() == nil {
			p.cfg.Log.Error("print notices", "err", err)
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

// Once does one print that was asked for; false when there is none.
func (p *Printer) Once(ctx context.Context) (bool, error) {
	pr, err := p.cfg.Service.ClaimPrint(ctx, p.cfg.Name)
	if errors.Is(err, gateway.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	pr.Printed, pr.Skipped = 0, 0 // what a worker before had done died with it
	err = p.work(ctx, &pr)
	switch {
	case err == nil || errors.Is(err, gateway.ErrConflict):
		return true, err
	case ctx.Err() != nil:
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return true, p.cfg.Service.ReleasePrint(end, pr)
	case pr.Tries < maxTries:
		return true, err // the lease runs out, and it is tried again
	}
	pr.State, pr.Failure, pr.File = gateway.PrintFailed, internal, gateway.Upload{}
	return true, errors.Join(err, p.cfg.Service.FinishPrint(ctx, pr))
}

func (p *Printer) work(ctx context.Context, pr *gateway.Print) error {
	school, err := p.cfg.Service.School(ctx, pr.School)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	var target target = &oneBook{NewBook(strings.TrimSpace("Avvisi di pagamento "+pr.Title), pr.CreatedAt)}
	if pr.Format == gateway.PrintZIP {
		target = &archive{z: zip.NewWriter(&out), made: pr.CreatedAt}
	}
	logo := p.logo(school.Code)
	for i, number := range pr.Numbers {
		if i%step == step-1 {
			if err := p.cfg.Service.StepPrint(ctx, *pr); err != nil {
				return err
			}
		}
		n, err := p.cfg.Service.Notice(ctx, pr.School, number)
		if err != nil {
			return fmt.Errorf("print %s: notice %s: %w", pr.ID, number, err)
		}
		s, err := p.sheet(ctx, n, school, logo, pr.Language)
		if err != nil {
			return err
		}
		err = target.add(s, p.cfg.Service.Now())
		switch {
		case err == nil:
			pr.Printed++
		case n.Payable(p.cfg.Service.Now()) != nil || errors.Is(err, gateway.ErrNotPrintable):
			pr.Skipped++ // paid or taken back since it was asked for
		default:
			return err
		}
	}
	if pr.Printed == 0 {
		pr.State, pr.Failure = gateway.PrintFailed, nothingToPrint
		return p.cfg.Service.FinishPrint(ctx, *pr)
	}
	if err := target.end(&out); err != nil {
		return err
	}
	if pr.File, err = p.cfg.Service.StoreUpload(ctx, pr.School, &out); err != nil {
		return fmt.Errorf("print %s: %w", pr.ID, err)
	}
	pr.State = gateway.PrintDone
	return p.cfg.Service.FinishPrint(ctx, *pr)
}

// target is where sheets go.
type target interface {
	add(Sheet, time.Time) error
	end(*bytes.Buffer) error
}

type oneBook struct{ b *Book }

func (t *oneBook) add(s Sheet, now time.Time) error { return t.b.Add(s, now) }
func (t *oneBook) end(out *bytes.Buffer) error      { return t.b.Write(out) }

// archive is a file for each notice, named by place, class and number: in their
// order, and without anybody's name.
type archive struct {
	z    *zip.Writer
	made time.Time
	n    int
}

func (t *archive) add(s Sheet, now time.Time) error {
	var b bytes.Buffer
	if err := Write(&b, s, now); err != nil {
		return err
	}
	t.n++
	class := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, s.first().Debtor.Class)
	// PDFs are compressed already.
	w, err := t.z.CreateHeader(&zip.FileHeader{
		Name: fmt.Sprintf("avviso-%04d-%s-%s.pdf", t.n, class, s.first().Number), Method: zip.Store, Modified: t.made,
	})
	if err == nil {
		_, err = w.Write(b.Bytes())
	}
	return err
}

func (t *archive) end(*bytes.Buffer) error { return t.z.Close() }
