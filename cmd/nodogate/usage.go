// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// command is something the program does, or a group of such.
type command struct {
	name, args, help string
	run              func(ctx context.Context, c cli, args []string) error // nil for a group
	subs             []command
}

// names lists commands for an error: add|list.
func names(list []command) string {
	var parts []string
	for _, c := range list {
		parts = append(parts, c.name)
	}
	return strings.Join(parts, "|")
}

func isHelp(arg string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, arg) }

// dispatch finds the command that args name and runs it, or tells how it is
// called: `--help` after it, or `help` before it.
func dispatch(ctx context.Context, c cli, args []string) error {
	if len(args) > 0 && args[0] == "help" {
		args = append(slices.Clone(args[1:]), "--help")
	}
	at := command{subs: commands()}
	path := "nodogate"
	for at.run == nil {
		switch {
		case len(args) == 0 && path == "nodogate":
			return usagef("name a command; `nodogate help` lists them")
		case len(args) == 0:
			return usagef("%s %s; `%s --help` says what they do", path, names(at.subs), path)
		case isHelp(args[0]):
			return tellGroup(c.stdout, path, at)
		}
		i := slices.IndexFunc(at.subs, func(sub command) bool { return sub.name == args[0] })
		switch {
		case i < 0 && path == "nodogate":
			return usagef("no command %q; `nodogate help` lists them", args[0])
		case i < 0:
			return usagef("no command %q: %s %s", args[0], path, names(at.subs))
		}
		at, path, args = at.subs[i], path+" "+args[0], args[1:]
	}
	err := at.run(ctx, c, args)
	if asked := (*helpAsked)(nil); errors.As(err, &asked) {
		return tellCommand(c.stdout, path, at, asked.flags)
	}
	return err
}

// helpAsked is a command line with --help.
type helpAsked struct{ flags *flag.FlagSet }

func (*helpAsked) Error() string { return "help was asked for" }

// tellGroup prints the commands of a group, or all groups.
func tellGroup(out io.Writer, path string, group command) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if path == "nodogate" {
		fmt.Fprint(w, "nodogate: payment gateway for Italian schools over pagoPA\n\n")
	} else {
		fmt.Fprintf(w, "usage: %s %s\n\n%s\n\n", path, names(group.subs), group.help)
	}
	for _, sub := range group.subs {
		name := sub.name
		if sub.run == nil {
			name += " " + names(sub.subs)
		}
		fmt.Fprintf(w, "  %s\t%s\n", name, sub.help)
	}
	fmt.Fprintf(w, "\n`%s COMMAND --help` says how one is called.\n", path)
	if path == "nodogate" {
		fmt.Fprint(w, "Configuration is in NODOGATE_ variables; `nodogate serve --print-config` shows all.\n"+
			"Exit codes: 0 done, 1 failed, 2 wrong usage.\n")
	}
	return w.Flush()
}

// tellCommand prints how one command is called.
func tellCommand(out io.Writer, path string, cmd command, flags *flag.FlagSet) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "usage: %s\n\n%s\n", strings.Join(strings.Fields(path+" "+cmd.args+" [flags]"), " "), cmd.help)
	first := true
	flags.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprint(w, "\n")
			first = false
		}
		value, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			text += " (default " + f.DefValue + ")"
		}
		if !strings.Contains(value, "|") { // a choice of words is typed as it stands
			value = strings.ToUpper(value)
		}
		fmt.Fprintf(w, "  %s\t%s\n", strings.TrimRight("--"+f.Name+" "+value, " "), text)
	})
	return w.Flush()
}

func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse reads flags; what is wrong, or left over, is wrong usage.
func parse(fs *flag.FlagSet, args []string) error {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return &helpAsked{fs}
	case err != nil:
		return usagef("%s: %v; `nodogate %s --help` lists the flags", fs.Name(), err, fs.Name())
	case fs.NArg() > 0:
		return usagef("%s: %q is too much; `nodogate %s --help` says how it is called", fs.Name(), fs.Arg(0), fs.Name())
	}
	return nil
}

// parseWith reads flags and the one argument that a command takes, which may
// stand before the flags or after them.
func parseWith(fs *flag.FlagSet, args []string, what string) (string, error) {
	arg := ""
	if fs.Parse(args) == nil && fs.NArg() > 0 {
		arg, args = fs.Arg(0), fs.Args()[1:]
	}
	if err := parse(fs, args); err != nil {
		return "", err
	}
	if arg == "" {
		return "", usagef("nodogate %s %s: %s is missing", fs.Name(), what, what)
	}
	return arg, nil
}
