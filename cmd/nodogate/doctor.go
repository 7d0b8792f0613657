// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway/store"
)

// doctor looks at everything that a gateway on this configuration stands on, and
// says of each thing whether it is as it should be, or what to do. It changes
// nothing: it makes no secret, no database and no table.

// What a finding is. Printed: never renamed.
const (
	findingOK   = "ok"
	findingWarn = "warn" // works today, and will or may not tomorrow
	findingFail = "fail" // does not work
)

// finding is one line of the doctor's.
type finding struct {
	Level   string `json:"level"`
	Subject string `json:"subject"`
	Message string `json:"message"` // what is there, and what to do
}

// Within which times things have to answer.
const (
	reachTime  = 3 * time.Second
	storeTime  = 5 * time.Second
	quickTime  = 30 * time.Second // of the database's look at itself
	soonTime   = 30 * 24 * time.Hour
	clockWarn  = 5 * time.Second
	clockFault = time.Minute
)

type doctor struct {
	environ []string
	getenv  func(string) string
	now     func() time.Time
	free    func(dir string) (free, size uint64, err error)
	mailDir string
	deep    bool
	tell    func(finding)

	cfg     config
	secret  []byte
	db      *store.DB // nil: cannot be used
	offsets []offset
	faults  int
}

// offset is how far somebody's clock is from ours.
type offset struct {
	of string
	by time.Duration
}

func doctorCommand(ctx context.Context, c cli, args []string) error {
	fs := newFlags("doctor")
	asJSON := fs.Bool("json", false, "print JSON")
	deep := fs.Bool("deep", false, "read all of the database too: its integrity, and the rules that money keeps")
	if err := parse(fs, args); err != nil {
		return err
	}
	list := []finding{}
	d := &doctor{environ: c.env, getenv: lookup(c.env), now: time.Now, free: freeSpace, mailDir: mailDir, deep: *deep, tell: func(f finding) {
		if list = append(list, f); !*asJSON {
			fmt.Fprintf(c.stdout, "%-4s  %s: %s\n", f.Level, f.Subject, f.Message)
		}
	}}
	d.examine(ctx)
	if *asJSON {
		if err := printJSON(c, list); err != nil {
			return err
		}
	}
	switch d.faults {
	case 0:
		return nil
	case 1:
		return errors.New("doctor: one fault: mend what the line with fail says")
	}
	return fmt.Errorf("doctor: %d faults: mend what the lines with fail say", d.faults)
}

// lookup is os.Getenv of an environment.
func lookup(environ []string) func(string) string {
	return func(name string) string {
		for _, kv := range environ {
			if value, ok := strings.CutPrefix(kv, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func (d *doctor) say(level, subject, format string, args ...any) {
	if level == findingFail {
		d.faults++
	}
	// One line, whatever an error holds.
	d.tell(finding{level, subject, strings.Join(strings.FieldsFunc(fmt.Sprintf(format, args...), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")})
}

func (d *doctor) ok(subject, format string, args ...any) { d.say(findingOK, subject, format, args...) }
func (d *doctor) warn(subject, format string, args ...any) {
	d.say(findingWarn, subject, format, args...)
}
func (d *doctor) fail(subject, format string, args ...any) {
	d.say(findingFail, subject, format, args...)
}

// examine goes through everything, from what the rest stands on to what stands on
// the rest.
func (d *doctor) examine(ctx context.Context) {
	if !d.configuration() {
		return
	}
	catalogue := d.catalogue()
	d.secretFile()
	d.database(ctx)
	if d.db != nil {
		defer func() { _ = d.db.Close() }()
	}
	d.folders()
	d.mail(ctx)
	d.redis(ctx)
	d.certificates(catalogue)
	d.providers(ctx, catalogue)
	d.services(ctx)
	d.outbox(ctx)
	d.schools(ctx, catalogue)
	d.publicAddress(ctx)
	d.clock(ctx)
}

func (d *doctor) configuration() bool {
	var err error
	if d.cfg, err = loadConfig(d.environ); err != nil {
		d.fail("configuration", "%v: correct it; `nodogate serve --print-config` shows what is read", err)
		return false
	}
	if err := d.cfg.checkServe(); err != nil {
		// checkServe joins its mistakes, one a line.
		for _, mistake := range strings.Split(err.Error(), "\n") {
			d.fail("configuration", "%s", mistake)
		}
		return true
	}
	from := "variables"
	if file := d.getenv("NODOGATE_CONFIG"); file != "" {
		from += " and " + file
	}
	d.ok("configuration", "%d settings given by %s", len(d.cfg.set), from)
	return true
}

// catalogue is the list of PSPs, empty when there is none.
func (d *doctor) catalogue() connectors.Catalogue {
	file := &catalogueFile{path: d.cfg.PSPs}
	c, err := file.load()
	switch {
	case errors.Is(err, os.ErrNotExist):
		// The configuration told.
	case err != nil:
		d.fail("catalogue", "%v: correct the file", err)
	case len(c.PSPs) == 0:
		d.warn("catalogue", "no PSP in %s: nothing can be paid online; `nodogate psps import` makes a catalogue", d.cfg.PSPs)
	default:
		d.ok("catalogue", "%d PSPs in %s", len(c.PSPs), d.cfg.PSPs)
	}
	return c
}
