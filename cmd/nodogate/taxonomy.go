// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/sheet"
)

func taxonomyImport(ctx context.Context, c cli, args []string) error {
	fs := newFlags("taxonomy import")
	asJSON := fs.Bool("json", false, "print JSON")
	file, err := parseWith(fs, args, "FILE")
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	list, err := readTaxonomy(f)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		if err := svc.ImportTaxonomy(ctx, operator, list); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c, record{"codes": len(list)})
		}
		fmt.Fprintf(c.stdout, "%d codes: from now on notices carry codes of this list that are valid on the day\n", len(list))
		return nil
	})
}

func taxonomyList(ctx context.Context, c cli, args []string) error {
	fs := newFlags("taxonomy list")
	asJSON := fs.Bool("json", false, "print JSON")
	kind := fs.String("kind", "", "kind of creditor, two digits (`NN`), for example 08")
	if err := parse(fs, args); err != nil {
		return err
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		list, err := svc.Taxonomy(ctx, *kind)
		if err != nil {
			return err
		}
		records := make([]record, len(list))
		for i, t := range list {
			records[i] = record{
				"code": "9/" + t.Code + "/", "kind": t.Kind, "area": t.Area, "name": t.Name, "version": t.Version,
				"valid_from": t.From.String(), "valid_to": t.To.String(),
			}
		}
		return printRecords(c, *asJSON, []string{"code", "kind", "valid_to", "area", "name"}, records)
	})
}

// What the columns of the official file are called begins so (pagopa-protocol,
// section 6); the words after vary with its version.
var taxonomyColumns = []string{
	"dati specifici di incasso", "data inizio", "data fine", "codice tipo ente", "nome macro area", "tipo servizio", "# versione",
}

// readTaxonomy reads the official CSV. Its days are written month first, as its
// own header says; a file that cannot be meant so is read day first.
func readTaxonomy(f *os.File) ([]gateway.TaxonomyCode, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	rows, err := sheet.Open(f, info.Size(), sheet.Options{Score: func(cells []string) (n int) {
		for _, c := range cells {
			for _, name := range taxonomyColumns {
				if strings.HasPrefix(plainHeader(c), name) {
					n++
				}
			}
		}
		return n
	}})
	if err != nil {
		return nil, err
	}
	var at []int // of taxonomyColumns; -1: not there
	var list []gateway.TaxonomyCode
	var days [][2]string
	var numbers []int
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if row.Err != nil {
			return nil, row.Err
		}
		if row.Empty() {
			continue
		}
		if at == nil {
			if at = findColumns(row); at[0] < 0 || at[1] < 0 || at[2] < 0 {
				return nil, errors.New("this is not the official taxonomy: it has no columns DATI SPECIFICI DI INCASSO, DATA INIZIO and DATA FINE VALIDITA")
			}
			continue
		}
		cell := func(i int) string {
			if at[i] < 0 || at[i] >= len(row.Cells) {
				return ""
			}
			return strings.TrimSpace(row.Cells[at[i]].Text)
		}
		code := gateway.BareTaxonomy(cell(0))
		if !gateway.TaxonomyForm.MatchString(code) {
			return nil, fmt.Errorf("row %d: no code like 9/0101002IM/", row.Number)
		}
		list = append(list, gateway.TaxonomyCode{Code: code, Kind: cell(3), Area: cell(4), Name: cell(5), Version: cell(6)})
		days = append(days, [2]string{cell(1), cell(2)})
		numbers = append(numbers, row.Number)
	}
	if err := datesOf(list, days, numbers); err != nil {
		return nil, err
	}
	return list, nil
}

func plainHeader(s string) string {
	s = strings.ToLower(strings.Join(strings.Fields(s), " "))
	return strings.NewReplacer("à", "a", "è", "e", "ì", "i", "ò", "o", "ù", "u").Replace(s)
}

func findColumns(row *sheet.Row) []int {
	at := make([]int, len(taxonomyColumns))
	for i, name := range taxonomyColumns {
		at[i] = -1
		for j, c := range row.Cells {
			if at[i] < 0 && strings.HasPrefix(plainHeader(c.Text), name) {
				at[i] = j
			}
		}
	}
	return at
}

// datesOf fills the days, by the one way of writing that fits all of them.
func datesOf(list []gateway.TaxonomyCode, days [][2]string, numbers []int) error {
	var first error
	for _, form := range []string{"1/2/2006", "2/1/2006", time.DateOnly} {
		err := func() error {
			for i, d := range days {
				for j, to := range []*gateway.Date{&list[i].From, &list[i].To} {
					t, err := time.Parse(form, d[j])
					if err != nil || t.Year() < 2000 {
						return fmt.Errorf("row %d: no day like 12/31/2026", numbers[i])
					}
					// A code without end is written with a year that no due date has.
					*to = gateway.Date{Year: min(t.Year(), 2199), Month: t.Month(), Day: t.Day()}
				}
			}
			return nil
		}()
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}
