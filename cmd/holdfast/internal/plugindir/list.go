package plugindir

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"unicode"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/wire"
)

// inspections is how many plugins are started at a time: one that hangs should not hold up the
// others, and a small machine should not start a dozen at once.
const inspections = 4

// entry is what is known of one plugin. It is the JSON of list and info.
type entry struct {
	Type     string        `json:"type"`
	Path     string        `json:"path,omitempty"`
	Attach   string        `json:"attach,omitempty"`
	Version  string        `json:"version,omitempty"`
	Protocol int           `json:"protocol,omitempty"` // 0: it did not answer
	SDK      string        `json:"sdk,omitempty"`
	HA       bool          `json:"ha"`
	LastWill bool          `json:"last_will"`
	Services []string      `json:"services,omitempty"`
	Options  []wire.Option `json:"options,omitempty"`
	SHA256   string        `json:"sha256,omitempty"`
	PinnedBy string        `json:"pinned_by,omitempty"` // config, lock or nothing
	ByName   bool          `json:"executed_by_name"`
	Problem  string        `json:"problem,omitempty"`
}

func newEntry(spec plugin.Spec, found plugin.Inspection) entry {
	d := found.Description
	e := entry{
		Type: spec.Type, Path: found.Path, Attach: spec.Attach, Version: d.Version, SDK: d.SDK, HA: d.HA,
		LastWill: d.LastWill, Services: d.Services, Options: d.Options,
		SHA256: found.SHA256, PinnedBy: found.PinnedBy, ByName: found.ByName,
	}
	if found.Problem != nil {
		e.Problem = found.Problem.Error()
	} else {
		e.Protocol = wire.ProtocolVersion // the host refuses any other
	}
	return e
}

// inspect asks all plugins of specs, some at a time, and returns the answers in their order.
func (i *inspection) inspect(ctx context.Context, specs []plugin.Spec) []entry {
	entries := make([]entry, len(specs))
	slots := make(chan struct{}, inspections)
	var asking sync.WaitGroup
	for n, spec := range specs {
		spec.StartTimeout = i.timeout
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			entries[n] = newEntry(spec, plugin.Inspect(ctx, spec, hclog.NewNullLogger()))
		})
	}
	asking.Wait()
	return entries
}

// listAction is "plugin list".
type listAction struct{ inspection }

func (*listAction) name() string             { return "plugin list" }
func (*listAction) synopsis() string         { return "List the storage plugins of a directory" }
func (*listAction) take(args []string) error { return noArguments(args) }

func (*listAction) help() string {
	return `Usage: holdfast plugin list -plugin-dir=DIR | -config=FILE [-format=json]

  Starts each storage plugin as a server would, asks what it is, and stops it. None is
  configured. One that does not start, or that a server would refuse, is listed with the reason;
  the exit code is 0 all the same.`
}

func (a *listAction) run(ctx context.Context, from source, out io.Writer) (bool, error) {
	specs, err := from.specs()
	if err != nil {
		return false, err
	}
	entries := a.inspect(ctx, specs)
	if a.format == "json" {
		return true, printJSON(out, entries)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TYPE\tVERSION\tPROTOCOL\tSDK\tHA\tPINNED BY\tSHA256")
	for _, e := range entries {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Type, orDash(e.Version), e.protocol(), orDash(e.SDK), e.ha(), e.pinnedBy(), e.shortSHA256())
	}
	if err := table.Flush(); err != nil {
		return false, fmt.Errorf("print the list: %w", err)
	}
	for _, e := range entries {
		if e.Problem != "" {
			fmt.Fprintf(out, "\n%s: %s\n", e.Type, plain(e.Problem))
		}
	}
	return true, nil
}

func (e entry) protocol() string {
	if e.Protocol == 0 {
		return "-"
	}
	return "v" + strconv.Itoa(e.Protocol)
}

func (e entry) ha() string {
	switch {
	case e.Protocol == 0:
		return "-"
	case e.HA:
		return "yes"
	default:
		return "no"
	}
}

func (e entry) pinnedBy() string {
	switch {
	case e.Attach != "":
		return "(attached)"
	case e.PinnedBy == "":
		return "not pinned"
	default:
		return e.PinnedBy
	}
}

// shortSHA256 is enough to see that two nodes have the same program; info shows all of it.
func (e entry) shortSHA256() string { return orDash(e.SHA256[:min(len(e.SHA256), 12)]) }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return plain(text)
}

// plain makes text from a plugin fit for a terminal: one line without control characters.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		default:
			return '?'
		}
	}, text)
}

func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}
