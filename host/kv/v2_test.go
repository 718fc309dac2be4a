package kv_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/internal/fakestore"
	"github.com/holdfast/holdfast/host/kv"
	"github.com/holdfast/holdfast/sdk/storage"
)

const dir = "hf/kv/0123/"

// fixture is a version 2 mount with a clock that the test moves.
type fixture struct {
	*testing.T
	kv.V2
	store *fakestore.Store
	now   time.Time
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t, store: fakestore.New(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	f.V2 = kv.NewV2(f.store, dir, func() time.Time { return f.now })
	return f
}

func (f *fixture) put(path, data string) kv.Version {
	f.Helper()
	v, err := f.Put(f.Context(), path, json.RawMessage(data), nil)
	if err != nil {
		f.Fatalf("put %s: %v", path, err)
	}
	return v
}

// want checks version n; data "" means that it must be gone.
func (f *fixture) want(path string, n int, data string) {
	f.Helper()
	got, err := f.Get(f.Context(), path, n)
	if err != nil || string(got.Data) != data {
		f.Errorf("version %d of %s is %s, %v, want %s", n, path, got.Data, err, data)
	}
}

func (f *fixture) noError(err error) {
	f.Helper()
	if err != nil {
		f.Error(err)
	}
}

func TestVersions(t *testing.T) {
	f := newFixture(t)
	for i := range 3 {
		if v := f.put("a", fmt.Sprintf(`{"n":%d}`, i+1)); v.Number != i+1 || !v.Created.Equal(f.now) {
			t.Errorf("written version = %+v, want number %d", v, i+1)
		}
	}
	f.put("a/2", `{"child":true}`) // its data lies beside that of version 2 of a
	f.want("a", 0, `{"n":3}`)
	f.want("a", 1, `{"n":1}`)
	f.want("a", 2, `{"n":2}`)
	f.want("a/2", 0, `{"child":true}`)
	for _, n := range []int{4, 1000} {
		if _, err := f.Get(t.Context(), "a", n); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("version %d: error %v, want ErrNotFound", n, err)
		}
	}
}

func TestNumbersAreNotMangled(t *testing.T) {
	f := newFixture(t)
	const data = `{"big":123456789012345678901234567890,"exact":1.10,"exp":1E400,"html":"<&>","nested":[{"z":0.1}]}`
	f.put("a", data)
	f.want("a", 0, data)
	if _, err := f.Patch(t.Context(), "a", json.RawMessage(`{"more":2.50}`), nil); err != nil {
		t.Fatal(err)
	}
	f.want("a", 0, strings.TrimSuffix(data, `,"nested":[{"z":0.1}]}`)+`,"more":2.50,"nested":[{"z":0.1}]}`)
}

func TestCheckAndSet(t *testing.T) {
	f := newFixture(t)
	put := func(cas *int) error {
		_, err := f.Put(t.Context(), "a", json.RawMessage(`{}`), cas)
		return err
	}
	for i, tc := range []struct {
		cas  *int
		want error
	}{
		{new(1), kv.ErrCASMismatch},
		{new(0), nil},
		{new(0), kv.ErrCASMismatch},
		{new(1), nil},
		{nil, nil},
		{new(2), kv.ErrCASMismatch},
		{new(3), nil},
	} {
		if err := put(tc.cas); !errors.Is(err, tc.want) {
			t.Errorf("step %d: error %v, want %v", i, err, tc.want)
		}
	}
	// A deleted version still counts as the current one.
	f.noError(f.Delete(t.Context(), "a"))
	if err := put(new(0)); !errors.Is(err, kv.ErrCASMismatch) {
		t.Errorf("cas 0 after a delete: error %v, want ErrCASMismatch", err)
	}
	f.noError(f.SetConfig(t.Context(), kv.SettingsChange{CASRequired: new(true)}))
	if err := put(nil); !errors.Is(err, kv.ErrCASRequired) {
		t.Errorf("no cas where it is required: error %v, want ErrCASRequired", err)
	}
}

func TestConcurrentCheckAndSet(t *testing.T) {
	f := newFixture(t)
	const writers, versions = 32, 8
	var wins [versions]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for n := range versions {
				_, err := f.Put(t.Context(), "a", json.RawMessage(`{}`), &n)
				if err == nil {
					mu.Lock()
					wins[n]++
					mu.Unlock()
				} else if !errors.Is(err, kv.ErrCASMismatch) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for n, won := range wins {
		if won != 1 {
			t.Errorf("%d writers made version %d, want 1", won, n+1)
		}
	}
}

func TestPatch(t *testing.T) {
	f := newFixture(t)
	patch := func(text string) error {
		_, err := f.Patch(t.Context(), "a", json.RawMessage(text), nil)
		return err
	}
	if err := patch(`{}`); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("patch of nothing: error %v, want ErrNotFound", err)
	}
	// The cases of RFC 7396, appendix A, that are about objects.
	for _, tc := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		f.put("a", tc[0])
		f.noError(patch(tc[1]))
		f.want("a", 0, tc[2])
	}
	f.noError(f.Delete(t.Context(), "a"))
	if err := patch(`{}`); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("patch of a deleted version: error %v, want ErrNotFound", err)
	}
}

// A read that is overtaken by purges and new writes returns the data of the version
// that its metadata describes.
func TestReadIsOneMoment(t *testing.T) {
	f := newFixture(t)
	f.put("a", `{"life":0}`)
	meta := false
	lives := 0
	f.store.Fault = func(op, key string) error {
		if op != "get" {
			return nil
		}
		if meta && strings.Contains(key, "/data/") && lives < 5 {
			meta = false // between the two reads
			lives++
			f.now = f.now.Add(time.Minute)
			f.noError(f.Purge(t.Context(), "a"))
			f.put("a", fmt.Sprintf(`{"life":%d}`, lives))
		}
		meta = strings.Contains(key, "/meta/")
		return nil
	}
	got, err := f.Get(t.Context(), "a", 0)
	if err != nil || string(got.Data) != `{"life":5}` || !got.Created.Equal(f.now) {
		t.Errorf("read %s of %v, %v; want the fifth life of %v", got.Data, got.Created, err, f.now)
	}
}

func TestLostDataIsAnError(t *testing.T) {
	f := newFixture(t)
	f.put("a", `{}`)
	f.noError(f.store.Delete(t.Context(), dir+"data/a/1"))
	if _, err := f.Get(t.Context(), "a", 0); err == nil || errors.Is(err, kv.ErrNotFound) {
		t.Errorf("a version without its data: error %v, want one that is not ErrNotFound", err)
	}
}

func TestMetadata(t *testing.T) {
	f := newFixture(t)
	if err := f.SetMetadata(t.Context(), "a", false, kv.MetadataChange{}); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("patch of no metadata: error %v, want ErrNotFound", err)
	}
	set := func(replace bool, custom map[string]*string) error {
		return f.SetMetadata(t.Context(), "a", true, kv.MetadataChange{Custom: custom, ReplaceCustom: replace})
	}
	f.noError(set(true, map[string]*string{"owner": new("x"), "gone": new("y")}))
	f.noError(set(false, map[string]*string{"gone": nil, "new": new("z")}))
	if v := f.put("a", `{}`); len(v.Custom) != 2 || v.Custom["owner"] != "x" || v.Custom["new"] != "z" {
		t.Errorf("custom metadata = %v", v.Custom)
	}
	for name, custom := range map[string]map[string]*string{
		"long key":   {strings.Repeat("k", 129): new("")},
		"long value": {"k": new(strings.Repeat("v", 513))},
		"empty key":  {"": new("v")},
	} {
		if err := set(false, custom); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
}

func TestListAndPaths(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"b", "a", "a/x", "a/y/z"} {
		f.put(path, `{}`)
	}
	f.noError(f.Delete(t.Context(), "b"))
	for path, want := range map[string]string{"": "a a/ b", "a": "x y/", "a/": "x y/", "a/y/": "z"} {
		names, err := f.List(t.Context(), path)
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("List(%q) = %q, %v, want %s", path, names, err, want)
		}
	}
	if _, err := f.List(t.Context(), "none"); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("list of nothing: error %v, want ErrNotFound", err)
	}
	for _, bad := range []string{"", "/", "a/", "/a", "a//b", ".", "a/../b", "a\x00", "a\n", strings.Repeat("x", 1010), "\xff"} {
		if _, err := f.Put(t.Context(), bad, json.RawMessage(`{}`), nil); !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("put at %.20q: error %v, want ErrInvalidKey", bad, err)
		}
		if _, err := f.Get(t.Context(), bad, 0); !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("get at %.20q: error %v, want ErrInvalidKey", bad, err)
		}
	}
}

func TestBadData(t *testing.T) {
	f := newFixture(t)
	for name, data := range map[string]string{
		"not json": `{`, "array": `[1]`, "string": `"x"`, "null": `null`, "empty": ``,
		"deep": `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
	} {
		if _, err := f.Put(t.Context(), "a", json.RawMessage(data), nil); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
	deepest := `{"a":` + strings.Repeat("[", 63) + `"[{\"["` + strings.Repeat("]", 63) + `}`
	f.put("a", deepest)
	f.want("a", 0, deepest)
}
