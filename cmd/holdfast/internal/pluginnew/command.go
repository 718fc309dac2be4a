// Package pluginnew is the command "holdfast plugin new": it writes the Go module of a new
// storage plugin, which builds and passes the conformance suite, for its author to go on from.
package pluginnew

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"

	hcli "github.com/hashicorp/cli"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/pluginflags"
)

// Env is what the command uses of the process it runs in.
type Env struct {
	Stdout, Stderr io.Writer
}

// Commands returns "plugin new" by name. It stops when ctx ends.
func Commands(ctx context.Context, env Env) map[string]hcli.CommandFactory {
	return map[string]hcli.CommandFactory{
		"plugin new": func() (hcli.Command, error) { return &command{ctx: ctx, env: env}, nil },
	}
}

// command implements hcli.Command, whose Run has no context of its own.
type command struct {
	ctx context.Context //nolint:containedctx // see above
	env Env
}

// options are the flags and the arguments.
type options struct {
	name   string // storage type
	dir    string // to write to
	module string // path of the new module
	sdk    string // directory of Holdfast's source; empty: look for it
}

// Synopsis implements hcli.Command.
func (c *command) Synopsis() string { return "Write the Go module of a new storage plugin" }

// Help implements hcli.Command.
func (c *command) Help() string {
	var text strings.Builder
	text.WriteString(`Usage: holdfast plugin new [flags] NAME DIR

  Writes a Go module to DIR, which must not exist or be empty: the storage plugin
  NAME, over a local file, with its tests, a Makefile and a workflow for CI. It builds and
  passes the conformance suite; its README lists what to replace for a store of your own.

  The module uses the source of Holdfast on this machine, by a replace line in its go.mod.

  Example: holdfast plugin new mydb ./mydb

Options:
`)
	flags := c.flags(&options{})
	flags.SetOutput(&text)
	flags.PrintDefaults()
	return text.String()
}

func (c *command) flags(o *options) *flag.FlagSet {
	f := flag.NewFlagSet("plugin new", flag.ContinueOnError)
	f.SetOutput(c.env.Stderr)
	f.StringVar(&o.module, "module", "", "`PATH` of the new module, for example example.com/me/mydb (holdfast-storage-NAME)")
	f.StringVar(&o.sdk, "sdk", "", "`DIR` of Holdfast's source (the one this program was built from)")
	return f
}

// parse reads the command line, on which flags may stand before and after the arguments.
func (c *command) parse(args []string) (options, error) {
	var o options
	flags := c.flags(&o)
	rest, err := pluginflags.Parse(flags, args)
	if err != nil {
		return options{}, err
	}
	if len(rest) != 2 {
		return options{}, fmt.Errorf("want a name and a directory, got %d argument(s): holdfast plugin new NAME DIR", len(rest))
	}
	o.name, o.dir = rest[0], rest[1]
	if o.module == "" {
		o.module = programPrefix + o.name
	}
	return o, errors.Join(checkName(o.name), checkModule(o.module))
}

const (
	programPrefix = "holdfast-storage-"
	// maxName keeps the paths of sockets, which contain the name, within their 100 bytes.
	maxName = 32
)

var (
	// typeName is what the server takes for a storage type.
	typeName   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)
	modulePath = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)
)

func checkName(name string) error {
	if bare, ok := strings.CutPrefix(name, programPrefix); ok {
		return fmt.Errorf("name %q: leave %s out, the program gets it by itself: holdfast plugin new %s DIR", name, programPrefix, bare)
	}
	if !typeName.MatchString(name) {
		return fmt.Errorf("name %q: want lower-case letters, digits, - and _, beginning with a letter or digit: "+
			"it is what operators write in storage \"...\"", name)
	}
	if len(name) > maxName {
		return fmt.Errorf("name %q has %d letters, the most is %d", name, len(name), maxName)
	}
	return nil
}

func checkModule(path string) error {
	if !modulePath.MatchString(path) || path == sdkModule || strings.HasPrefix(path, sdkModule+"/") {
		return fmt.Errorf("module path %q: want a path of your own, for example -module example.com/me/mydb", path)
	}
	return nil
}

// Run implements hcli.Command.
func (c *command) Run(args []string) int {
	o, err := c.parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = c.write(o)
	}
	if err != nil {
		fmt.Fprintln(c.env.Stderr, "Error:", err)
		return 1
	}
	return 0
}

// write makes every file before it writes the first, so that what is refused leaves nothing
// behind.
func (c *command) write(o options) error {
	if err := checkDirectory(o.dir); err != nil {
		return err
	}
	source, err := findSource(o.sdk, origins())
	if err != nil {
		return err
	}
	files, err := render(o.name)
	if err != nil {
		return err
	}
	if err := addModule(c.ctx, files, o.module, source); err != nil {
		return err
	}
	if err := files.write(o.dir); err != nil {
		return err
	}
	fmt.Fprintf(c.env.Stdout, `Wrote the storage plugin %[1]q to %[2]s, with the SDK in %[3]s.

  cd %[2]s
  make test      the conformance suite
  make certify   the same on the finished program

What to replace is listed in its README.md.
`, o.name, o.dir, source)
	return nil
}
