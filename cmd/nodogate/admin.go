// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
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

func migrateCommand(ctx context.Context, c cli, args []string) error {
	if len(args) == 0 || args[0] != "up" && args[0] != "status" {
		return usagef("nodogate migrate up|status")
	}
	fs := newFlags("migrate " + args[0])
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse(fs, args[1:]); err != nil {
		return err
	}
	return withStore(ctx, c, args[0] == "up", func(_ config, db *store.DB) error {
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

func schoolCommand(ctx context.Context, c cli, args []string) error {
	if len(args) == 0 {
		return usagef("nodogate school add|list")
	}
	fs := newFlags("school " + args[0])
	asJSON := fs.Bool("json", false, "print JSON")
	switch args[0] {
	case "add":
		var in gateway.NewSchool
		for name, p := range map[string]*string{
			"fiscal-code": &in.Code, "name": &in.Name, "iban": &in.IBAN, "segregation-code": &in.Segregation,
			"broker": &in.Broker, "station": &in.Station, "mechanographic-code": &in.Mechanograph, "cbill": &in.CBILL,
			"taxonomy": &in.Taxonomy, "help-text": &in.HelpText, "town": &in.Town, "postal-account": &in.PostalAccount,
			"postal-iban": &in.PostalIBAN, "postal-holder": &in.PostalHolder, "postal-authorization": &in.PostalAuth,
		} {
			fs.StringVar(p, name, "", name)
		}
		if err := parse(fs, args[1:]); err != nil {
			return err
		}
		return withService(ctx, c, func(svc *gateway.Service) error {
			school, created, err := svc.AddSchool(ctx, operator, in)
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
	case "list":
		if err := parse(fs, args[1:]); err != nil {
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
			return printRecords(c, *asJSON, []string{"fiscal_code", "name", "station", "segregation_code"}, records)
		})
	}
	return usagef("nodogate school add|list")
}

func clientCommand(ctx context.Context, c cli, args []string) error {
	if len(args) == 0 {
		return usagef("nodogate client add|list|rotate|revoke")
	}
	fs := newFlags("client " + args[0])
	asJSON := fs.Bool("json", false, "print JSON")
	switch args[0] {
	case "add":
		school := fs.String("school", "", "fiscal code of the client's school")
		admin := fs.Bool("admin", false, "an operator's client: may create schools, sees all")
		name := fs.String("name", "", "what it is for")
		scopes := fs.String("scopes", "", "comma-separated scopes")
		if err := parse(fs, args[1:]); err != nil {
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
			// The answer is one JSON object with or without --json: it is made
			// to be kept, and is not shown again.
			return printJSON(c, struct {
				ID     string `json:"client_id"`
				Secret string `json:"client_secret"`
			}{client.ID, secret})
		})
	case "list":
		if err := parse(fs, args[1:]); err != nil {
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
	case "rotate":
		id := fs.String("id", "", "client id")
		rest := args[1:]
		if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			*id, rest = rest[0], rest[1:]
		}
		if err := parse(fs, rest); err != nil {
			return err
		}
		if *id == "" {
			return usagef("nodogate client rotate CLIENT_ID")
		}
		return withService(ctx, c, func(svc *gateway.Service) error {
			client, secret, err := svc.RotateClient(ctx, operator, *id)
			if err != nil {
				return fmt.Errorf("client %s: %w", *id, err)
			}
			return printJSON(c, struct {
				ID     string `json:"client_id"`
				Secret string `json:"client_secret"`
			}{client.ID, secret})
		})
	case "revoke":
		id := fs.String("id", "", "client id")
		rest := args[1:]
		if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
			*id, rest = rest[0], rest[1:]
		}
		if err := parse(fs, rest); err != nil {
			return err
		}
		if *id == "" {
			return usagef("nodogate client revoke CLIENT_ID")
		}
		return withService(ctx, c, func(svc *gateway.Service) error {
			if err := svc.RevokeClient(ctx, operator, *id); err != nil {
				return fmt.Errorf("client %s: %w", *id, err)
			}
			if *asJSON {
				return printJSON(c, record{"client_id": *id, "revoked": true})
			}
			fmt.Fprintf(c.stdout, "client %s revoked\n", *id)
			return nil
		})
	}
	return usagef("nodogate client add|list|rotate|revoke")
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
		"taxonomy": s.Taxonomy, "created_at": s.CreatedAt,
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
