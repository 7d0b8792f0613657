// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// TaxonomyCode is a code of the official taxonomy of collections (tassonomia dei
// servizi di incasso), for the days it is valid in.
type TaxonomyCode struct {
	Code     string // bare: 0101002IM
	From, To Date   // both included
	Kind     string // of creditor (tipo ente creditore), two digits
	Area     string // macro area
	Name     string // of the service
	Version  string
}

// BareTaxonomy is the code inside what a notice carries: 0101002IM of
// 9/0101002IM/free text.
func BareTaxonomy(s string) string {
	s = strings.TrimPrefix(s, "9/")
	code, _, _ := strings.Cut(s, "/")
	return code
}

// ImportTaxonomy replaces the official list. From then on a code that is not in
// it, or not valid on the day, is refused; the node checks none of it, so the
// creditor has to (pagopa-protocol, section 6).
func (s *Service) ImportTaxonomy(ctx context.Context, actor Actor, list []TaxonomyCode) error {
	var bad Invalid
	for i, c := range list {
		if BareTaxonomy(c.Code) != c.Code || !TaxonomyForm.MatchString(c.Code) {
			bad.Add(fmt.Sprintf("rows[%d].code", i), "format", "give a code like 0101002IM")
		}
		if c.From.IsZero() || c.To.IsZero() || c.To.Before(c.From) {
			bad.Add(fmt.Sprintf("rows[%d].valid_to", i), "range", "give the first and the last day it is valid")
		}
	}
	if len(list) == 0 {
		bad.Add("rows", "required", "the list is empty")
	}
	if err := bad.Err(); err != nil {
		return err
	}
	err := s.store.Update(ctx, func(tx Tx) error {
		if err := tx.ReplaceTaxonomy(list); err != nil {
			return err
		}
		return s.audited(tx, actor, "", "taxonomy.imported", fmt.Sprintf("%d codes", len(list)), s.clock.Now())
	})
	if err != nil {
		return fmt.Errorf("import taxonomy: %w", err)
	}
	return nil
}

// Taxonomy lists the official codes of a kind of creditor that are valid today,
// of all kinds for the empty one; nothing when none was imported.
func (s *Service) Taxonomy(ctx context.Context, kind string) ([]TaxonomyCode, error) {
	var list []TaxonomyCode
	err := s.store.View(ctx, func(tx Tx) (err error) {
		_, list, err = tx.TaxonomyCodes(nil)
		return err
	})
	today := DateIn(s.clock.Now())
	return slices.DeleteFunc(list, func(c TaxonomyCode) bool {
		return kind != "" && c.Kind != kind || today.Before(c.From) || c.To.Before(today)
	}), err
}

// official judges codes by the list: it gives the code and the words of what is
// wrong, or nothing.
type official func(code string) (problem, message string)

// officialCodes makes the judge of some codes. Without an imported list all that
// are well formed are good.
func (s *Service) officialCodes(tx Tx, codes []string) (official, error) {
	bare := make([]string, 0, 1)
	for _, c := range codes {
		if b := BareTaxonomy(c); !slices.Contains(bare, b) {
			bare = append(bare, b)
		}
	}
	loaded, list, err := tx.TaxonomyCodes(bare)
	if err != nil || !loaded {
		return func(string) (string, string) { return "", "" }, err
	}
	today := DateIn(s.clock.Now())
	return func(code string) (string, string) {
		b, known := BareTaxonomy(code), false
		for _, c := range list {
			if c.Code != b {
				continue
			}
			if known = true; !today.Before(c.From) && !c.To.Before(today) {
				return "", ""
			}
		}
		if known {
			return "range", "this taxonomy code is not valid today: see the official list"
		}
		return "unknown", "this taxonomy code is not in the official list"
	}, nil
}

// JudgeTaxonomy says what is wrong with a code today, by the official list;
// nothing when it is good, or no list was imported.
func (s *Service) JudgeTaxonomy(ctx context.Context, code string) (problem string, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		judge, err := s.officialCodes(tx, []string{code})
		if err == nil {
			_, problem = judge(code)
		}
		return err
	})
	return problem, err
}

// checkTaxonomy judges the codes of notices that are asked for.
func (s *Service) checkTaxonomy(ctx context.Context, school School, in []NewNotice, prefix bool) error {
	var codes []string
	walkTaxonomy(school, in, prefix, func(_, code string) {
		if !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	})
	var judge official
	if err := s.store.View(ctx, func(tx Tx) (err error) {
		judge, err = s.officialCodes(tx, codes)
		return err
	}); err != nil {
		return err
	}
	var bad Invalid
	walkTaxonomy(school, in, prefix, func(field, code string) {
		if problem, message := judge(code); problem != "" {
			bad.Add(field, problem, message)
		}
	})
	return bad.Err()
}

// walkTaxonomy visits every code that notices would carry, with its field.
func walkTaxonomy(school School, in []NewNotice, prefix bool, visit func(field, code string)) {
	for i, n := range in {
		p := ""
		if prefix {
			p = fmt.Sprintf("notices[%d].", i)
		}
		code := n.Taxonomy
		if code == "" {
			code = school.Taxonomy
		}
		visit(p+"taxonomy", code)
		transfers := func(p string, list []NewTransfer) {
			for j, t := range list {
				if t.Taxonomy != "" && t.Taxonomy != code {
					visit(fmt.Sprintf("%stransfers[%d].taxonomy", p, j), t.Taxonomy)
				}
			}
		}
		transfers(p, n.Transfers)
		for j, part := range n.Instalments {
			transfers(fmt.Sprintf("%sinstalments[%d].", p, j), part.Transfers)
		}
	}
}
