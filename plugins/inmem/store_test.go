package inmem

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
)

// FuzzListIsTheSortedSetOfNames compares list, which seeks, with the definition.
func FuzzListIsTheSortedSetOfNames(f *testing.F) {
	f.Add("foo foo/bar foobar fo-o/x foo/baz/y", "", "", 0)
	f.Add("foo foo/bar foobar foo0 foo/", "", "foo/", 2)
	f.Add("a/b/c a/b a/b-d a/b/d", "a/", "b", 1)
	f.Fuzz(func(t *testing.T, words, prefix, after string, limit int) {
		if storage.ValidatePrefix(prefix) != nil {
			return
		}
		s := newStore()
		want := []string{}
		for key := range strings.FieldsSeq(words) {
			if storage.ValidateKey(key) != nil {
				continue
			}
			s.write([]storage.Op{storage.Put(key, nil)})
			rest, below := strings.CutPrefix(key, prefix)
			name, _, isDir := strings.Cut(rest, "/")
			if isDir {
				name += "/"
			}
			if below && name > after {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		want = slices.Compact(want)
		if limit > 0 {
			want = want[:min(limit, len(want))]
		}
		if got := s.list(prefix, after, limit); !slices.Equal(got, want) {
			t.Errorf("keys %q: list %q after %q limit %d: got %q, want %q", s.keys, prefix, after, limit, got, want)
		}
	})
}

func TestVersionsOfAnEarlierProcessMatchNothing(t *testing.T) {
	before, after := newStore(), newStore()
	guard := storage.Guard{Key: "k", Value: []byte("v")}
	v, err := before.commit(guard, nil)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	if _, err := after.commit(guard, nil); err != nil {
		t.Fatalf("commit: %v", err)
	}
	guard.Version = v
	if _, err := after.commit(guard, nil); err == nil {
		t.Error("a version of another store was accepted")
	}
}

func TestCallersMayChangeTheirSlices(t *testing.T) {
	s := newStore()
	value := []byte("value")
	s.write([]storage.Op{storage.Put("k", value)})
	value[0] = 'X'
	item, err := s.get("k")
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	item.Value[1] = 'X'
	if got, _ := s.get("k"); string(got.Value) != "value" {
		t.Errorf("got %q, want value", got.Value)
	}
}
