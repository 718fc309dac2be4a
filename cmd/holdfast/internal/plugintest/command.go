// Package plugintest is the command "holdfast plugin test": it runs the conformance suite of
// package storagetest on the binary of a storage plugin, whatever it is written in, through
// the launcher that the server uses.
package plugintest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	hcli "github.com/hashicorp/cli"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/pluginflags"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

// Env is what the command uses of the process it runs in.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Version        string
}

// Commands returns "plugin test" and its parent by name. They stop when ctx ends.
func Commands(ctx context.Context, env Env) map[string]hcli.CommandFactory {
	return map[string]hcli.CommandFactory{
		"plugin":      func() (hcli.Command, error) { return group{}, nil },
		"plugin test": func() (hcli.Command, error) { return &command{ctx: ctx, env: env}, nil },
	}
}

// group is the parent, whose help lists its commands.
type group struct{}

func (group) Run([]string) int { return hcli.RunResultHelp }
func (group) Synopsis() string { return "Work with storage plugins" }
func (group) Help() string {
	return "Usage: holdfast plugin <subcommand> [flags] [args]\n\n  Work with storage plugins."
}

// command implements hcli.Command, whose Run has no context of its own.
type command struct {
	ctx context.Context //nolint:containedctx // see above
	env Env
}

// options are the flags and the argument.
type options struct {
	harnessOptions

	binary string
	config map[string]any
	expect []storagetest.Profile
	report string
	format string
	only   []string
	seed   uint64
	store  string
	list   bool
	hold   bool
}

// harnessOptions are what the cases have to work with, besides a configuration.
type harnessOptions struct {
	environment []string       // of the plugin, NAME=value each
	elsewhere   map[string]any // options that mean another set of data
	link        *linkOptions   // nil: no links
	disturbed   bool
	long        bool
	also        []string // further flags that a case is run again with
}

// Where the data of a store lives.
const (
	storeShared  = "shared"  // outside of the plugin's process
	storeProcess = "process" // in it
)

// Synopsis implements hcli.Command.
func (c *command) Synopsis() string { return "Run the conformance suite on a storage plugin" }

// Help implements hcli.Command.
func (c *command) Help() string {
	var text strings.Builder
	text.WriteString(`Usage: holdfast plugin test BIN -expect=PROFILES [-config=NAME=VALUE ...] [flags]

  Runs the conformance suite on the storage plugin BIN, through its own process and
  the launcher of the server. What you expect decides: the exit code is 0 only if every
  profile expected is offered and every case passed; one that was skipped has not passed.
  What is offered and not expected is tested too. Cases that need -elsewhere or -link are
  not run without; the verdict counts them.

  The suite works below a random directory of the store and removes it; the
  store may be in use.

  Example: holdfast plugin test ./holdfast-storage-consul -config address=127.0.0.1:8500 \
               -config path=conformance/ -expect core,txn,ha,process

Options:
`)
	flags := c.flags(&options{})
	flags.SetOutput(&text)
	flags.PrintDefaults()
	return text.String()
}

func (c *command) flags(o *options) *flag.FlagSet {
	f := flag.NewFlagSet("plugin test", flag.ContinueOnError)
	f.SetOutput(c.env.Stderr)
	o.config, o.elsewhere = make(map[string]any), make(map[string]any)
	f.Func("config", "`NAME=VALUE` of the storage stanza; may be repeated", pluginflags.Assign(o.config))
	c.harnessFlags(f, o)
	f.Func("expect", "`PROFILES` that the plugin must offer and keep, with commas: core, txn, ha, process", func(text string) error {
		for name := range strings.SplitSeq(text, ",") {
			o.expect = append(o.expect, storagetest.Profile(strings.TrimSpace(name)))
		}
		return nil
	})
	f.StringVar(&o.report, "report", "", "`FILE` to write the report to")
	f.StringVar(&o.format, "format", "text", "of the report: text, json or junit; without -report it is printed")
	f.Func("run", "`IDS` of the cases or profiles to run, with commas (all that apply)", func(text string) error {
		for id := range strings.SplitSeq(text, ",") {
			o.only = append(o.only, casesOf(strings.TrimSpace(id))...)
		}
		return nil
	})
	f.Uint64Var(&o.seed, "seed", 0, "`NUMBER` that decides the random choices, as a failure names it (random)")
	f.StringVar(&o.store, "store", "", "where the data must live: shared, outside of the plugin's process, or process; found out if not given")
	f.BoolVar(&o.list, "list", false, "print the cases and exit")
	f.BoolVar(&o.hold, "hold", false, "for the suite itself: read a specification from stdin, run the plugin until stdin ends")
	return f
}

// harnessFlags are those of harnessOptions.
func (c *command) harnessFlags(f *flag.FlagSet, o *options) {
	f.Func("elsewhere", "`NAME=VALUE` that makes the configuration mean another set of data in the same store, for example path=other/; may be repeated",
		pluginflags.Assign(o.elsewhere))
	f.Func("link", "`OPTION` that names the one address of the store, host:port or a URL: the suite puts a proxy there and breaks the connection. After a comma, NAME=VALUE that keep the plugin from finding another way", func(text string) (err error) {
		o.link, err = parseLink(text)
		return err
	})
	f.Func("env", "`NAME=VALUE` of the plugin's environment, as env in the plugin stanza; may be repeated", func(text string) error {
		o.environment = append(o.environment, text)
		return nil
	})
	f.BoolFunc("disturbed", "something makes the store fail for moments: make calls again that find it unavailable", func(string) error {
		o.disturbed = true
		o.also = append(o.also, "-disturbed")
		return nil
	})
	f.BoolVar(&o.long, "long", false, "run the cases that are cut short on a slow store at full length")
}

// casesOf returns the IDs of the cases that name means: a profile's, or the one.
func casesOf(name string) []string {
	var ids []string
	for _, one := range storagetest.Cases() {
		if one.Profile == storagetest.Profile(name) {
			ids = append(ids, one.ID)
		}
	}
	if len(ids) == 0 {
		return []string{name}
	}
	return ids
}

// parse reads the command line, on which flags may stand before and after BIN.
func (c *command) parse(args []string) (*options, error) {
	o := &options{}
	flags := c.flags(o)
	rest, err := pluginflags.Parse(flags, args)
	if err != nil {
		return nil, err
	}
	switch {
	case o.list || o.hold:
		return o, nil
	case len(rest) == 0:
		return nil, errors.New("say which plugin to test: holdfast plugin test BIN -expect=PROFILES")
	case len(rest) > 1:
		return nil, fmt.Errorf("unexpected argument %q: one plugin at a time", rest[1])
	case len(o.expect) == 0:
		return nil, errors.New("say what you expect of the plugin, for example -expect=core,txn,ha,process")
	case o.format != "text" && o.format != "json" && o.format != "junit":
		return nil, fmt.Errorf("-format is %q, want text, json or junit", o.format)
	case o.store != "" && o.store != storeShared && o.store != storeProcess:
		return nil, fmt.Errorf("-store is %q, want %s or %s", o.store, storeShared, storeProcess)
	}
	o.binary = rest[0]
	return o, nil
}

// Run implements hcli.Command.
func (c *command) Run(args []string) int {
	o, err := c.parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
	case o.list:
		c.list()
		return 0
	case o.hold:
		err = hold(c.ctx, c.env)
	default:
		var passed bool
		if passed, err = c.test(o); err == nil && !passed {
			return 1
		}
	}
	if err != nil {
		fmt.Fprintln(c.env.Stderr, "Error:", err)
		return 1
	}
	return 0
}

// list prints every case.
func (c *command) list() {
	for _, one := range storagetest.Cases() {
		fmt.Fprintf(c.env.Stdout, "%-5s %-8s %s\n", one.ID, one.Profile, one.Promise)
	}
}
