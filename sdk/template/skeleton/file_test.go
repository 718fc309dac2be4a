package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

// openAt opens the backend that the test closes at its end.
func openAt(t *testing.T, path string) *Backend {
	t.Helper()
	b, _, err := open(t.Context(), Config{Path: path}, sdk.Env{Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func TestWhatACrashLeavesIsIgnored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.json")
	if err := os.WriteFile(path+".new", []byte(`{"revision": 7, "items": {"k": {"val`), 0o600); err != nil {
		t.Fatal(err)
	}
	b := openAt(t, path)
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("get: got %v, want ErrNotFound", err)
	}
	if err := b.Write(t.Context(), []storage.Op{storage.Put("k", []byte("v"))}); err != nil {
		t.Fatalf("write: %v", err)
	}
	if item, err := openAt(t, path).Get(t.Context(), "k"); err != nil || string(item.Value) != "v" {
		t.Errorf("get by another node: got %q, %v, want v", item.Value, err)
	}
}

func TestDamagedFileIsReportedAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.json")
	if err := os.WriteFile(path, []byte("not JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := open(t.Context(), Config{Path: path}, sdk.Env{Logger: hclog.NewNullLogger()})
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names %s", err, path)
	}
}

func TestRelativePathIsRefused(t *testing.T) {
	if err := (Config{Path: "data.json"}).Validate(); err == nil || !strings.Contains(err.Error(), `"path"`) {
		t.Errorf("got %v, want an error that names the option", err)
	}
}
