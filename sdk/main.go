package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// Main is the whole main function of a plugin. Started by a Holdfast server it serves
// until the server ends it or dies. Run by hand it explains itself and takes the
// commands describe, docs, version and serve. It does not return after a failure.
func Main[C any, B storage.Backend](p Plugin[C, B]) {
	proc := process{args: os.Args[1:], getenv: os.Getenv, stdout: os.Stdout, stderr: os.Stderr}
	if err := run(context.Background(), p, proc); err != nil { //nolint:forbidigo // this is the author's main
		fmt.Fprintf(proc.stderr, "holdfast-storage-%s: %v\n", p.Name, err)
		os.Exit(1)
	}
}

// process is what run sees of the operating system.
type process struct {
	args           []string
	getenv         func(string) string
	stdout, stderr io.Writer
}

// run is Main without the exit. Under a host the arguments mean nothing.
func run[C any, B storage.Backend](ctx context.Context, p Plugin[C, B], proc process) error {
	hosted := proc.getenv(wire.CookieKey) == wire.CookieValue
	logger := newLogger(p.Name, proc, hosted)
	impl, err := p.implementation(logger)
	if err != nil {
		return err
	}
	if hosted {
		return serveHost(ctx, impl, proc, logger)
	}
	return runCommand(ctx, impl, proc, logger)
}

func newLogger(name string, proc process, hosted bool) hclog.Logger {
	level := hclog.LevelFromString(proc.getenv(wire.LogLevelKey))
	if level == hclog.NoLevel {
		level = hclog.Debug // the host filters
	}
	// The writer is the process's original stderr: go-plugin replaces os.Stderr later.
	return hclog.New(&hclog.LoggerOptions{Name: name, Level: level, Output: proc.stderr, JSONFormat: hosted})
}

const usage = `This program is a storage plugin of Holdfast, for storage of type %[1]q.
It is not run by hand: put it into the plugin_directory of a Holdfast server and
write storage %[1]q { ... } in the server's configuration.

By hand it takes these commands:

  describe                      print what it offers and its options, as JSON
  docs                          print its options, as Markdown
  version                       print its version
  serve -debug [-socket PATH]   serve on a unix socket until interrupted, and print
                                the line for the configuration of a server to attach
`

func runCommand(ctx context.Context, impl wire.Implementation, proc process, logger hclog.Logger) error {
	d := impl.Description
	if len(proc.args) == 0 {
		fmt.Fprintf(proc.stderr, usage, d.Name)
		return errors.New("not started by a Holdfast server")
	}
	switch command, args := proc.args[0], proc.args[1:]; command {
	case "version":
		_, err := fmt.Fprintf(proc.stdout, "holdfast-storage-%s %s (%s, protocol %d)\n", d.Name, d.Version, d.SDK, wire.ProtocolVersion)
		return err
	case "describe":
		return writeDescription(proc.stdout, d)
	case "docs":
		return writeDocs(proc.stdout, d)
	case "serve":
		return runServe(ctx, impl, proc, args, logger)
	case "help", "-h", "-help", "--help":
		_, err := fmt.Fprintf(proc.stdout, usage, d.Name)
		return err
	default:
		fmt.Fprintf(proc.stderr, usage, d.Name)
		return fmt.Errorf("unknown command %q", command)
	}
}

func writeDescription(w io.Writer, d wire.Description) error {
	out, err := json.MarshalIndent(struct {
		Name     string        `json:"name"`
		Version  string        `json:"version"`
		SDK      string        `json:"sdk"`
		Protocol int           `json:"protocol"`
		Services []string      `json:"services"`
		Options  []wire.Option `json:"options"`
	}{d.Name, d.Version, d.SDK, wire.ProtocolVersion, d.Services, d.Options}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode description: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", out)
	return err
}

func writeDocs(w io.Writer, d wire.Description) error {
	var b strings.Builder
	ha := "has no high availability"
	if d.HA {
		ha = "supports high availability"
	}
	fmt.Fprintf(&b, "# Storage %s\n\nVersion %s, %s.\n\n", d.Name, d.Version, ha)
	b.WriteString("| Option | Type | Default | Description |\n|---|---|---|---|\n")
	for _, o := range d.Options {
		text := o.Description
		if o.Required {
			text = "Required. " + text
		}
		if o.Secret {
			text += " (secret: never shown)"
		}
		def := ""
		if o.Default != "" {
			def = "`" + o.Default + "`"
		}
		cell := strings.NewReplacer("|", `\|`, "\n", " ")
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.Name, o.Type, cell.Replace(def), cell.Replace(text))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// serveFlags are the flags of the command serve.
type serveFlags struct {
	socket string // empty: in a new private directory
}

func parseServeFlags(args []string, stderr io.Writer) (serveFlags, error) {
	var f serveFlags
	set := flag.NewFlagSet("serve", flag.ContinueOnError)
	set.SetOutput(stderr)
	debug := set.Bool("debug", false, "serve without a host that started this process")
	set.StringVar(&f.socket, "socket", "", "path of the unix socket; its directory must be private (default: in a new one)")
	if err := set.Parse(args); err != nil {
		return serveFlags{}, err
	}
	if set.NArg() > 0 {
		return serveFlags{}, fmt.Errorf("serve takes no argument %q", set.Arg(0))
	}
	if !*debug {
		return serveFlags{}, errors.New("serve is for development and for hosts that attach: say serve -debug")
	}
	return f, nil
}
