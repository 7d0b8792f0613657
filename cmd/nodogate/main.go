// SPDX-License-Identifier: Apache-2.0

// Command nodogate is the whole gateway in one binary. This file lists its
// commands; serve.go lists the parts that a running gateway is made of.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
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

type command struct {
	name, args, help string
	run              func(ctx context.Context, c cli, args []string) error
}

// cli is what a command may touch of the process it runs in.
type cli struct {
	env            []string
	stdout, stderr io.Writer
}

var commands []command

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	commands = []command{
		{"serve", "[--print-config] [--pprof]", "run the gateway", serveCommand},
		{"demo", "", "run a gateway with sample data and a sandbox to pay on", demoCommand},
		{"sandbox", "", "run the other side alone: Checkout and the node", sandboxCommand},
		{"migrate", "up|status", "bring the database to this version, or say where it is", migrateCommand},
		{"school", "add|list", "add a school, list schools", schoolCommand},
		{"client", "add|list|rotate|revoke", "give programs access to the API", clientCommand},
		{"notices", "import FILE", "issue notices from a spreadsheet", noticesCommand},
		{"taxonomy", "import FILE|list", "take the official list of collection codes", taxonomyCommand},
		{"psps", "import FILE", "make a catalogue of the node's list of PSPs", pspsCommand},
		{"aca", "sync [--school CF]", "have pagoPA's archive told of open notices that it does not have", acaCommand},
		{"outbox", "parked|retry", "list messages that were given up, or have them tried again", outboxCommand},
		{"healthcheck", "", "exit 0 when the gateway here is ready", healthcheckCommand},
		{"version", "", "print the version", versionCommand},
	}
	os.Exit(run(ctx, cli{os.Environ(), os.Stdout, os.Stderr}, os.Args[1:]))
}

func run(ctx context.Context, c cli, args []string) int {
	err := dispatch(ctx, c, args)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(c.stderr, "nodogate:", err)
		return 2
	default:
		fmt.Fprintln(c.stderr, "nodogate:", err)
		return 1
	}
}

func dispatch(ctx context.Context, c cli, args []string) error {
	if len(args) == 0 {
		usage(c.stderr)
		return usagef("name a command")
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(c.stdout)
		return nil
	}
	for _, cmd := range commands {
		if cmd.name == args[0] {
			return cmd.run(ctx, c, args[1:])
		}
	}
	return usagef("no command %q; `nodogate help` lists them", args[0])
}

func usage(w io.Writer) {
	fmt.Fprint(w, "nodogate: payment gateway for Italian schools over pagoPA\n\n")
	for _, cmd := range commands {
		fmt.Fprintf(w, "  %-12s %-28s %s\n", cmd.name, cmd.args, cmd.help)
	}
	fmt.Fprint(w, "\nConfiguration is in NODOGATE_ variables; `nodogate serve --print-config` shows all.\n")
}

func versionCommand(_ context.Context, c cli, args []string) error {
	if len(args) > 0 {
		return usagef("version takes no arguments")
	}
	fmt.Fprintln(c.stdout, version)
	return nil
}
