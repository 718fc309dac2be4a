package plugindir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/spelling"
	"github.com/holdfast/holdfast/sdk/wire"
)

// infoAction is "plugin info".
type infoAction struct {
	inspection

	plugin string
}

func (*infoAction) name() string     { return "plugin info" }
func (*infoAction) synopsis() string { return "Show all that is known of one storage plugin" }

func (*infoAction) help() string {
	return `Usage: holdfast plugin info TYPE -plugin-dir=DIR | -config=FILE [-format=json]

  Starts the storage plugin of TYPE as a server would, asks what it is and which options it
  takes, and stops it. It is not configured. The exit code is 1 if a server would refuse it,
  or if it does not answer.

  Example: holdfast plugin info consul -plugin-dir=/usr/lib/holdfast/plugins`
}

func (a *infoAction) take(args []string) error {
	if len(args) != 1 {
		return errors.New("say which plugin: holdfast plugin info TYPE -plugin-dir=DIR")
	}
	a.plugin = strings.TrimPrefix(args[0], plugin.ProgramPrefix) // what one sees in the directory
	return nil
}

func (a *infoAction) run(ctx context.Context, from source, out io.Writer) (bool, error) {
	specs, err := from.specs()
	if err != nil {
		return false, err
	}
	var types []string
	for _, spec := range specs {
		if spec.Type == a.plugin {
			e := a.inspect(ctx, []plugin.Spec{spec})[0]
			return e.Problem == "", a.print(e, out)
		}
		types = append(types, spec.Type)
	}
	if near, ok := spelling.Nearest(a.plugin, types); ok {
		return false, fmt.Errorf("no plugin for storage %q, did you mean %q?", a.plugin, near)
	}
	return false, fmt.Errorf("no plugin for storage %q: there are plugins for %s", a.plugin, strings.Join(types, ", "))
}

func (a *infoAction) print(e entry, out io.Writer) error {
	if a.format == "json" {
		return printJSON(out, e)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, plain(value))
		}
	}
	line("Type", e.Type)
	line("Problem", e.Problem)
	line("Path", e.Path)
	line("Attached to", e.Attach)
	line("Version", e.Version)
	line("Protocol", e.protocol())
	line("SDK", e.SDK)
	line("High availability", e.ha())
	line("Services", strings.Join(e.Services, ", "))
	line("SHA256", e.SHA256)
	line("Pinned by", e.pinnedBy())
	if e.ByName && e.Path != "" {
		line("Executed", "by name, as scripts are: a sha256 covers neither the interpreter nor what it loads")
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return printOptions(e.Options, out)
}

func printOptions(options []wire.Option, out io.Writer) error {
	if len(options) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nOptions of its storage stanza:")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, o := range options {
		about := o.Description
		switch {
		case o.Required && o.Default == "":
			about = "(required) " + about
		case o.Default != "":
			about = fmt.Sprintf("(%s) %s", o.Default, about)
		}
		if o.Secret {
			about += " [secret]"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", plain(o.Name), plain(o.Type), plain(about))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the options: %w", err)
	}
	return nil
}
