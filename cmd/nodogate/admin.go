// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/store"
)

// operator is who works on the command line.
var operator = gateway.Actor{Kind: "operator", Name: "cli"}

// withService runs fn with a Service over the configured database, without
// listeners or PSPs.
func withService(ctx context.Context, c cli, fn func(*gateway.Service) error) error {
	return withStore(ctx, c, true, func(cfg config, db *store.DB) error {
		floor, err := db.ClockMark(ctx)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		public, err := url.Parse("http://" + cfg.Listen)
		if err != nil {
			return err
		}
		svc, err := gateway.New(gateway.Config{
			Store: db, Clock: gateway.NewClock(time.Now, floor), Broker: cfg.Broker, Station: cfg.Station, PublicURL: public,
		})
		if err != nil {
			return err
		}
		return fn(svc)
	})
}

func withStore(ctx context.Context, c cli, migrated bool, fn func(config, *store.DB) error) error {
	cfg, err := loadConfig(c.env)
	if err != nil {
		return err
	}
	secret, err := store.Secret(ctx, cfg.SecretFile, cfg.DatabaseURL)
	if err != nil {
		return fmt.Errorf("NODOGATE_SECRET_FILE: %w", err)
	}
	open := store.Open
	if migrated {
		open = store.OpenMigrated
	}
	db, err := open(ctx, store.Config{URL: cfg.DatabaseURL, Secret: secret, Now: time.Now})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return errors.Join(fn(cfg, db), db.Close())
}

// migrateCommand is `migrate up` or `migrate status`.
func migrateCommand(up bool) func(context.Context, cli, []string) error {
	name := "migrate status"
	if up {
		name = "migrate up"
	}
	return func(ctx context.Context, c cli, args []string) error {
		fs := newFlags(name)
		asJSON := fs.Bool("json", false, "print JSON")
		if err := parse(fs, args); err != nil {
			return err
		}
		return withStore(ctx, c, up, func(_ config, db *store.DB) error {
			list, err := db.MigrationStatus(ctx)
			if err != nil {
				return err
			}
			records := make([]record, len(list))
			for i, m := range list {
				records[i] = record{"number": m.Number, "name": m.Name, "state": "pending"}
				if !m.AppliedAt.IsZero() {
					records[i]["state"], records[i]["applied_at"] = "applied", m.AppliedAt
				}
			}
			return printRecords(c, *asJSON, []string{"number", "state", "applied_at", "name"}, records)
		})
	}
}

// schoolFields are what can be said of a school, by the names of the flags.
func schoolFields(in *gateway.NewSchool) map[string]*string {
	return map[string]*string{
		"name": &in.Name, "town": &in.Town, "iban": &in.IBAN, "segregation-code": &in.Segregation,
		"broker": &in.Broker, "station": &in.Station, "mechanographic-code": &in.Mechanograph, "cbill": &in.CBILL,
		"taxonomy": &in.Taxonomy, "help-text": &in.HelpText, "help-mail": &in.HelpMail, "postal-account": &in.PostalAccount,
		"postal-iban": &in.PostalIBAN, "postal-holder": &in.PostalHolder, "postal-authorization": &in.PostalAuth,
	}
}

// schoolHelp says what the fields are; the backquotes name the value.
var schoolHelp = map[string]string{
	"name": "`name` on notices and receipts", "town": "`town`, for families that look for the school", "iban": "`IBAN` that payments go to",
	"segregation-code": "the two digits (`NN`) that PagoPA assigned", "broker": "`fiscal code` of the intermediary; NODOGATE_BROKER, or the school itself, without it",
	"station": "`station` of the broker, like 80014480828_01", "mechanographic-code": "codice meccanografico, like `GRIC83000X`",
	"cbill": "the 5 characters (`ABCDE`) of the CBILL code", "taxonomy": "default collection `code`, like 9/0801100AP/",
	"help-text": "`text`: whom a family may ask, and when", "help-mail": "`address` that questions of families to the school go to", "postal-account": "the 12 `digits` of the postal account",
	"postal-iban": "`IBAN` of the postal account", "postal-holder": "its `holder`, at most 50 characters",
	"postal-authorization": "`text` of the authorization by Poste Italiane",
}

func schoolAdd(ctx context.Context, c cli, args []string) error {
	fs := newFlags("school add")
	asJSON := fs.Bool("json", false, "print JSON")
	var in gateway.NewSchool
	fs.StringVar(&in.Code, "fiscal-code", "", "the school's fiscal code `CF`, 11 digits")
	for name, to := range schoolFields(&in) {
		fs.StringVar(to, name, "", schoolHelp[name])
	}
	if err := parse(fs, args); err != nil {
		return err
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		school, created, err := svc.AddSchool(ctx, operator, in)
		if errors.Is(err, gateway.ErrExists) {
			return fmt.Errorf("%w with other data; `nodogate school change %s` changes it", err, in.Code)
		}
		if err != nil {
			return explain(err)
		}
		if *asJSON {
			return printJSON(c, schoolRecord(school))
		}
		word := "unchanged"
		if created {
			word = "added"
		}
		fmt.Fprintf(c.stdout, "school %s %s\n", school.Code, word)
		return nil
	})
}

func schoolChange(ctx context.Context, c cli, args []string) error {
	fs := newFlags("school change")
	asJSON := fs.Bool("json", false, "print JSON")
	var given gateway.NewSchool
	for name, to := range schoolFields(&given) {
		fs.StringVar(to, name, "", schoolHelp[name])
	}
	code, err := parseWith(fs, args, "CF")
	if err != nil {
		return err
	}
	values := schoolFields(&given)
	var set []string
	fs.Visit(func(f *flag.Flag) {
		if values[f.Name] != nil {
			set = append(set, f.Name)
		}
	})
	if len(set) == 0 {
		return usagef("school change: name what changes, for example --taxonomy 9/…/; `nodogate school change --help` lists the flags")
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		school, err := svc.ChangeSchool(ctx, operator, gateway.SchoolCode(code), func(_ gateway.School, in *gateway.NewSchool) error {
			for _, name := range set {
				*schoolFields(in)[name] = *values[name]
			}
			return nil
		})
		if err != nil {
			return explain(err)
		}
		if *asJSON {
			return printJSON(c, schoolRecord(school))
		}
		fmt.Fprintf(c.stdout, "school %s is as asked for\n", school.Code)
		return nil
	})
}

func schoolList(ctx context.Context, c cli, args []string) error {
	fs := newFlags("school list")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse(fs, args); err != nil {
		return err
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		schools, err := svc.Schools(ctx)
		if err != nil {
			return err
		}
		records := make([]record, len(schools))
		for i, s := range schools {
			records[i] = schoolRecord(s)
		}
		return printRecords(c, *asJSON, []string{"fiscal_code", "name", "station", "segregation_code", "taxonomy"}, records)
	})
}

func clientAdd(ctx context.Context, c cli, args []string) error {
	fs := newFlags("client add")
	fs.Bool("json", false, "print JSON, which it does without as well")
	school := fs.String("school", "", "fiscal code `CF` of the client's school")
	admin := fs.Bool("admin", false, "an operator's client: may create schools, sees all")
	name := fs.String("name", "", "`name`: what it is for")
	scopes := fs.String("scopes", "", "comma-separated `list` of "+strings.Join(gateway.Scopes, ", "))
	if err := parse(fs, args); err != nil {
		return err
	}
	if *admin && *scopes != "" {
		return usagef("client add: an operator's client holds every scope; leave --scopes out")
	}
	if *admin == (*school != "") {
		return usagef("client add: give either --school CF or --admin")
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		var list []string
		if *scopes != "" {
			list = strings.Split(*scopes, ",")
		}
		client, secret, err := svc.AddClient(ctx, operator, gateway.SchoolCode(*school), *name, list)
		if err != nil {
			return explain(err)
		}
		return printClientSecret(c, client, secret)
	})
}

// printClientSecret prints one JSON object with or without --json: it is made to
// be kept, and is not shown again.
func printClientSecret(c cli, client gateway.Client, secret string) error {
	return printJSON(c, struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}{client.ID, secret})
}

func clientList(ctx context.Context, c cli, args []string) error {
	fs := newFlags("client list")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse(fs, args); err != nil {
		return err
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		clients, err := svc.Clients(ctx)
		if err != nil {
			return err
		}
		records := make([]record, len(clients))
		for i, cl := range clients {
			records[i] = clientRecord(cl)
		}
		return printRecords(c, *asJSON, []string{"client_id", "name", "school", "scopes", "revoked_at"}, records)
	})
}

// clientID reads the client that a command is about, as argument or by --id.
func clientID(fs *flag.FlagSet, args []string) (string, error) {
	id := fs.String("id", "", "`CLIENT_ID`, instead of the argument")
	arg, err := parseWith(fs, args, "CLIENT_ID")
	switch {
	case *id == "" || errors.As(err, new(*helpAsked)):
		return arg, err
	case err == nil:
		return "", usagef("%s: give the client once", fs.Name())
	}
	return *id, parse(fs, args)
}

func clientRotate(ctx context.Context, c cli, args []string) error {
	fs := newFlags("client rotate")
	fs.Bool("json", false, "print JSON, which it does without as well")
	id, err := clientID(fs, args)
	if err != nil {
		return err
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		client, secret, err := svc.RotateClient(ctx, operator, id)
		if err != nil {
			return fmt.Errorf("client %s: %w", id, err)
		}
		return printClientSecret(c, client, secret)
	})
}

func clientRevoke(ctx context.Context, c cli, args []string) error {
	fs := newFlags("client revoke")
	asJSON := fs.Bool("json", false, "print JSON")
	id, err := clientID(fs, args)
	if err != nil {
		return err
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		if err := svc.RevokeClient(ctx, operator, id); err != nil {
			return fmt.Errorf("client %s: %w", id, err)
		}
		if *asJSON {
			return printJSON(c, record{"client_id": id, "revoked": true})
		}
		fmt.Fprintf(c.stdout, "client %s revoked\n", id)
		return nil
	})
}

// explain turns a list of wrong fields into one line that names the flags.
func explain(err error) error {
	var bad *gateway.Invalid
	if !errors.As(err, &bad) {
		return err
	}
	var parts []string
	for _, f := range bad.Fields {
		parts = append(parts, "--"+strings.ReplaceAll(f.Field, "_", "-")+": "+f.Message)
	}
	return usagef("%s", strings.Join(parts, "; "))
}

// record is what a listing prints of one thing: JSON as it is, or some of its
// fields in columns.
type record map[string]any

func schoolRecord(s gateway.School) record {
	return record{
		"fiscal_code": s.Code, "name": s.Name, "iban": s.IBAN, "segregation_code": s.Segregation.String(),
		"broker": s.Broker, "station": s.Station, "mechanographic_code": s.Mechanograph, "cbill": s.CBILL,
		"taxonomy": s.Taxonomy, "town": s.Town, "help_text": s.HelpText, "help_mail": s.HelpMail, "created_at": s.CreatedAt,
	}
}

func clientRecord(cl gateway.Client) record {
	var revoked any
	if !cl.RevokedAt.IsZero() {
		revoked = cl.RevokedAt
	}
	return record{"client_id": cl.ID, "name": cl.Name, "school": cl.School, "scopes": cl.Scopes, "created_at": cl.CreatedAt, "revoked_at": revoked}
}

func printRecords(c cli, asJSON bool, columns []string, records []record) error {
	if asJSON {
		return printJSON(c, records)
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for _, r := range records {
		cells := make([]string, len(columns))
		for i, col := range columns {
			switch v := r[col].(type) {
			case nil:
			case []string:
				cells[i] = strings.Join(v, ",")
			case time.Time:
				cells[i] = v.Format(time.RFC3339)
			default:
				cells[i] = fmt.Sprint(v)
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

func printJSON(c cli, v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func healthcheckCommand(ctx context.Context, c cli, args []string) error {
	if err := parse(newFlags("healthcheck"), args); err != nil {
		return err
	}
	cfg, err := loadConfig(c.env)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(cfg.AdminListen)
	if err != nil {
		return errors.New("NODOGATE_ADMIN_LISTEN must be host:port")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: the admin listener answered %d", resp.StatusCode)
	}
	return nil
}
