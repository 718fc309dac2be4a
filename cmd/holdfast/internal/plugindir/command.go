// Package plugindir is the commands "holdfast plugin list", "info" and "verify": what a plugin
// directory holds, and whether a server may trust it.
package plugindir

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	hcli "github.com/hashicorp/cli"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/pluginflags"
)

// Env is what the commands use of the process they run in.
type Env struct {
	Stdout, Stderr io.Writer
}

// Commands returns the commands by name. They stop when ctx ends.
func Commands(ctx context.Context, env Env) map[string]hcli.CommandFactory {
	factory := func(build func() action) hcli.CommandFactory {
		return func() (hcli.Command, error) { return &command{ctx: ctx, env: env, action: build()}, nil }
	}
	return map[string]hcli.CommandFactory{
		"plugin list":   factory(func() action { return &listAction{} }),
		"plugin info":   factory(func() action { return &infoAction{} }),
		"plugin verify": factory(func() action { return &verifyAction{} }),
	}
}

// action is what one of the commands does. Its fields are its flags and arguments.
type action interface {
	name() string // behind "holdfast"
	synopsis() string
	help() string // above the list of flags
	declare(f *flag.FlagSet)
	// take reads the arguments that are no flags.
	take(args []string) error
	// run prints the answer. It reports false if the answer is that something is wrong.
	run(ctx context.Context, from source, out io.Writer) (well bool, err error)
}

// command implements hcli.Command, whose Run has no context of its own.
type command struct {
	ctx    context.Context //nolint:containedctx // see above
	env    Env
	action action
}

// Synopsis implements hcli.Command.
func (c *command) Synopsis() string { return c.action.synopsis() }

// Help implements hcli.Command.
func (c *command) Help() string {
	var text strings.Builder
	text.WriteString(c.action.help() + "\n\nOptions:\n")
	flags := c.flags(&source{})
	flags.SetOutput(&text)
	flags.PrintDefaults()
	return text.String()
}

func (c *command) flags(from *source) *flag.FlagSet {
	f := flag.NewFlagSet(c.action.name(), flag.ContinueOnError)
	f.SetOutput(c.env.Stderr)
	from.declare(f)
	c.action.declare(f)
	return f
}

// Run implements hcli.Command. The exit code is 0 if all is well.
func (c *command) Run(args []string) int {
	well, err := c.run(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(c.env.Stderr, "Error:", err)
		return 1
	case !well:
		return 1
	}
	return 0
}

// run parses args, in which flags may stand before and after the arguments.
func (c *command) run(args []string) (well bool, err error) {
	var from source
	flags := c.flags(&from)
	rest, err := pluginflags.Parse(flags, args)
	if err != nil {
		return false, err
	}
	if err := c.action.take(rest); err != nil {
		return false, err
	}
	if err := from.load(); err != nil {
		return false, err
	}
	return c.action.run(c.ctx, from, c.env.Stdout)
}

// noArguments is take of a command with flags only.
func noArguments(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q: flags only", args[0])
	}
	return nil
}

// inspection is the flags of the commands that start plugins.
type inspection struct {
	format  string
	timeout time.Duration // for a plugin to start, and as long again to answer
}

func (i *inspection) declare(f *flag.FlagSet) {
	f.DurationVar(&i.timeout, "timeout", 10*time.Second, "most `time` for one plugin to start, and for it to answer")
	i.format = "table"
	f.Func("format", "of the output: table or json (table)", func(text string) error {
		if text != "table" && text != "json" {
			return errors.New("want table or json")
		}
		i.format = text
		return nil
	})
}
