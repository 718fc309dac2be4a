package plugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast/holdfast/sdk/spelling"
	"github.com/holdfast/holdfast/sdk/wire"
)

// checkOptions compares the names in the storage stanza with what the plugin says it takes, so
// that a mistyped one is found whatever language the plugin is written in, and before
// anything of the stanza reaches it. Values are the plugin's own to check, and appear in no
// error here. A plugin that lists no options is not checked. The error wraps wire.ErrInvalidConfig,
// as does that of a plugin that refuses its stanza.
func checkOptions(spec Spec, known []wire.Option) error {
	if len(known) == 0 {
		return nil
	}
	names := make([]string, len(known))
	for i, o := range known {
		names[i] = o.Name
	}
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(spec.Options)) {
		if slices.Contains(names, name) {
			continue
		}
		problem := fmt.Sprintf("option %q is unknown", name)
		if near, ok := spelling.Nearest(name, names); ok {
			problem += fmt.Sprintf(", did you mean %q?", near)
		}
		problems = append(problems, spec.place(name)+problem)
	}
	for _, o := range known {
		// The default of a secret is not told; whether there is one only the plugin knows.
		if _, given := spec.Options[o.Name]; o.Required && !given && o.Default == "" && !o.Secret {
			problems = append(problems, spec.place("")+fmt.Sprintf("option %q is required: %s", o.Name, o.Description))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", wire.ErrInvalidConfig, strings.Join(problems, "; "))
}

// place says where an option was set, as far as the spec knows.
func (s Spec) place(option string) string {
	stanza := fmt.Sprintf("storage %q: ", s.Type)
	if s.Place == nil {
		return stanza
	}
	if at := s.Place(option); at != "" {
		return at + ": " + stanza
	}
	return stanza
}
