// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/imports"
)

// importChunk is how many rows an import issues at once. SQLite has one writer,
// and whoever brings a receipt must not wait long for it.
func importChunk(databaseURL string) int {
	if strings.HasPrefix(databaseURL, "sqlite:") {
		return 500
	}
	return 0 // the default
}

// shownErrors is how many rows are shown to a person; --json gives them all.
const shownErrors = 50

func noticesImport(ctx context.Context, c cli, args []string) error {
	fs := newFlags("notices import")
	school := fs.String("school", "", "fiscal code `CF` of the school")
	in := gateway.NewImport{Worker: "cli-" + rand.Text()}
	fs.BoolVar(&in.DryRun, "dry-run", false, "look at the file and issue nothing")
	onError := fs.String("on-error", "stop", "with a bad row: stop issues nothing, skip issues the good ones (`stop|skip`)")
	fs.StringVar(&in.Sheet, "sheet", "", "`sheet` of a workbook; the first that is not hidden when left out")
	asJSON := fs.Bool("json", false, "print JSON")
	fs.Func("map", "`FIELD=COLUMN`, for example amount=Quota; may be repeated", func(s string) error {
		field, column, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("write FIELD=COLUMN, for example amount=Quota")
		}
		if in.Mapping == nil {
			in.Mapping = map[string]string{}
		}
		in.Mapping[strings.TrimSpace(field)] = column
		return nil
	})
	file, err := parseWith(fs, args, "FILE")
	if err != nil {
		return err
	}
	in.OnError = gateway.OnError(*onError)
	code, err := gateway.ParseSchoolCode(*school)
	switch {
	case err != nil:
		return usagef("notices import: --school must be the school's fiscal code, 11 digits")
	case in.OnError != gateway.OnErrorStop && in.OnError != gateway.OnErrorSkip:
		return usagef("notices import: --on-error is stop or skip")
	}
	if err := imports.CheckMapping(in.Mapping); err != nil {
		return usagef("notices import: --map: %v", err)
	}
	cfg, err := loadConfig(c.env)
	if err != nil {
		return err
	}
	r := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		r = f
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		if _, err := svc.School(ctx, code); err != nil {
			return fmt.Errorf("school %s: %w; `nodogate school list` shows those that are here", code, err)
		}
		if in.Upload, err = svc.StoreUpload(ctx, code, r); err != nil {
			return err
		}
		imp, err := svc.CreateImport(ctx, operator, code, in)
		if err != nil {
			return errors.Join(err, svc.DropUpload(ctx, code, in.Upload.ID))
		}
		bar := newBar(c.stderr)
		w, err := imports.New(imports.Config{Service: svc, Name: in.Worker, Chunk: importChunk(cfg.DatabaseURL), Progress: func(i gateway.Import) { bar.show(i.Progress, i.Rows) }})
		if err != nil {
			return err
		}
		imp, err = w.Do(ctx, imp)
		bar.end()
		if err != nil {
			return fmt.Errorf("%w; a running gateway goes on with it, or give the same file again: nothing is issued twice", err)
		}
		return c.printImport(ctx, svc, imp, *asJSON)
	})
}

// printImport prints what became of an import; the error is what an exit code
// of 1 stands for.
func (c cli) printImport(ctx context.Context, svc *gateway.Service, imp gateway.Import, asJSON bool) error {
	list, err := svc.ImportErrors(ctx, imp.School, imp.ID, 0, gateway.MaxImportErrors)
	if err != nil {
		return err
	}
	if asJSON {
		if imp.Report.Ignored == nil {
			imp.Report.Ignored = []string{} // a list, also where it is empty
		}
		records := make([]record, len(list))
		for i, e := range list {
			severity := "error"
			if e.Warning {
				severity = "warning"
			}
			records[i] = record{
				"row": e.Row, "column": e.Column, "field": e.Field, "code": e.Code, "message": e.Message, "value": e.Value, "severity": severity,
			}
		}
		err = printJSON(c, record{
			"id": imp.ID, "state": imp.State, "dry_run": imp.DryRun, "on_error": imp.OnError, "rows": imp.Rows, "accepted": imp.Accepted,
			"rejected": imp.Rejected, "issued": imp.Issued, "existed": imp.Existed, "warnings": imp.Warnings, "columns": imp.Report.Columns,
			"ignored_columns": imp.Report.Ignored, "sheet": imp.Report.Sheet, "errors": records,
		})
	} else {
		err = c.tellImport(imp, list)
	}
	switch {
	case err != nil:
		return err
	case imp.State == gateway.ImportFailed:
		return errors.New(imp.Report.FailedText)
	case imp.DryRun && imp.OnError == gateway.OnErrorStop && imp.Rejected > 0:
		return fmt.Errorf("%d rows are wrong: correct them, or import with --on-error skip", imp.Rejected)
	}
	return nil
}

func (c cli) tellImport(imp gateway.Import, list []gateway.ImportError) error {
	if len(list) > 0 {
		w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "row\tcolumn\tvalue\twhat")
		for _, e := range list[:min(len(list), shownErrors)] {
			mark := ""
			if e.Warning {
				mark = "(avviso) "
			}
			fmt.Fprintf(w, "%d\t%s\t%s\t%s%s\n", e.Row, e.Column, e.Value, mark, e.Message)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if len(list) > shownErrors {
			fmt.Fprintf(c.stdout, "… and %d more; --json shows them all\n", len(list)-shownErrors)
		}
	}
	what := fmt.Sprintf("issued %d, here before %d", imp.Issued, imp.Existed)
	if imp.DryRun {
		what = "nothing issued (dry run)"
	}
	_, err := fmt.Fprintf(c.stdout, "import %s %s: rows %d, accepted %d, rejected %d, warnings %d; %s\n",
		imp.ID, imp.State, imp.Rows, imp.Accepted, imp.Rejected, imp.Warnings, what)
	return err
}

// bar is a progress bar on a terminal; on anything else it shows nothing.
type bar struct {
	w     io.Writer
	shown bool
}

func newBar(w io.Writer) *bar {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return &bar{w: w}
		}
	}
	return &bar{}
}

func (b *bar) show(percent, rows int) {
	if b.w == nil {
		return
	}
	b.shown = true
	const width = 40
	full := percent * width / 100
	fmt.Fprintf(b.w, "\r[%s%s] %3d %%  %d rows", strings.Repeat("█", full), strings.Repeat("·", width-full), percent, rows)
}

func (b *bar) end() {
	if b.shown {
		fmt.Fprintln(b.w)
	}
}
