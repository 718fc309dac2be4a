package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A command is one client command. Its fields hold the values of its flags.
type command interface {
	describe() description
	// declare adds the flags that only this command has.
	declare(fs *flag.FlagSet)
	// run does the work. args are what follows the flags; their number has been
	// checked against the description.
	run(ctx context.Context, s *session, args []string) error
}

// description is what the help says of a command.
type description struct {
	usage    string // what follows the command's name, e.g. "[flags] PATH"
	synopsis string // one line without a full stop
	details  string // further sentences; may be empty
	example  string // whole command lines
	minArgs  int
	maxArgs  int  // negative: no limit
	offline  bool // talks to no server, so it has no connection flags
}

// noFlags is embedded by commands without flags of their own.
type noFlags struct{}

func (noFlags) declare(*flag.FlagSet) {}

// execute runs cmd with args and returns the exit code of the process.
func execute(ctx context.Context, env Env, name string, cmd command, args []string) int {
	s := newSession(env)
	rest, err := s.parse(name, cmd, args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(env.Stdout, helpText(name, cmd))
		return exitOK
	}
	if err == nil {
		err = cmd.run(ctx, s, rest)
	}
	if err == nil {
		err = s.out.err
	}
	return report(env.Stderr, name, err)
}

// parse fills cmd and the connection from the flags and the environment, and
// returns the arguments after the flags.
func (s *session) parse(name string, cmd command, args []string) ([]string, error) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	cmd.declare(fs)
	d := cmd.describe()
	if !d.offline {
		s.connection.declare(fs)
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, usageError(err.Error())
	}
	rest := fs.Args()
	if err := checkOrder(fs, rest); err != nil {
		return nil, err
	}
	if len(rest) < d.minArgs {
		return nil, usageError(fmt.Sprintf("expects at least %d argument(s), got %d", d.minArgs, len(rest)))
	}
	if d.maxArgs >= 0 && len(rest) > d.maxArgs {
		return nil, usageError(fmt.Sprintf("expects at most %d argument(s), got %d", d.maxArgs, len(rest)))
	}
	if d.offline {
		return rest, nil
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return rest, s.connection.complete(given, s.env.Getenv)
}

// checkOrder refuses a flag after the first argument. It would not be parsed,
// and "kv put secret/a -cas=1 k=v" would store a field named "-cas".
func checkOrder(fs *flag.FlagSet, rest []string) error {
	for _, arg := range rest {
		name := strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
		if name == arg {
			continue
		}
		name, _, _ = strings.Cut(name, "=")
		if fs.Lookup(name) != nil {
			return usageError("put the flag -" + name + " before the first argument")
		}
	}
	return nil
}

// helpText is the long help of a command.
func helpText(name string, cmd command) string {
	d := cmd.describe()
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: holdfast %s\n\n  %s.\n", strings.TrimSpace(name+" "+d.usage), d.synopsis)
	if d.details != "" {
		fmt.Fprintf(&b, "\n%s\n", indent(d.details))
	}
	fmt.Fprintf(&b, "\nExample:\n\n%s\n", indent(d.example))
	own := flag.NewFlagSet(name, flag.ContinueOnError)
	cmd.declare(own)
	printFlags(&b, "Flags", own)
	if !d.offline {
		common := flag.NewFlagSet(name, flag.ContinueOnError)
		new(connection).declare(common)
		printFlags(&b, "Flags of every client command", common)
	}
	return strings.TrimRight(b.String(), "\n")
}

func printFlags(w io.Writer, title string, fs *flag.FlagSet) {
	empty := true
	fs.VisitAll(func(*flag.Flag) { empty = false })
	if empty {
		return
	}
	fmt.Fprintf(w, "\n%s:\n\n", title)
	fs.SetOutput(w)
	fs.PrintDefaults()
}

func indent(text string) string {
	lines := slices.Collect(strings.SplitSeq(text, "\n"))
	return "  " + strings.Join(lines, "\n  ")
}
