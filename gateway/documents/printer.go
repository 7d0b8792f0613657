// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/pdf"
)

// Config is what a Printer is made of. Service and Name are required.
type Config struct {
	Service *gateway.Service
	// Logo finds a school's logo, PNG or JPEG; nil bytes: it has none. Nil: no
	// school has one.
	Logo func(gateway.SchoolCode) ([]byte, error)
	// Name is this process among others that print over one store.
	Name string
	Log  *slog.Logger // nil: silent
	// Tick wakes an idle Run; nil is every two seconds.
	Tick <-chan time.Time
}

// Printer prints notices: one at a time as they are asked for, and in Run those
// of whole classes.
type Printer struct{ cfg Config }

// NewPrinter makes a Printer. It starts nothing; Run does.
func NewPrinter(cfg Config) (*Printer, error) {
	if cfg.Service == nil || cfg.Name == "" {
		return nil, errors.New("documents: Service and Name are required")
	}
	if cfg.Logo == nil {
		cfg.Logo = func(gateway.SchoolCode) ([]byte, error) { return nil, nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Printer{cfg}, nil
}

// Notice prints one notice, with a second language beside Italian or none. The
// single option of a plan has its instalments on further pages. Errors are those
// of [Write].
func (p *Printer) Notice(ctx context.Context, n gateway.Notice, school gateway.School, language string) ([]byte, error) {
	s, err := p.sheet(ctx, n, school, p.logo(school.Code), language)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = Write(&b, s, p.cfg.Service.Now())
	return b.Bytes(), err
}

// logo is the school's, if it can be printed. A notice without one is better
// than none.
func (p *Printer) logo(school gateway.SchoolCode) *pdf.Picture {
	data, err := p.cfg.Logo(school)
	if err == nil && len(data) == 0 {
		return nil
	}
	var picture *pdf.Picture
	if err == nil {
		picture, err = pdf.Gray(data)
	}
	if err != nil {
		p.cfg.Log.Warn("a school's logo cannot be printed", "school", string(school), "err", err)
	}
	return picture
}

func (p *Printer) sheet(ctx context.Context, n gateway.Notice, school gateway.School, logo *pdf.Picture, language string) (Sheet, error) {
	s := Sheet{School: school, Logo: logo, Single: &n, PayURL: p.cfg.Service.PublicURL("/paga"), Language: language}
	if s.School.HelpText == "" {
		s.School.HelpText = p.cfg.Service.HelpText()
	}
	if n.Plan == "" || n.Instalment > 0 {
		return s, nil
	}
	mates, err := p.cfg.Service.Notices(ctx, n.School, gateway.NoticeFilter{Plan: n.Plan, Limit: MaxInstalments + 1})
	if err != nil {
		return s, fmt.Errorf("print notice %s: %w", n.Number, err)
	}
	for _, m := range mates {
		// Who hides the debtor of the one hides it of all.
		m.Debtor = n.Debtor
		if m.Instalment > 0 && m.Payable(p.cfg.Service.Now()) == nil {
			s.Instalments = append(s.Instalments, m)
		}
	}
	slices.SortFunc(s.Instalments, func(a, b gateway.Notice) int { return a.Instalment - b.Instalment })
	return s, nil
}
