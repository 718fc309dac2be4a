package storage_test

import (
	"slices"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
)

func TestOneLevel(t *testing.T) {
	keys := []string{"b/y", "a", "b", "b/x", "b.c", "bb/z/1", "b/x/1"}
	for _, c := range []struct {
		prefix, after string
		limit         int
		want          []string
	}{
		{"", "", 0, []string{"a", "b", "b.c", "b/", "bb/"}},
		{"", "", 2, []string{"a", "b"}},
		{"", "b.c", 0, []string{"b/", "bb/"}},
		{"", "b/", 9, []string{"bb/"}},
		{"b/", "", 0, []string{"x", "x/", "y"}},
		{"b/x/", "", 0, []string{"1"}},
		{"c/", "", 0, nil},
	} {
		if got := storage.OneLevel(slices.Values(keys), c.prefix, c.after, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("prefix %q after %q limit %d: %q, want %q", c.prefix, c.after, c.limit, got, c.want)
		}
	}
}
