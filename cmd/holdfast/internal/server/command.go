// Package server is the command "holdfast server".
package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	hcli "github.com/hashicorp/cli"

	"github.com/holdfast/holdfast/host/config"
)

// Env is what the server uses of the process it runs in.
type Env struct {
	Getenv         func(string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Version        string
}

// Command returns the factory of the command. The server hands over and stops when
// ctx ends.
func Command(ctx context.Context, env Env) hcli.CommandFactory {
	return func() (hcli.Command, error) { return &command{ctx: ctx, env: env}, nil }
}

// command implements hcli.Command, whose Run has no context of its own.
type command struct {
	ctx context.Context
	env Env
}

// options are the flags.
type options struct {
	configs   []string
	plugins   string
	logLevel  string
	dev       bool
	devToken  string
	devListen string
	devNodes  int
	devAttach string
}

// Synopsis implements hcli.Command.
func (c *command) Synopsis() string { return "Start a server" }

// Help implements hcli.Command.
func (c *command) Help() string {
	var text strings.Builder
	text.WriteString(`Usage: holdfast server -config=PATH [-config=PATH ...]
       holdfast server -dev [-dev-nodes=3]

  Starts a server. It is sealed until it gets its key shares (holdfast operator
  unseal), except with -dev. SIGTERM and SIGINT hand the active role over and
  stop it; SIGHUP reads the log level and the TLS certificates again.

  Example: holdfast server -config=/etc/holdfast/holdfast.hcl

Options:
`)
	flags := c.flags(&options{})
	flags.SetOutput(&text)
	flags.PrintDefaults()
	return text.String()
}

func (c *command) flags(o *options) *flag.FlagSet {
	f := flag.NewFlagSet("server", flag.ContinueOnError)
	f.SetOutput(c.env.Stderr)
	f.Func("config", "configuration `file`, or directory of *.hcl and *.json files; may be repeated", func(path string) error {
		o.configs = append(o.configs, path)
		return nil
	})
	f.StringVar(&o.plugins, "plugin-directory", "", "`directory` of the storage plugins; wins over the configuration")
	f.StringVar(&o.logLevel, "log-level", "", "trace, debug, info, warn or error; wins over the configuration")
	f.BoolVar(&o.dev, "dev", false, "development server: in memory, unsealed, without TLS; everything is lost when it stops")
	f.StringVar(&o.devToken, "dev-root-token-id", c.env.Getenv("HOLDFAST_DEV_ROOT_TOKEN_ID"), "root `token` of the development server; random if empty")
	f.StringVar(&o.devListen, "dev-listen-address", "", "`host:port` of the development server (127.0.0.1:8200)")
	f.IntVar(&o.devNodes, "dev-nodes", 1, "`number` of development servers that share one storage plugin: ports 8200, 8202, ...")
	f.StringVar(&o.devAttach, "dev-attach", "", "use the running inmem plugin at this `address` and stay sealed; -dev-nodes starts its servers like this")
	return f
}

// Run implements hcli.Command.
func (c *command) Run(args []string) int {
	o := &options{}
	flags := c.flags(o)
	if err := flags.Parse(args); err != nil {
		return 1
	}
	err := o.check(flags.Args())
	switch {
	case err != nil:
	case o.dev && o.devNodes > 1:
		err = runDevCluster(c.ctx, c.env, o)
	default:
		err = c.serve(o)
	}
	if err != nil {
		fmt.Fprintln(c.env.Stderr, "Error:", err)
		return 1
	}
	return 0
}

func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q: flags only", rest[0])
	case o.dev && len(o.configs) > 0:
		return errors.New("-dev and -config exclude each other")
	case !o.dev && len(o.configs) == 0:
		return errors.New("say which configuration to use with -config=PATH, or start a development server with -dev")
	case !o.dev && (o.devAttach != "" || o.devNodes != 1 || o.devListen != ""):
		return errors.New("the -dev-... flags need -dev")
	case o.devNodes < 1 || o.devNodes > 9:
		return errors.New("-dev-nodes must be 1 to 9")
	}
	return nil
}

// serve runs one server.
func (c *command) serve(o *options) error {
	cfg, warnings, err := o.load(c.env.Getenv)
	if err != nil {
		return err
	}
	s := &server{env: c.env, options: o, cfg: cfg, logger: newLogger(cfg.Log, c.env.Stderr)}
	for _, w := range warnings {
		s.logger.Warn("configuration", "warning", w.String())
	}
	return s.run(c.ctx)
}

// load makes the configuration of flags, files and environment, in rising order of
// weight: files, environment, flags.
func (o *options) load(getenv func(string) string) (*config.Config, []config.Warning, error) {
	cfg := config.Dev()
	var warnings []config.Warning
	if !o.dev {
		var err error
		if cfg, warnings, err = config.Load(o.configs); err != nil {
			return nil, nil, err
		}
	}
	if o.dev {
		o.applyDev(cfg)
	}
	if err := cfg.ApplyEnv(getenv); err != nil {
		return nil, nil, err
	}
	if o.plugins != "" {
		cfg.PluginDirectory = o.plugins
	}
	if o.logLevel != "" {
		cfg.Log.Level = o.logLevel
	}
	return cfg, warnings, cfg.Validate()
}

func (o *options) applyDev(cfg *config.Config) {
	if o.devListen != "" {
		cfg.Listeners[0].Address = o.devListen
	}
	cfg.PluginDirectory = bundledPlugins()
	if o.devAttach != "" {
		cfg.Plugins = map[string]config.Plugin{cfg.Storage.Type: {Attach: o.devAttach}}
	}
}

// bundledPlugins is where make build puts the plugins: beside the program.
func bundledPlugins() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	if target, err := filepath.EvalSymlinks(self); err == nil {
		self = target
	}
	return filepath.Join(filepath.Dir(self), "plugins")
}
