// Package pluginflags parses the command lines of the plugin commands alike.
package pluginflags

import (
	"errors"
	"flag"
	"strings"
)

// Parse parses flags that may stand before, between and after the other arguments, which it
// returns. A "--" ends the flags, as everywhere.
func Parse(flags *flag.FlagSet, args []string) (rest []string, err error) {
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		parsed := args[:len(args)-flags.NArg()]
		if args = flags.Args(); len(parsed) > 0 && parsed[len(parsed)-1] == "--" {
			return append(rest, args...), nil
		}
		if len(args) > 0 {
			rest, args = append(rest, args[0]), args[1:]
		}
	}
	return rest, nil
}

// Assign returns the parser of a flag NAME=VALUE that may be repeated. It collects what is given
// in options, as a storage stanza would hold it.
func Assign(options map[string]any) func(string) error {
	return func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return errors.New("want NAME=VALUE")
		}
		options[name] = value
		return nil
	}
}
