package storagetest

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// A haCase checks one promise of storage.HABackend.
type haCase struct {
	name string
	run  func(t *testing.T, s haStore)
}

type haStore struct{ store }

func (s haStore) ha() storage.HABackend { return s.Backend.(storage.HABackend) } //nolint:errcheck // Run asked

func (s haStore) guard(version storage.Version, prev, value string) storage.Guard {
	return storage.Guard{Key: s.dir + "guard", Version: version, Prev: []byte(prev), Value: []byte(value)}
}

func (s haStore) commit(t *testing.T, g storage.Guard, ops ...storage.Op) storage.Version {
	t.Helper()
	version, err := s.ha().Commit(t.Context(), g, ops)
	if err != nil || version == "" || version == g.Version {
		t.Fatalf("commit at version %q: got %q, %v, want a new version", g.Version, version, err)
	}
	return version
}

func (s haStore) wantConflict(t *testing.T, g storage.Guard, ops ...storage.Op) {
	t.Helper()
	if v, err := s.ha().Commit(t.Context(), g, ops); !errors.Is(err, storage.ErrConflict) {
		t.Fatalf("commit at version %q: got %q, %v, want ErrConflict", g.Version, v, err)
	}
}

var haCases = []haCase{
	{"commit creates an absent guard once", func(t *testing.T, s haStore) {
		v := s.commit(t, s.guard("", "", "1"), storage.Put(s.dir+"a", []byte("x")))
		s.wantConflict(t, s.guard("", "", "1"), storage.Put(s.dir+"a", []byte("y")))
		s.wantValue(t, "a", "x")
		if got := s.wantValue(t, "guard", "1"); got != v {
			t.Errorf("version: get says %q, commit said %q", got, v)
		}
	}},
	{"a conflict applies nothing", func(t *testing.T, s haStore) {
		s.put(t, "b", "kept")
		stale := s.commit(t, s.guard("", "", "1"))
		s.commit(t, s.guard(stale, "1", "2"))
		ops := []storage.Op{storage.Put(s.dir+"a", nil), storage.Delete(s.dir + "b"), storage.Put(s.dir+"c/d", nil)}
		s.wantConflict(t, s.guard(stale, "1", "3"), ops...)
		s.wantConflict(t, s.guard(stale, "1", "2"), ops...) // though the value is the same
		s.wantAbsent(t, "a")
		s.wantValue(t, "b", "kept")
		s.wantAbsent(t, "c/d")
		s.wantValue(t, "guard", "2")
	}},
	{"an absent guard is at no other version", func(t *testing.T, s haStore) {
		v := s.commit(t, s.guard("", "", "1"))
		s.write(t, storage.Delete(s.dir+"guard"))
		s.wantConflict(t, s.guard(v, "1", "2"))
		s.wantAbsent(t, "guard")
	}},
	{"a version is never used twice", versionsAreNeverReused},
	{"the largest batch is committed", func(t *testing.T, s haStore) {
		ops := manyOps(s.store, s.limits().MaxOps)
		s.commit(t, s.guard("", "", "1"), ops...)
		for _, op := range ops {
			s.wantValue(t, strings.TrimPrefix(op.Key, s.dir), string(op.Value))
		}
	}},
	{"of 64 racers one wins", oneRacerWins},
	{"watch returns at once if the version is another", func(t *testing.T, s haStore) {
		v := s.commit(t, s.guard("", "", "1"))
		for _, seen := range []storage.Version{"", v} {
			if seen == v {
				s.commit(t, s.guard(v, "1", "2"))
			}
			item, err := s.watch(t, seen)
			if err != nil || item.Version == seen {
				t.Errorf("watch from %q: got %q, %v, want another version", seen, item.Version, err)
			}
		}
		s.write(t, storage.Delete(s.dir+"guard"))
		if _, err := s.watch(t, v); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("watch of a deleted key: got %v, want ErrNotFound", err)
		}
	}},
	{"watch wakes when the key is created, changed or deleted", watchWakes},
	{"watch ends with its context", func(t *testing.T, s haStore) {
		v := s.commit(t, s.guard("", "", "1"))
		ctx, cancel := context.WithTimeout(t.Context(), grace)
		defer cancel()
		if item, err := s.ha().Watch(ctx, s.dir+"guard", v); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("watch: got %q, %v, want context.DeadlineExceeded", item.Version, err)
		}
	}},
	{"commit and get are linearizable", linearizable},
}

func versionsAreNeverReused(t *testing.T, s haStore) {
	seen := make(map[storage.Version]bool)
	var v storage.Version
	prev := ""
	for i := range 40 {
		if v = s.commit(t, s.guard(v, prev, "same")); seen[v] {
			t.Fatalf("commit %d: version %q was returned before", i, v)
		}
		seen[v], prev = true, "same"
		if i%10 == 9 { // nor after the key was deleted
			s.write(t, storage.Delete(s.dir+"guard"))
			v, prev = "", ""
		}
	}
}

func oneRacerWins(t *testing.T, s haStore) {
	v := s.commit(t, s.guard("", "", "start"))
	var wins, conflicts atomic.Int32
	var racers sync.WaitGroup
	start := make(chan struct{})
	for i := range 64 {
		racers.Go(func() {
			<-start
			me := strconv.Itoa(i)
			_, err := s.ha().Commit(t.Context(), s.guard(v, "start", me), []storage.Op{storage.Put(s.dir+"winner", []byte(me))})
			switch {
			case err == nil:
				wins.Add(1)
			case errors.Is(err, storage.ErrConflict):
				conflicts.Add(1)
			default:
				t.Errorf("racer %d: %v", i, err)
			}
		})
	}
	close(start)
	racers.Wait()
	if wins.Load() != 1 || conflicts.Load() != 63 {
		t.Errorf("got %d winners and %d conflicts, want 1 and 63", wins.Load(), conflicts.Load())
	}
	item, err := s.Get(t.Context(), s.dir+"guard")
	if err != nil {
		t.Fatalf("get the guard: %v", err)
	}
	s.wantValue(t, "winner", string(item.Value))
}

func (s haStore) watch(t *testing.T, seen storage.Version) (storage.Item, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return s.ha().Watch(ctx, s.dir+"guard", seen)
}

func watchWakes(t *testing.T, s haStore) {
	var v storage.Version
	steps := []struct {
		name   string
		change func()
	}{
		{"created", func() { v = s.commit(t, s.guard("", "", "1")) }},
		{"changed", func() { v = s.commit(t, s.guard(v, "1", "1")) }},
		{"deleted", func() { s.write(t, storage.Delete(s.dir+"guard")); v = "" }},
	}
	for _, step := range steps {
		type result struct {
			item storage.Item
			err  error
		}
		seen, done := v, make(chan result, 1)
		go func() {
			item, err := s.watch(t, seen)
			done <- result{item, err}
		}()
		select {
		case got := <-done:
			t.Fatalf("before it was %s: watch returned %q, %v", step.name, got.item.Version, got.err)
		case <-time.After(grace):
		}
		step.change()
		got := <-done
		if v == "" && !errors.Is(got.err, storage.ErrNotFound) {
			t.Fatalf("%s: watch returned %v, want ErrNotFound", step.name, got.err)
		}
		if v != "" && (got.err != nil || got.item.Version != v) {
			t.Fatalf("%s: watch returned %q, %v, want version %q", step.name, got.item.Version, got.err, v)
		}
	}
}
