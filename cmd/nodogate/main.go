// SPDX-License-Identifier: Apache-2.0

// Command nodogate is the whole gateway in one binary. This file lists its
// commands, usage.go says how they are called; serve.go lists the parts that a
// running gateway is made of.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // due dates are decided in Rome, wherever the binary runs
)

// version is set by the build.
var version = "dev"

// errUsage is a wrong command line: exit 2, and the message says how.
var errUsage = errors.New("wrong usage")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
}

// cli is what a command may touch of the process it runs in.
type cli struct {
	env            []string
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, cli{os.Environ(), os.Stdout, os.Stderr}, os.Args[1:]))
}

// commands lists what the program can do.
func commands() []command {
	return []command{
		{name: "serve", args: "[--print-config [--json]] [--pprof]", help: "run the gateway", run: serveCommand},
		{name: "demo", help: "run a gateway with sample data and a sandbox to pay on", run: demoCommand},
		{name: "sandbox", args: "[--gateway URL]", help: "run the other side alone: Checkout and the node", run: sandboxCommand},
		{name: "migrate", help: "bring the database to this version, or say where it is", subs: []command{
			{name: "up", help: "bring the tables to this version", run: migrateCommand(true)},
			{name: "status", help: "list the migrations, those to come too", run: migrateCommand(false)},
		}},
		{name: "school", help: "add, change and list schools", subs: []command{
			{name: "add", args: "--fiscal-code CF --name NAME --iban IBAN --segregation-code NN", help: "add a school; the same again changes nothing", run: schoolAdd},
			{name: "change", args: "CF", help: "change what the flags name, and nothing else", run: schoolChange},
			{name: "list", help: "list all schools", run: schoolList},
		}},
		{name: "client", help: "give programs access to the API", subs: []command{
			{name: "add", args: "--name NAME (--school CF --scopes LIST | --admin)", help: "make a client; its secret is shown once", run: clientAdd},
			{name: "list", help: "list all clients, revoked ones too", run: clientList},
			{name: "rotate", args: "CLIENT_ID", help: "give a client another secret; the one before ends at once", run: clientRotate},
			{name: "revoke", args: "CLIENT_ID", help: "end a client at once", run: clientRevoke},
		}},
		{name: "notices", help: "issue notices from a spreadsheet", subs: []command{
			{name: "import", args: "FILE --school CF", help: "issue notices from a spreadsheet; FILE may be - for standard input", run: noticesImport},
		}},
		{name: "taxonomy", help: "keep the official list of collection codes", subs: []command{
			{name: "import", args: "FILE", help: "take the official CSV; from then on notices carry codes of it", run: taxonomyImport},
			{name: "list", args: "[--kind NN]", help: "list the codes that are valid today", run: taxonomyList},
		}},
		{name: "psps", help: "make a catalogue of the node's list of PSPs", subs: []command{
			{name: "import", args: "FILE", help: "make a catalogue of a listaInformativePSP", run: pspsImport},
		}},
		{name: "aca", help: "keep pagoPA's archive of notices", subs: []command{
			{name: "sync", args: "[--school CF]", help: "have the archive told of open notices that it does not have", run: acaSync},
		}},
		{name: "receipts", help: "look after the receipts that are kept", subs: []command{
			{name: "verify", args: "[--school CF] [--against FILE]", help: "walk the chains that receipts are sealed in, and open every one", run: receiptsVerify},
		}},
		{name: "secret", help: "change the root secret", subs: []command{
			{name: "rotate", args: "FILE", help: "wrap the keys of personal data with the secret in FILE; stop the gateway before", run: secretRotate},
		}},
		{name: "outbox", help: "look after messages that were given up", subs: []command{
			{name: "parked", args: "[--kind KIND]", help: "list them", run: outboxParked},
			{name: "retry", args: "--kind KIND [--id ID]", help: "have them tried again", run: outboxRetry},
		}},
		{name: "doctor", args: "[--deep]", help: "look at all that the gateway stands on, a line each, and say what to do", run: doctorCommand},
		{name: "healthcheck", help: "exit 0 when the gateway here is ready", run: healthcheckCommand},
		{name: "version", help: "print the version", run: versionCommand},
	}
}

// run is a whole command line and its exit code: 0, 1 for what failed, 2 for
// wrong usage. An error is one line.
func run(ctx context.Context, c cli, args []string) int {
	err := dispatch(ctx, c, args)
	if err == nil {
		return 0
	}
	fmt.Fprintln(c.stderr, "nodogate:", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

func versionCommand(_ context.Context, c cli, args []string) error {
	fs := newFlags("version")
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *asJSON {
		return printJSON(c, record{"version": version})
	}
	_, err := fmt.Fprintln(c.stdout, version)
	return err
}
