package kv_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/kv"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestDeleteUndeleteDestroy(t *testing.T) {
	f := newFixture(t)
	for i := range 3 {
		f.put("a", fmt.Sprintf(`{"n":%d}`, i+1))
	}
	f.noError(f.Delete(t.Context(), "a"))
	f.noError(f.DeleteVersions(t.Context(), "a", []int{1, 99}))
	f.want("a", 0, "")
	f.want("a", 1, "")
	f.want("a", 2, `{"n":2}`)
	f.noError(f.Undelete(t.Context(), "a", []int{1, 3}))
	f.want("a", 1, `{"n":1}`)
	f.want("a", 3, `{"n":3}`)
	f.noError(f.Destroy(t.Context(), "a", []int{2, 2}))
	f.noError(f.Undelete(t.Context(), "a", []int{2}))
	f.want("a", 2, "")
	if keys := f.store.Keys(dir + "data/a/2"); len(keys) != 0 {
		t.Errorf("the destroyed data is still stored: %q", keys)
	}
	// What does not exist is passed over.
	f.noError(f.Delete(t.Context(), "none"))
	f.noError(f.Destroy(t.Context(), "none", []int{1}))
	if keys := f.store.Keys(dir + "meta/none"); len(keys) != 0 {
		t.Errorf("deleting made %q", keys)
	}
	for _, bad := range [][]int{nil, {0}, {-1}, make([]int, 1001)} {
		if err := f.Destroy(t.Context(), "a", bad); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("destroy of %d versions: error %v, want ErrInvalid", len(bad), err)
		}
	}
}

func TestMaxVersions(t *testing.T) {
	f := newFixture(t)
	for range 12 {
		f.put("a", `{}`)
	}
	m, err := f.Metadata(t.Context(), "a")
	if err != nil || m.Current != 12 || m.Oldest != 3 || len(m.Versions) != 10 || m.Versions[0].Number != 3 {
		t.Errorf("metadata = %+v, %v, want versions 3 to 12", m, err)
	}
	f.noError(f.SetMetadata(t.Context(), "a", true, kv.MetadataChange{SettingsChange: kv.SettingsChange{MaxVersions: new(100)}}))
	for range 60 {
		f.put("a", `{}`)
	}
	f.noError(f.SetMetadata(t.Context(), "a", true, kv.MetadataChange{SettingsChange: kv.SettingsChange{MaxVersions: new(2)}}))
	f.put("a", `{}`)
	if _, err := f.Get(t.Context(), "a", 50); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("a version past max_versions: error %v, want ErrNotFound", err)
	}
	for range 12 { // later writes delete what the first could not
		f.put("a", `{}`)
	}
	if keys := f.store.Keys(dir + "data/a/"); len(keys) != 2 {
		t.Errorf("%d versions are stored, want 2", len(keys))
	}
	for _, n := range []int{-1, 1001} {
		if err := f.SetConfig(t.Context(), kv.SettingsChange{MaxVersions: &n}); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("max_versions %d: error %v, want ErrInvalid", n, err)
		}
	}
	if biggest := slices.Max(f.store.Batches()); biggest > storage.MinOps {
		t.Errorf("a batch has %d ops", biggest)
	}
}

func TestPurge(t *testing.T) {
	for _, versions := range []int{0, 1, 14, 15, 16, 30, 31, 100} {
		f := newFixture(t)
		f.noError(f.SetMetadata(t.Context(), "a", true, kv.MetadataChange{SettingsChange: kv.SettingsChange{MaxVersions: new(1000)}}))
		for range versions {
			f.put("a", `{}`)
		}
		f.put("a/b", `{"kept":1}`)
		f.noError(f.Purge(t.Context(), "a"))
		if keys := f.store.Keys(dir); len(keys) != 2 {
			t.Errorf("after the purge of %d versions: %q", versions, keys)
		}
		f.noError(f.Purge(t.Context(), "a"))
		f.want("a/b", 0, `{"kept":1}`)
		if v := f.put("a", `{"again":1}`); v.Number != 1 {
			t.Errorf("the first version after a purge is %d, want 1", v.Number)
		}
	}
}

func TestInterruptedPurgeAndDestroy(t *testing.T) {
	all := make([]int, 40)
	for i := range all {
		all[i] = i + 1
	}
	for name, op := range map[string]func(*fixture) error{
		"purge":   func(f *fixture) error { return f.Purge(f.Context(), "a") },
		"destroy": func(f *fixture) error { return f.Destroy(f.Context(), "a", all) },
	} {
		f := newFixture(t)
		f.noError(f.SetConfig(t.Context(), kv.SettingsChange{MaxVersions: new(100)}))
		for range all {
			f.put("a", `{"x":1}`)
		}
		commits := 0
		f.store.Fault = func(op, _ string) error {
			if op == "commit" {
				if commits++; commits == 2 {
					return store.ErrNotActive
				}
			}
			return nil
		}
		if err := op(f); !errors.Is(err, store.ErrOutcomeUnknown) || errors.Is(err, store.ErrNotActive) {
			t.Errorf("%s, half done: error %v, want ErrOutcomeUnknown alone", name, err)
		}
		if _, err := f.Metadata(t.Context(), "a"); err != nil {
			t.Errorf("%s, half done: metadata: %v", name, err)
		}
		f.noError(op(f))
		if keys := f.store.Keys(dir + "data/a/"); len(keys) != 0 {
			t.Errorf("%s, sent again: %d versions are left", name, len(keys))
		}
	}
}

func TestDeleteVersionAfter(t *testing.T) {
	f := newFixture(t)
	f.noError(f.SetConfig(t.Context(), kv.SettingsChange{DeleteVersionAfter: new(time.Hour)}))
	if v := f.put("a", `{"x":1}`); !v.Deletion.Equal(f.now.Add(time.Hour)) {
		t.Errorf("deletion time %v, want an hour from now", v.Deletion)
	}
	f.want("a", 0, `{"x":1}`)
	f.now = f.now.Add(time.Hour)
	f.want("a", 0, "")
	f.noError(f.Undelete(t.Context(), "a", []int{1}))
	f.want("a", 0, `{"x":1}`)
}
