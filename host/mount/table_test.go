package mount_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/internal/fakestore"
	"github.com/holdfast/holdfast/host/mount"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

func newTable(s *fakestore.Store) *mount.Table { return mount.NewTable(s, hclog.NewNullLogger()) }

func enable(t *testing.T, table *mount.Table, path string) mount.Entry {
	t.Helper()
	e, err := table.Enable(t.Context(), mount.Entry{Path: path, Type: "kv"})
	if err != nil {
		t.Fatalf("enable %s: %v", path, err)
	}
	return e
}

func TestEnableAndLookup(t *testing.T) {
	s := fakestore.New()
	table := newTable(s)
	for _, path := range []string{"secret", "team/a/", "a-b", "a", "a!"} {
		enable(t, table, path)
	}
	other := newTable(s) // another node
	for path, want := range map[string]string{
		"secret": "secret/", "secret/": "secret/", "secret/x/y": "secret/", "secretx/y": "", "team": "",
		"team/a": "team/a/", "team/a/b": "team/a/", "team/b": "", "a/zzz": "a/", "a-b/c": "a-b/", "a!/x": "a!/", "zz": "",
	} {
		e, err := other.Lookup(t.Context(), path)
		if e.Path != want || (want == "") != errors.Is(err, mount.ErrNotFound) {
			t.Errorf("Lookup(%q) = %q, %v, want %q", path, e.Path, err, want)
		}
	}
}

func TestEnableRefuses(t *testing.T) {
	table := newTable(fakestore.New())
	enable(t, table, "team/a")
	for _, tc := range []struct {
		name  string
		entry mount.Entry
		want  error
	}{
		{"same", mount.Entry{Path: "team/a/", Type: "kv"}, mount.ErrConflict},
		{"inside", mount.Entry{Path: "team/a/b", Type: "kv"}, mount.ErrConflict},
		{"around", mount.Entry{Path: "team", Type: "kv"}, mount.ErrConflict},
		{"sys", mount.Entry{Path: "sys", Type: "kv"}, mount.ErrInvalid},
		{"below auth", mount.Entry{Path: "auth/x", Type: "kv"}, mount.ErrInvalid},
		{"cubbyhole", mount.Entry{Path: "cubbyhole/", Type: "kv"}, mount.ErrInvalid},
		{"identity", mount.Entry{Path: "identity/x/", Type: "kv"}, mount.ErrInvalid},
		{"empty", mount.Entry{Path: "/", Type: "kv"}, mount.ErrInvalid},
		{"dots", mount.Entry{Path: "a/../b", Type: "kv"}, mount.ErrInvalid},
		{"two slashes", mount.Entry{Path: "a//b", Type: "kv"}, mount.ErrInvalid},
		{"control", mount.Entry{Path: "a\nb", Type: "kv"}, mount.ErrInvalid},
		{"invisible", mount.Entry{Path: "a\u200bb", Type: "kv"}, mount.ErrInvalid},
		{"long", mount.Entry{Path: strings.Repeat("x", 257), Type: "kv"}, mount.ErrInvalid},
		{"type", mount.Entry{Path: "x", Type: "pki"}, mount.ErrInvalid},
		{"version", mount.Entry{Path: "x", Type: "kv", Options: map[string]string{"version": "3"}}, mount.ErrInvalid},
		{"option", mount.Entry{Path: "x", Type: "kv", Options: map[string]string{"colour": "2"}}, mount.ErrInvalid},
		{"contradiction", mount.Entry{Path: "x", Type: "kv-v1", Options: map[string]string{"version": "2"}}, mount.ErrInvalid},
		{"description", mount.Entry{Path: "x", Type: "kv", Description: strings.Repeat("d", 1025)}, mount.ErrInvalid},
	} {
		if _, err := table.Enable(t.Context(), tc.entry); !errors.Is(err, tc.want) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestOneOfManyEnablesWins(t *testing.T) {
	s := fakestore.New()
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = newTable(s).Enable(t.Context(), mount.Entry{Path: "same", Type: "kv"})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, mount.ErrConflict):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d enables of one path won, want 1", won)
	}
}

func TestUnknownOutcomeIsSeen(t *testing.T) {
	s := fakestore.New()
	table := newTable(s)
	enable(t, table, "before")
	// The write of another table over the same store is applied, and this one never heard of it.
	enable(t, newTable(s), "applied")
	if _, err := table.Lookup(t.Context(), "applied/x"); err != nil {
		t.Errorf("a mount that is in the store is not found: %v", err)
	}
}

func TestTune(t *testing.T) {
	table := newTable(fakestore.New())
	before := enable(t, table, "secret")
	err := table.Tune(t.Context(), "secret", func(e *mount.Entry) {
		e.Description, e.Config.MaxLeaseTTL, e.ID, e.Path = "new", time.Hour, "stolen", "elsewhere/"
	})
	if err != nil {
		t.Fatal(err)
	}
	after, err := table.Lookup(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	if after.Description != "new" || after.Config.MaxLeaseTTL != time.Hour || after.ID != before.ID {
		t.Errorf("tuned entry = %+v", after)
	}
	for name, change := range map[string]func(*mount.Entry){
		"version":  func(e *mount.Entry) { e.Options = map[string]string{"version": "2"} },
		"negative": func(e *mount.Entry) { e.Config.MaxLeaseTTL = -1 },
		"order":    func(e *mount.Entry) { e.Config.DefaultLeaseTTL = 2 * time.Hour },
	} {
		if err := table.Tune(t.Context(), "secret", change); !errors.Is(err, mount.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
	if err := table.Tune(t.Context(), "none", func(*mount.Entry) {}); !errors.Is(err, mount.ErrNotFound) {
		t.Errorf("tune of no mount: error %v, want ErrNotFound", err)
	}
}

func fill(t *testing.T, s *fakestore.Store, dir string) {
	t.Helper()
	for i := range 40 {
		for _, key := range []string{fmt.Sprintf("data/k%02d", i), fmt.Sprintf("data/k%02d/1", i), "config"} {
			if err := s.Put(t.Context(), dir+key, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDisableRemovesTheDataAlsoAfterACrash(t *testing.T) {
	s := fakestore.New()
	table := newTable(s)
	gone, kept := enable(t, table, "gone"), enable(t, table, "kept")
	fill(t, s, gone.DataDir())
	fill(t, s, kept.DataDir())
	keptKeys := len(s.Keys(kept.DataDir()))
	if err := table.Disable(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	again := enable(t, table, "gone") // the path is free at once
	if again.ID == gone.ID {
		t.Fatal("the new mount has the removed one's data")
	}
	commits := 0
	s.Fault = func(op, _ string) error {
		if op == "commit" {
			if commits++; commits == 3 {
				return store.ErrNotActive // the node stops being active in the middle
			}
		}
		return nil
	}
	if err := table.FinishRemovals(t.Context()); !errors.Is(err, store.ErrNotActive) {
		t.Fatalf("interrupted removal: error %v", err)
	}
	if len(s.Keys(gone.DataDir())) == 0 {
		t.Fatal("nothing is left to resume")
	}
	if err := newTable(s).FinishRemovals(t.Context()); err != nil { // the next active node
		t.Fatal(err)
	}
	if left := s.Keys(gone.DataDir()); len(left) != 0 {
		t.Errorf("%d keys of the removed mount are left", len(left))
	}
	if got := len(s.Keys(kept.DataDir())); got != keptKeys {
		t.Errorf("the other mount has %d keys, want %d", got, keptKeys)
	}
	if err := table.Disable(t.Context(), "nowhere"); !errors.Is(err, mount.ErrNotFound) {
		t.Errorf("disable of no mount: error %v, want ErrNotFound", err)
	}
}

func TestRemovalWaitsForRequestsInTheMount(t *testing.T) {
	s := fakestore.New()
	table := newTable(s)
	e := enable(t, table, "secret")
	held, release, err := table.Acquire(t.Context(), "secret/x")
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Disable(t.Context(), "secret"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := table.Acquire(t.Context(), "secret/x"); !errors.Is(err, mount.ErrNotFound) {
		t.Errorf("acquire after disable: error %v, want ErrNotFound", err)
	}
	// The request that was under way writes last.
	if err := s.Put(t.Context(), held.DataDir()+"data/late", []byte("x")); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := table.FinishRemovals(soon); !errors.Is(err, context.DeadlineExceeded) || len(s.Keys(e.DataDir())) != 1 {
		t.Errorf("data was removed under a request: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { table.Run(ctx) })
	release()
	for deadline := time.Now().Add(5 * time.Second); len(s.Keys(e.DataDir())) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("the late write stays behind")
		}
	}
	stop()
	wg.Wait()
}

func TestFullTable(t *testing.T) {
	table := newTable(fakestore.New())
	var err error
	for i := range 100 {
		if _, err = table.Enable(t.Context(), mount.Entry{
			Path: fmt.Sprintf("m%03d", i), Type: "kv", Description: strings.Repeat("d", 1000),
		}); err != nil {
			break
		}
	}
	if !errors.Is(err, storage.ErrTooLarge) || !strings.Contains(err.Error(), "mount table is full") {
		t.Errorf("error %v, want one that says the mount table is full", err)
	}
	if err := table.Disable(t.Context(), "m000"); err != nil {
		t.Errorf("a full table can not be emptied: %v", err)
	}
}

func TestStrictDecode(t *testing.T) {
	for name, raw := range map[string]string{
		"not json": `x`, "no format": `{}`, "newer": `{"format":2,"mounts":[]}`,
		"unknown field": `{"format":1,"mounts":[],"removing":[],"x":1}`,
		"no id":         `{"format":1,"mounts":[{"path":"a/","type":"kv"}]}`,
		"order":         `{"format":1,"mounts":[{"path":"b/","type":"kv","id":"1"},{"path":"a/","type":"kv","id":"2"}]}`,
		"empty removal": `{"format":1,"removing":[""]}`,
	} {
		s := fakestore.New()
		if err := s.Put(t.Context(), mount.Key, []byte(raw)); err != nil {
			t.Fatal(err)
		}
		if err := newTable(s).Load(t.Context()); err == nil {
			t.Errorf("%s: loaded without an error", name)
		}
	}
}
