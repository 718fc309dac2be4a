package inmem_test

import (
	"context"
	"crypto/sha256"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/plugins/inmem"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

// mutant names the variable that makes a run of this binary test a broken backend.
const mutant = "INMEM_TEST_MUTANT"

// honest is what a mutant is made from.
type honest = storage.HABackend

// mutants are backends that break one promise each, and the case of the suite that has to
// notice. A case that catches nothing proves nothing.
var mutants = map[string]struct {
	caughtBy string
	make     func(*inmem.Backend) storage.Backend
}{
	"reads from its own memory":   {"get_returns_the_last_value_written,_also_to_another_client", func(b *inmem.Backend) storage.Backend { return &caching{honest: b, seen: map[string]storage.Item{}} }},
	"ignores the guard":           {"a_conflict_applies_nothing", func(b *inmem.Backend) storage.Backend { return unguarded{b} }},
	"applies, then checks":        {"a_conflict_applies_nothing", func(b *inmem.Backend) storage.Backend { return applyFirst{b} }},
	"checks, then applies":        {"of_64_racers_one_wins", func(b *inmem.Backend) storage.Backend { return checkFirst{b} }},
	"takes values for versions":   {"a_version_is_never_used_twice", func(b *inmem.Backend) storage.Backend { return valueVersions{b} }},
	"creates over a guard":        {"commit_creates_an_absent_guard_once", func(b *inmem.Backend) storage.Backend { return overwriting{b} }},
	"takes empty for absent":      {"an_empty_value_is_a_value", func(b *inmem.Backend) storage.Backend { return emptyAbsent{b} }},
	"folds case":                  {"no_two_keys_are_one", func(b *inmem.Backend) storage.Backend { return folding{b} }},
	"writes op by op, the first":  {"a_batch_is_applied_as_one", func(b *inmem.Backend) storage.Backend { return firstOnly{b} }},
	"lists in no order":           {"list_shows_one_level_in_byte_order", func(b *inmem.Backend) storage.Backend { return reversed{b} }},
	"forgets the place in a list": {"list_goes_on_after_a_name,_present_or_not", func(b *inmem.Backend) storage.Backend { return firstPage{b} }},
	"ignores the context":         {"a_call_ends_with_its_context", func(b *inmem.Backend) storage.Backend { return deaf{b} }},
	"wakes for nothing":           {"watch_wakes_when_the_key_is_created,_changed_or_deleted", func(b *inmem.Backend) storage.Backend { return restless{b} }},
}

func TestSuiteCatchesEveryMutant(t *testing.T) {
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestMutant$", "-test.v")
			cmd.Env = append(os.Environ(), mutant+"="+name)
			out, _ := cmd.CombinedOutput() // it fails; how is the question
			if !strings.Contains(string(out), "--- FAIL: TestMutant/"+m.caughtBy) {
				t.Errorf("not caught by %q:\n%s", m.caughtBy, out)
			}
		})
	}
}

// TestMutant is what TestSuiteCatchesEveryMutant runs; by itself it tests the honest one.
func TestMutant(t *testing.T) {
	plugin := inmem.New()
	storagetest.Run(t, func(t *testing.T) storage.Backend {
		b := open(t, plugin, plugin.Defaults)
		if m, ok := mutants[os.Getenv(mutant)]; ok {
			return m.make(b)
		}
		return b
	})
}

type caching struct {
	honest

	mu   sync.Mutex // guards seen
	seen map[string]storage.Item
}

func (b *caching) Get(ctx context.Context, key string) (storage.Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if item, ok := b.seen[key]; ok {
		return item, nil
	}
	item, err := b.honest.Get(ctx, key)
	if err == nil {
		b.seen[key] = item
	}
	return item, err
}

type unguarded struct{ honest }

func (b unguarded) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	item, _ := b.Get(ctx, g.Key)
	g.Version = item.Version
	return b.honest.Commit(ctx, g, ops)
}

type applyFirst struct{ honest }

func (b applyFirst) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	if err := b.Write(ctx, ops); err != nil {
		return "", err
	}
	return b.honest.Commit(ctx, g, nil)
}

type checkFirst struct{ honest }

func (b checkFirst) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	if item, _ := b.Get(ctx, g.Key); item.Version != g.Version {
		return "", storage.ErrConflict
	}
	for range 100 { // others come in between
		runtime.Gosched()
	}
	return unguarded{b.honest}.Commit(ctx, g, ops)
}

type valueVersions struct{ honest }

func (b valueVersions) Get(ctx context.Context, key string) (storage.Item, error) {
	item, err := b.honest.Get(ctx, key)
	if err == nil {
		sum := sha256.Sum256(item.Value)
		item.Version = storage.Version(sum[:])
	}
	return item, err
}

func (b valueVersions) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	item, err := b.honest.Get(ctx, g.Key)
	if old := sha256.Sum256(item.Value); err == nil && storage.Version(old[:]) != g.Version {
		return "", storage.ErrConflict
	}
	g.Version = item.Version
	if _, err := b.honest.Commit(ctx, g, ops); err != nil {
		return "", err
	}
	sum := sha256.Sum256(g.Value)
	return storage.Version(sum[:]), nil
}

type overwriting struct{ honest }

func (b overwriting) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	if g.Version == "" {
		return unguarded{b.honest}.Commit(ctx, g, ops)
	}
	return b.honest.Commit(ctx, g, ops)
}

type emptyAbsent struct{ honest }

func (b emptyAbsent) Get(ctx context.Context, key string) (storage.Item, error) {
	item, err := b.honest.Get(ctx, key)
	if err == nil && len(item.Value) == 0 {
		return storage.Item{}, storage.ErrNotFound
	}
	return item, err
}

type folding struct{ honest }

func (b folding) Get(ctx context.Context, key string) (storage.Item, error) {
	return b.honest.Get(ctx, strings.ToLower(key))
}

func (b folding) Write(ctx context.Context, ops []storage.Op) error {
	folded := slices.Clone(ops)
	for i := range folded {
		folded[i].Key = strings.ToLower(folded[i].Key)
	}
	return b.honest.Write(ctx, folded)
}

type firstOnly struct{ honest }

func (b firstOnly) Write(ctx context.Context, ops []storage.Op) error {
	return b.honest.Write(ctx, ops[:1])
}

type reversed struct{ honest }

func (b reversed) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	names, err := b.honest.List(ctx, prefix, after, limit)
	slices.Reverse(names)
	return names, err
}

// firstPage starts over whenever the name to go on after is gone.
type firstPage struct{ honest }

func (b firstPage) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if _, err := b.Get(ctx, prefix+strings.TrimSuffix(after, "/")); err != nil {
		after = ""
	}
	return b.honest.List(ctx, prefix, after, limit)
}

type deaf struct{ honest }

func (b deaf) Get(ctx context.Context, key string) (storage.Item, error) {
	return b.honest.Get(context.WithoutCancel(ctx), key)
}

type restless struct{ honest }

func (b restless) Watch(ctx context.Context, key string, _ storage.Version) (storage.Item, error) {
	return b.Get(ctx, key)
}
