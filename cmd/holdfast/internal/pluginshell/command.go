// Package pluginshell is the command "holdfast plugin shell": it starts a storage plugin, or
// attaches to one, as a server does, and makes the calls that are typed.
package pluginshell

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	hcli "github.com/hashicorp/cli"
	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/pluginflags"
	"github.com/holdfast/holdfast/host/plugin"
)

// Env is what the command uses of the process it runs in.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Commands returns "plugin shell" by name. It stops when ctx ends.
func Commands(ctx context.Context, env Env) map[string]hcli.CommandFactory {
	return map[string]hcli.CommandFactory{
		"plugin shell": func() (hcli.Command, error) { return &command{ctx: ctx, env: env}, nil },
	}
}

// command implements hcli.Command, whose Run has no context of its own.
type command struct {
	ctx context.Context //nolint:containedctx // see above
	env Env
}

// options are the flags and the argument.
type options struct {
	spec     plugin.Spec
	timeout  time.Duration
	logLevel string
}

// Synopsis implements hcli.Command.
func (c *command) Synopsis() string { return "Call a storage plugin by hand" }

// Help implements hcli.Command.
func (c *command) Help() string {
	var text strings.Builder
	text.WriteString(`Usage: holdfast plugin shell [flags] BIN
       holdfast plugin shell [flags] -attach=unix:///PATH -type=TYPE

  Starts the storage plugin BIN with the launcher of the server, or attaches to one that
  "serve -debug" runs, opens a backend in it, and makes one call for each line of the
  standard input. The exit code is 1 if a call has failed. The calls:

` + callsHelp + `
Options:

`)
	flags := c.flags(&options{})
	flags.SetOutput(&text)
	flags.PrintDefaults()
	return text.String()
}

func (c *command) flags(o *options) *flag.FlagSet {
	f := flag.NewFlagSet("plugin shell", flag.ContinueOnError)
	f.SetOutput(c.env.Stderr)
	o.spec.Options = make(map[string]any)
	f.Func("config", "`NAME=VALUE` of the storage stanza; may be repeated", pluginflags.Assign(o.spec.Options))
	f.Func("env", "`NAME=VALUE` of the plugin's environment; may be repeated", func(text string) error {
		o.spec.Env = append(o.spec.Env, text)
		return nil
	})
	f.StringVar(&o.spec.Attach, "attach", "", "`ADDRESS` of a plugin that runs, instead of BIN")
	f.StringVar(&o.spec.Type, "type", "", "storage `TYPE` by which the plugin describes itself (what the name of BIN says)")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "longest `TIME` for one call")
	f.StringVar(&o.logLevel, "log-level", "warn", "`LEVEL` from which the plugin's log is shown, on standard error")
	return f
}

// Run implements hcli.Command.
func (c *command) Run(args []string) int {
	o, err := c.parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	failed := false
	if err == nil {
		failed, err = c.serve(o)
	}
	if err != nil {
		fmt.Fprintln(c.env.Stderr, "Error:", err)
	}
	if failed || err != nil {
		return 1
	}
	return 0
}

func (c *command) parse(args []string) (*options, error) {
	o := &options{}
	flags := c.flags(o)
	rest, err := pluginflags.Parse(flags, args)
	if err != nil {
		return nil, err
	}
	switch {
	case len(rest) > 1:
		return nil, fmt.Errorf("unexpected argument %q: one plugin at a time", rest[1])
	case (len(rest) == 1) == (o.spec.Attach != ""):
		return nil, errors.New("say which plugin to call: BIN, or -attach=ADDRESS")
	case hclog.LevelFromString(o.logLevel) == hclog.NoLevel:
		return nil, fmt.Errorf("-log-level is %q, want trace, debug, info, warn, error or off", o.logLevel)
	case o.timeout <= 0:
		return nil, fmt.Errorf("-timeout is %v, want more than nothing", o.timeout)
	}
	if len(rest) == 1 {
		path, err := filepath.Abs(rest[0])
		if err != nil {
			return nil, fmt.Errorf("find the plugin: %w", err)
		}
		o.spec.Command = path
	}
	if o.spec.Type == "" {
		o.spec.Type = strings.TrimPrefix(filepath.Base(o.spec.Command), plugin.ProgramPrefix)
	}
	return o, nil
}

// serve opens the plugin and makes the calls until the input ends.
func (c *command) serve(o *options) (failed bool, err error) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.LevelFromString(o.logLevel), Output: c.env.Stderr})
	backend, err := plugin.Open(c.ctx, o.spec, logger)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	s := &shell{backend: backend, out: c.env.Stdout, timeout: o.timeout}
	return s.run(c.ctx, c.env.Stdin)
}
