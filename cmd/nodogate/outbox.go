// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/store"
)

// outboxKinds are the kinds of messages that an operator may look at.
var outboxKinds = []string{"event", "mail", "aca", "webhook"}

// maxParked is how many parked messages are listed.
const maxParked = 1000

func outboxCommand(ctx context.Context, c cli, args []string) error {
	const usage = "nodogate outbox parked [--kind KIND] | retry --kind KIND [--id ID]"
	if len(args) == 0 || args[0] != "parked" && args[0] != "retry" {
		return usagef("%s", usage)
	}
	fs := newFlags("outbox " + args[0])
	asJSON := fs.Bool("json", false, "print JSON")
	kind := fs.String("kind", "", strings.Join(outboxKinds, ", "))
	var id string
	if args[0] == "retry" {
		fs.StringVar(&id, "id", "", "one message; all of the kind without it")
	}
	if err := parse(fs, args[1:]); err != nil {
		return err
	}
	if *kind != "" && !slices.Contains(outboxKinds, *kind) {
		return usagef("outbox: --kind is one of %s", strings.Join(outboxKinds, ", "))
	}
	if args[0] == "retry" {
		if *kind == "" {
			return usagef("%s", usage)
		}
		return withStore(ctx, c, true, func(_ config, db *store.DB) error {
			floor, err := db.ClockMark(ctx)
			if err != nil {
				return fmt.Errorf("database: %w", err)
			}
			n, err := db.RetryParked(ctx, *kind, id, gateway.NewClock(time.Now, floor).Now())
			if err != nil {
				return err
			}
			if id != "" && n == 0 {
				return fmt.Errorf("message %s is not parked", id)
			}
			if *asJSON {
				return printJSON(c, record{"kind": *kind, "retried": n})
			}
			fmt.Fprintf(c.stdout, "%d messages will be tried again\n", n)
			return nil
		})
	}
	kinds := outboxKinds
	if *kind != "" {
		kinds = []string{*kind}
	}
	return withStore(ctx, c, true, func(_ config, db *store.DB) error {
		records := []record{}
		for _, k := range kinds {
			list, err := db.ParkedMessages(ctx, k, maxParked)
			if err != nil {
				return err
			}
			for _, p := range list {
				records = append(records, record{
					"id": p.ID, "kind": p.Kind, "school": p.School, "about": p.Aggregate, "webhook": p.Target, "tries": p.Tries,
					"created_at": p.At, "parked_at": p.ParkedAt,
				})
			}
		}
		return printRecords(c, *asJSON, []string{"id", "kind", "about", "tries", "created_at", "parked_at"}, records)
	})
}

func acaCommand(ctx context.Context, c cli, args []string) error {
	if len(args) == 0 || args[0] != "sync" {
		return usagef("nodogate aca sync [--school CF]")
	}
	fs := newFlags("aca sync")
	asJSON := fs.Bool("json", false, "print JSON")
	school := fs.String("school", "", "fiscal code of one school; all schools without it")
	if err := parse(fs, args[1:]); err != nil {
		return err
	}
	cfg, err := loadConfig(c.env)
	if err != nil {
		return err
	}
	if cfg.ACAURL == "" {
		return errors.New("NODOGATE_ACA_URL is not set: the archive would not be told")
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		var codes []gateway.SchoolCode
		if *school != "" {
			codes = append(codes, gateway.SchoolCode(*school))
		} else {
			schools, err := svc.Schools(ctx)
			if err != nil {
				return err
			}
			for _, s := range schools {
				codes = append(codes, s.Code)
			}
		}
		total := 0
		for _, code := range codes {
			n, err := svc.MirrorAgain(ctx, code)
			if err != nil {
				return fmt.Errorf("school %s: %w", code, err)
			}
			total += n
		}
		if *asJSON {
			return printJSON(c, record{"schools": len(codes), "notices": total})
		}
		fmt.Fprintf(c.stdout, "the archive will be told of %d notices of %d schools\n", total, len(codes))
		return nil
	})
}
