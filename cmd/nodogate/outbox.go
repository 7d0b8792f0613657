// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/store"
)

// outboxKinds are the kinds of messages that an operator may look at.
var outboxKinds = []string{"event", "mail", "appio", "aca", "webhook", gateway.MessageCampaign}

// maxParked is how many parked messages are listed.
const maxParked = 1000

func outboxParked(ctx context.Context, c cli, args []string) error {
	fs := newFlags("outbox parked")
	asJSON := fs.Bool("json", false, "print JSON")
	kind := outboxKind(fs)
	if err := parse(fs, args); err != nil {
		return err
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
				webhook := p.Target
				if p.Kind != "webhook" {
					webhook = "" // of another kind the target is no id
				}
				records = append(records, record{
					"id": p.ID, "kind": p.Kind, "school": p.School, "about": p.Aggregate, "webhook": webhook, "tries": p.Tries,
					"created_at": p.At, "parked_at": p.ParkedAt,
				})
			}
		}
		return printRecords(c, *asJSON, []string{"id", "kind", "about", "tries", "created_at", "parked_at"}, records)
	})
}

func outboxRetry(ctx context.Context, c cli, args []string) error {
	fs := newFlags("outbox retry")
	asJSON := fs.Bool("json", false, "print JSON")
	kind := outboxKind(fs)
	id := fs.String("id", "", "one message by its `ID`; all of the kind without it")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *kind == "" {
		return usagef("outbox retry: give --kind, one of %s", strings.Join(outboxKinds, ", "))
	}
	return withStore(ctx, c, true, func(_ config, db *store.DB) error {
		floor, err := db.ClockMark(ctx)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		n, err := db.RetryParked(ctx, *kind, *id, gateway.NewClock(time.Now, floor).Now())
		if err != nil {
			return err
		}
		if *id != "" && n == 0 {
			return fmt.Errorf("message %s is not parked; `nodogate outbox parked` lists those that are", *id)
		}
		if *asJSON {
			return printJSON(c, record{"kind": *kind, "retried": n})
		}
		fmt.Fprintf(c.stdout, "%d messages will be tried again\n", n)
		return nil
	})
}

// outboxKind is the flag for a kind of messages.
func outboxKind(fs *flag.FlagSet) *string {
	var kind string
	list := strings.Join(outboxKinds, ", ")
	fs.Func("kind", "`KIND` of messages: "+list, func(s string) error {
		if !slices.Contains(outboxKinds, s) {
			return fmt.Errorf("give one of %s", list)
		}
		kind = s
		return nil
	})
	return &kind
}

func acaSync(ctx context.Context, c cli, args []string) error {
	fs := newFlags("aca sync")
	asJSON := fs.Bool("json", false, "print JSON")
	school := fs.String("school", "", "fiscal code `CF` of one school; all schools without it")
	if err := parse(fs, args); err != nil {
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
