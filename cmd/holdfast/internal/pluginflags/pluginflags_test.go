package pluginflags_test

import (
	"flag"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/pluginflags"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]struct {
		rest    string
		options map[string]any
		verbose bool
		bad     bool
	}{
		"":                        {},
		"bin":                     {rest: "bin"},
		"-config a=1 bin":         {rest: "bin", options: map[string]any{"a": "1"}},
		"bin -config a=1":         {rest: "bin", options: map[string]any{"a": "1"}},
		"bin -v other -config=a=": {rest: "bin other", options: map[string]any{"a": ""}, verbose: true},
		"-config a=1 -config a=2": {options: map[string]any{"a": "2"}},
		"-config a=b=c":           {options: map[string]any{"a": "b=c"}},
		"-v -- -config a=1":       {rest: "-config a=1", verbose: true},
		"bin -- -v -v":            {rest: "bin -v -v"},
		"-config --":              {bad: true},
		"-config =1":              {bad: true},
		"-config":                 {bad: true},
		"bin -unknown":            {bad: true},
	} {
		flags := flag.NewFlagSet("test", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		verbose := flags.Bool("v", false, "")
		options := make(map[string]any)
		flags.Func("config", "", pluginflags.Assign(options))
		rest, err := pluginflags.Parse(flags, strings.Fields(line))
		switch {
		case want.bad != (err != nil):
			t.Errorf("%q: %v, want an error: %t", line, err, want.bad)
		case want.bad:
		case !slices.Equal(rest, strings.Fields(want.rest)) || !maps.Equal(options, want.options) || *verbose != want.verbose:
			t.Errorf("%q: arguments %q, options %v, -v %t; want %q, %v, %t", line, rest, options, *verbose, want.rest, want.options, want.verbose)
		}
	}
}
