package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

// What only ZooKeeper can get wrong, on one server. Every subtest has a path of its own.
func TestZooKeeper(t *testing.T) {
	t.Parallel()
	server := servers.ZooKeeper(t)
	for name, test := range map[string]func(t *testing.T, b declared){
		"rotation":                         testRotation,
		"put rotates too":                  testPutRotation,
		"versions of a guard":              testGuardVersions,
		"a guard that was written plainly": testPlainGuard,
		"directories vanish":               testDirectoriesVanish,
		"absent deletes":                   testAbsentDeletes,
		"odd keys":                         testOddKeys,
		"foreign nodes":                    testForeignNodes,
		"batches at the limits":            testLimits,
		"watches do not pile up":           testWatchesDoNotPileUp,
		"watch survives its session":       testWatchSurvivesSession,
		"the root of the tree":             testRootOfTree,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := fmt.Sprintf("tests/%x", name)
			if name == "the root of the tree" {
				path = ""
			}
			test(t, openAt(t, server.Address, func(c *Config) { c.Path, c.RecordRotation = path, 5 }))
		})
	}
}

// raw has f look behind the plugin.
func raw[T any](t *testing.T, b declared, f func(*zk.Conn) (T, error)) T {
	t.Helper()
	s, err := b.link.session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	value, err := f(s.zc)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func stat(t *testing.T, b declared, path string) *zk.Stat {
	t.Helper()
	return raw(t, b, func(zc *zk.Conn) (*zk.Stat, error) {
		_, s, err := zc.Get(path)
		return s, err
	})
}

// A record that is committed to many times over never counts beyond record_rotation, no
// version repeats, none is accepted again, and whoever watches follows it.
func testRotation(t *testing.T, b declared) {
	guard := storage.Guard{Key: "hf/term", Value: []byte("same")}
	path := valueNode(b.root, guard.Key)
	var versions []storage.Version
	seen := make(map[storage.Version]bool)
	witnesses := make(map[string]bool)
	for i := range 60 {
		watched := make(chan storage.Item, 1)
		go func(seen storage.Version) {
			item, err := b.Watch(t.Context(), guard.Key, seen)
			if err != nil {
				t.Errorf("watch: %v", err)
			}
			watched <- item
		}(guard.Version)
		guard.Version = mustCommit(t, b, guard, storage.Put(fmt.Sprintf("k%d", i), nil))
		if seen[guard.Version] {
			t.Fatalf("commit %d returned version %q again", i, guard.Version)
		}
		if item := <-watched; item.Version != guard.Version {
			t.Errorf("commit %d: watch returned %q, want %q", i, item.Version, guard.Version)
		}
		seen[guard.Version] = true
		versions = append(versions, guard.Version)
		s, ok := parseVersion(guard.Version)
		if !ok {
			t.Fatalf("version %q is not understood", guard.Version)
		}
		witnesses[s.witness] = true
		if st := stat(t, b, path); st.Version > b.rotation || st.NumChildren != 1 {
			t.Fatalf("commit %d: the node has counted to %d and has %d witnesses, want at most %d and 1", i, st.Version, st.NumChildren, b.rotation)
		}
	}
	if len(witnesses) != 10 {
		t.Errorf("the record had %d lives, want 10", len(witnesses))
	}
	for _, v := range versions[:len(versions)-1] {
		stale := guard
		stale.Version = v
		wantConflict(t, "an old version", b, stale, storage.Delete("k0"))
	}
	if item, err := b.Get(t.Context(), guard.Key); err != nil || item.Version != guard.Version || string(item.Value) != "same" {
		t.Errorf("the guard is %q at %q, %v, want %q", item.Value, item.Version, err, guard.Version)
	}
	if names, err := b.List(t.Context(), "", "", 0); err != nil || len(names) != 61 {
		t.Errorf("list: %d names, %v, want 60 keys and hf/", len(names), err)
	}
}

func testPutRotation(t *testing.T, b declared) {
	seen := make(map[storage.Version]bool)
	for i := range 20 {
		mustWrite(t, b, storage.Put("a/k", []byte("same")))
		item, err := b.Get(t.Context(), "a/k")
		if err != nil || seen[item.Version] {
			t.Fatalf("put %d: version %q, %v, was there before", i, item.Version, err)
		}
		seen[item.Version] = true
		if st := stat(t, b, valueNode(b.root, "a/k")); st.Version > b.rotation {
			t.Errorf("put %d: the node has counted to %d", i, st.Version)
		}
	}
}

func testGuardVersions(t *testing.T, b declared) {
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")}, storage.Put("gone", []byte("x")))
	at, _ := parseVersion(v)
	other := state{witness: newWitness(), changes: at.changes}
	ops := []storage.Op{storage.Put("new", []byte("x")), storage.Delete("gone")}
	for name, guard := range map[string]storage.Guard{
		"create of what exists": {Key: "guard", Value: []byte("2")},
		"absent at a version":   {Key: "other", Version: v, Value: []byte("2")},
		"another life":          {Key: "guard", Version: other.version(), Value: []byte("2")},
		"later in this life":    {Key: "guard", Version: state{witness: at.witness, changes: at.changes + 1}.version()},
		"plain":                 {Key: "guard", Version: state{created: 1, changes: at.changes}.version()},
		"plain and absent":      {Key: "other", Version: state{created: 1}.version()},
		"past the rotation":     {Key: "guard", Version: state{witness: at.witness, changes: b.rotation + 1}.version()},
		"none of ours":          {Key: "guard", Version: "7"},
	} {
		wantConflict(t, name, b, guard, ops...)
	}
	if _, err := b.Get(t.Context(), "new"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a refused commit wrote an op: get gives %v", err)
	}
	if item, err := b.Get(t.Context(), "guard"); err != nil || string(item.Value) != "1" || item.Version != v {
		t.Errorf("the guard is %q at %q, %v, want %q", item.Value, item.Version, err, v)
	}
	if st := stat(t, b, valueNode(b.root, "guard")); st.NumChildren != 1 {
		t.Errorf("the guard has %d witnesses, want 1: refused commits left some", st.NumChildren)
	}
}

// A key that was written without a guard, and deleted and created again, so that it counts
// the same numbers again.
func testPlainGuard(t *testing.T, b declared) {
	get := func() storage.Version {
		t.Helper()
		item, err := b.Get(t.Context(), "guard")
		if err != nil {
			t.Fatal(err)
		}
		return item.Version
	}
	seen := make(map[storage.Version]bool)
	note := func(v storage.Version) storage.Version {
		t.Helper()
		if seen[v] {
			t.Fatalf("version %q repeats", v)
		}
		seen[v] = true
		return v
	}
	value := []byte("same")
	for range 3 {
		mustWrite(t, b, storage.Put("guard", value))
		plain := note(get())
		guarded := note(mustCommit(t, b, storage.Guard{Key: "guard", Version: plain, Value: value}))
		mustWrite(t, b, storage.Put("guard", value))
		again := note(get())
		for old := range seen {
			if old != again {
				wantConflict(t, "an old version", b, storage.Guard{Key: "guard", Version: old, Value: []byte("late")})
			}
		}
		last := note(mustCommit(t, b, storage.Guard{Key: "guard", Version: again, Value: value}))
		if st := stat(t, b, valueNode(b.root, "guard")); st.NumChildren != 1 {
			t.Errorf("the guard has %d witnesses, want 1", st.NumChildren)
		}
		mustWrite(t, b, storage.Delete("guard"))
		for _, old := range []storage.Version{plain, guarded, again, last} {
			wantConflict(t, "a version of a deleted key", b, storage.Guard{Key: "guard", Version: old, Value: value})
		}
	}
}

func testWatchSurvivesSession(t *testing.T, b declared) {
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")})
	type answer struct {
		item storage.Item
		err  error
	}
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		watched := make(chan answer, 1)
		go func() {
			item, err := b.Watch(ctx, "guard", v)
			watched <- answer{item, err}
		}()
		path := valueNode(b.root, "guard")
		poll(t, "wait for the watch", func(ctx context.Context) error {
			s, err := b.link.session(ctx)
			if err != nil {
				return err
			}
			s.mu.Lock()
			set := s.watches[path] != nil
			s.mu.Unlock()
			if !set {
				return errors.New("not set")
			}
			s.lost() // as if the connection broke
			return nil
		})
		v = mustCommit(t, b, storage.Guard{Key: "guard", Version: v, Value: []byte("2")})
		if a := <-watched; a.err != nil || a.item.Version != v {
			t.Errorf("watch: at %q, %v, want %q", a.item.Version, a.err, v)
		}
		cancel()
	}
}

// A watch that is given up is used by the next one.
func testWatchesDoNotPileUp(t *testing.T, b declared) {
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")})
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 20)
		for range cap(ended) {
			go func() {
				_, err := b.Watch(ctx, "guard", v)
				ended <- err
			}()
		}
		cancel()
		for range cap(ended) {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("watch: %v, want context.Canceled", err)
			}
		}
	}
	s, err := b.link.session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.watches) > 1 {
		t.Errorf("%d watches are set, want 1", len(s.watches))
	}
}
