package storage

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// OneLevel returns what Backend.List returns where keys are all that there are: for
// backends whose store knows no directories and gives its keys in any order. It looks at
// every key, so it is for stores that hold few of them.
func OneLevel(keys iter.Seq[string], prefix, after string, limit int) []string {
	found := map[string]struct{}{}
	for key := range keys {
		rest, below := strings.CutPrefix(key, prefix)
		name, _, isDirectory := strings.Cut(rest, "/")
		if isDirectory {
			name += "/"
		}
		if below && name > after {
			found[name] = struct{}{}
		}
	}
	names := slices.Sorted(maps.Keys(found))
	if limit > 0 {
		names = names[:min(limit, len(names))]
	}
	return names
}
