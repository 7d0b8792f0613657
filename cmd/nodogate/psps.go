// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
)

// Where pagoPA's own Checkout is, and where it sends payers.
const (
	checkoutEndpoint = "https://api.platform.pagopa.it/checkout/ec/v1"
	checkoutPages    = "checkout.pagopa.it"
)

const importHead = "# Made by `nodogate psps import` of the node's list of PSPs. Fees are those the\n" +
	"# PSPs declared there; leave out whom you do not want to offer.\n"

func pspsImport(_ context.Context, c cli, args []string) error {
	fs := newFlags("psps import")
	out := fs.String("out", "", "write the catalogue to this `file`")
	force := fs.Bool("force", false, "let --out replace a file")
	endpoint := fs.String("endpoint", checkoutEndpoint, "address (`URL`) of Checkout")
	pages := fs.String("page-hosts", checkoutPages, "comma-separated `hosts` of Checkout's pages")
	asJSON := fs.Bool("json", false, "print JSON")
	file, err := parseWith(fs, args, "FILE")
	if err != nil {
		return err
	}
	cfg, err := loadConfig(c.env)
	if err != nil {
		return err
	}
	like := connectors.PSP{Connector: "checkout", Endpoint: *endpoint, SecretEnv: "CHECKOUT_SUBSCRIPTION_KEY"}
	if *pages != "" {
		like.PageHosts = strings.Split(*pages, ",")
	}
	catalogue, notes, err := importPSPs(file, like, cfg.AllowPrivate)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(c.stderr, note)
	}
	text, err := catalogue.YAML()
	if err != nil {
		return err
	}
	text = append([]byte(importHead), text...)
	if *out != "" {
		if err := writeNew(*out, text, *force); err != nil {
			return err
		}
	}
	switch {
	case *asJSON:
		return printJSON(c, pspRecords(catalogue))
	case *out == "":
		_, err = c.stdout.Write(text)
	}
	return err
}

// importPSPs reads a listaInformativePSP. The error says where in the file.
func importPSPs(file string, like connectors.PSP, allowPrivate bool) (connectors.Catalogue, []string, error) {
	fail := func(err error) (connectors.Catalogue, []string, error) {
		return connectors.Catalogue{}, nil, fmt.Errorf("psps import: %w", err)
	}
	f, err := os.Open(file)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, pagopa.MaxPSPList+1))
	if err != nil {
		return fail(err)
	}
	list, err := pagopa.ReadPSPList(text)
	if bad := (*soap.ParseError)(nil); errors.As(err, &bad) {
		where := ""
		if bad.Offset > 0 {
			where = fmt.Sprintf("line %d: ", bytes.Count(text[:bad.Offset], []byte("\n"))+1)
		}
		return fail(fmt.Errorf("%s: %s%s", file, where, bad.Rule))
	}
	if bad := (*pagopa.SchemaError)(nil); errors.As(err, &bad) {
		return fail(fmt.Errorf("%s: %s: %s", file, bad.Path, bad.Rule))
	}
	if err != nil {
		return fail(fmt.Errorf("%s: %w", file, err))
	}
	catalogue, notes := connectors.FromList(list, like)
	if len(catalogue.PSPs) == 0 {
		return fail(fmt.Errorf("%s: no PSP that can be paid with", file))
	}
	// What serve would refuse is not worth writing. The mistakes, if any, are
	// those of the flags, so the first PSP has them all.
	_, err = connectors.New(connectors.Config{
		Catalogue: connectors.Catalogue{PSPs: catalogue.PSPs[:1]}, Drivers: drivers, AllowPrivate: allowPrivate,
		Getenv: func(string) string { return "not asked for" }, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return fail(errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	return catalogue, notes, nil
}

// writeNew writes a file that must not be there, or replaces it in one step: a
// gateway may be reading it.
func writeNew(name string, text []byte, replace bool) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".psps-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if replace {
		return os.Rename(f.Name(), name)
	}
	if err := os.Link(f.Name(), name); err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s is there already; --force replaces it", name)
		}
		return err
	}
	return nil
}

func pspRecords(c connectors.Catalogue) []record {
	records := make([]record, len(c.PSPs))
	for i, p := range c.PSPs {
		fees := make([]record, len(p.Fees))
		for j, b := range p.Fees {
			fees[j] = record{"up_to_cents": b.UpTo, "fee_cents": b.Fee}
		}
		var most any
		if p.MaxAmount > 0 {
			most = p.MaxAmount
		}
		records[i] = record{
			"id": p.ID, "name": p.Name, "methods": p.Methods, "connector": p.Connector, "endpoint": p.Endpoint,
			"secret_env": p.SecretEnv, "page_hosts": p.PageHosts, "fees": fees, "max_amount_cents": most,
		}
	}
	return records
}
