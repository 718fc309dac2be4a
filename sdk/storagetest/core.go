package storagetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
)

// A coreCase checks one promise of storage.Backend.
type coreCase struct {
	name string
	run  func(t *testing.T, s store)
}

var coreCases = []coreCase{
	{"get returns the last value written, also to another client", func(t *testing.T, s store) {
		s.wantAbsent(t, "a")
		s.put(t, "a", "1")
		s.wantValue(t, "a", "1")
		s.put(t, "a", "2")
		other := store{Backend: s.another(), dir: s.dir}
		other.wantValue(t, "a", "2")
		other.put(t, "a", "3")
		s.wantValue(t, "a", "3")
		other.write(t, storage.Delete(s.dir+"a"))
		s.wantAbsent(t, "a")
	}},
	{"delete removes a key and accepts an absent one", func(t *testing.T, s store) {
		s.put(t, "a", "1")
		s.write(t, storage.Delete(s.dir+"a"))
		s.wantAbsent(t, "a")
		s.write(t, storage.Delete(s.dir+"a"))
		s.wantAbsent(t, "a")
	}},
	{"an empty value is a value", func(t *testing.T, s store) {
		s.put(t, "a", "")
		s.wantValue(t, "a", "")
		s.wantNames(t, "", "", 0, "a")
	}},
	{"values are bytes", func(t *testing.T, s store) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		s.put(t, "a", string(every))
		s.wantValue(t, "a", string(every))
	}},
	{"the largest value is stored", func(t *testing.T, s store) {
		limits := s.limits()
		size := min(limits.MaxValueBytes, limits.MaxBatchBytes-len(s.dir)-1)
		value := string(bytes.Repeat([]byte{0xFE}, size))
		s.put(t, "a", value)
		s.wantValue(t, "a", value)
	}},
	{"no two keys are one", noTwoKeysAreOne},
	{"a batch is applied as one", func(t *testing.T, s store) {
		s.put(t, "old", "1")
		s.write(t, storage.Put(s.dir+"new", []byte("2")), storage.Delete(s.dir+"old"), storage.Put(s.dir+"deep/er", []byte("3")))
		s.wantAbsent(t, "old")
		s.wantValue(t, "new", "2")
		s.wantValue(t, "deep/er", "3")
	}},
	{"the largest batch is applied", func(t *testing.T, s store) {
		ops := manyOps(s, s.limits().MaxOps)
		s.write(t, ops...)
		for _, op := range ops {
			s.wantValue(t, strings.TrimPrefix(op.Key, s.dir), string(op.Value))
		}
	}},
	{"list shows one level in byte order", func(t *testing.T, s store) {
		for _, name := range []string{"foo", "foo/bar", "foo/baz/x", "foobar", "fo-o/x", "Z", "é"} {
			s.put(t, name, "v")
		}
		s.wantNames(t, "", "", 0, "Z", "fo-o/", "foo", "foo/", "foobar", "é")
		s.wantNames(t, "foo/", "", 0, "bar", "baz/")
		s.wantNames(t, "foo/baz/", "", 0, "x")
		s.wantNames(t, "foob/", "", 0)
	}},
	{"list goes on after a name, present or not", listPages},
	{"a directory goes with its last key", func(t *testing.T, s store) {
		s.put(t, "a/b/c", "v")
		s.put(t, "a/d", "v")
		s.write(t, storage.Delete(s.dir+"a/b/c"))
		s.wantNames(t, "a/", "", 0, "d")
		s.write(t, storage.Delete(s.dir+"a/d"))
		s.wantNames(t, "", "", 0)
	}},
	{"a call ends with its context", func(t *testing.T, s store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Get(ctx, s.dir+"a"); !errors.Is(err, context.Canceled) {
			t.Errorf("get: got %v, want context.Canceled", err)
		}
		if _, err := s.List(ctx, s.dir, "", 0); !errors.Is(err, context.Canceled) {
			t.Errorf("list: got %v, want context.Canceled", err)
		}
		err := s.Write(ctx, []storage.Op{storage.Put(s.dir+"a", nil)})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("write: got %v, want context.Canceled", err)
		}
	}},
}

func noTwoKeysAreOne(t *testing.T, s store) {
	names := []string{
		"a b", "a+b", "a%20b", "A B", "a%2Fb", "a/b", "a\\b", "caf\u00e9", "cafe\u0301", "\U0001F600",
		"...", "a.", ".a", "~", "*", "?x=1", "#x", "'", `"`, "_", "__", "_/_", "a:b", "\u202Ea",
		strings.Repeat("k", min(s.limits().MaxKeyBytes, storage.MaxKeyBytes/2)-len(s.dir)),
	}
	for _, name := range names {
		s.put(t, name, "value of "+name)
	}
	for _, name := range names {
		s.wantValue(t, name, "value of "+name)
	}
}

func listPages(t *testing.T, s store) {
	var want []string
	for _, op := range manyOps(s, 23) {
		s.write(t, op)
		want = append(want, strings.TrimPrefix(op.Key, s.dir))
	}
	s.put(t, want[3]+"/child", "v") // in both forms
	want = slices.Insert(want, 4, want[3]+"/")
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := s.List(t.Context(), s.dir, after, 5)
		if err != nil || len(page) > 5 {
			t.Fatalf("list after %q: got %q, %v, want at most 5 names", after, page, err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages: got %q, want %q", got, want)
	}
	s.wantNames(t, "", want[20]+"-absent", 2, want[21], want[22])
}

// manyOps returns n small puts of distinct names in byte order.
func manyOps(s store, n int) []storage.Op {
	ops := make([]storage.Op, n)
	for i := range ops {
		name := string([]byte{'a' + byte(i/676%26), 'a' + byte(i/26%26), 'a' + byte(i%26)})
		ops[i] = storage.Put(s.dir+name, []byte(name))
	}
	return ops
}
