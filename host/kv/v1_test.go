package kv_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/host/internal/fakestore"
	"github.com/holdfast/holdfast/host/kv"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestV1(t *testing.T) {
	m := kv.NewV1(fakestore.New(), dir)
	const data = `{ "n": 12345678901234567890.10 }`
	for _, path := range []string{"a", "a/b"} {
		if err := m.Put(t.Context(), path, json.RawMessage(data)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := m.Get(t.Context(), "a"); err != nil || string(got) != data {
		t.Errorf("Get = %s, %v, want %s", got, err, data)
	}
	if names, err := m.List(t.Context(), ""); err != nil || strings.Join(names, " ") != "a a/" {
		t.Errorf("List = %q, %v, want a and a/", names, err)
	}
	for range 2 { // deleting what is not there is no error
		if err := m.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Get(t.Context(), "a"); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("Get of a deleted path: error %v, want ErrNotFound", err)
	}
	if err := m.Put(t.Context(), "a", json.RawMessage(`[]`)); !errors.Is(err, kv.ErrInvalid) {
		t.Errorf("Put of an array: error %v, want ErrInvalid", err)
	}
	if err := m.Put(t.Context(), "../a", json.RawMessage(`{}`)); !errors.Is(err, storage.ErrInvalidKey) {
		t.Errorf("Put at ../a: error %v, want ErrInvalidKey", err)
	}
}

func FuzzDepth(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[[{"b":"]}"}]]}`, `"\\\""`, `"\u005b"`, `[1,{"x":[]}]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var decoded any
		if json.Unmarshal([]byte(text), &decoded) != nil {
			t.Skip()
		}
		if got, want := kv.Depth([]byte(text)), depthOf(decoded); got < want {
			t.Errorf("Depth(%q) = %d, want at least %d", text, got, want) // more where a name repeats
		}
	})
}

func depthOf(x any) int {
	deepest := 0
	switch x := x.(type) {
	case map[string]any:
		for _, member := range x {
			deepest = max(deepest, depthOf(member))
		}
	case []any:
		for _, member := range x {
			deepest = max(deepest, depthOf(member))
		}
	default:
		return 0
	}
	return deepest + 1
}
