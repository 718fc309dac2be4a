package main

import (
	"context"
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

// A process that is frozen while it changes the file holds up other writers, but no reader.
func TestReadersDoNotWaitForTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.json")
	frozen, b := openAt(t, path), openAt(t, path)
	if err := b.Write(t.Context(), []storage.Op{storage.Put("k", []byte("v"))}); err != nil {
		t.Fatalf("write: %v", err)
	}
	if err := frozen.file.takeLock(t.Context()); err != nil {
		t.Fatalf("take the lock: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan error, 1)
	go func() { written <- b.Write(ctx, []storage.Op{storage.Delete("k")}) }()
	for range 100 {
		if item, err := b.Get(t.Context(), "k"); err != nil || string(item.Value) != "v" {
			t.Fatalf("get while another process has the lock: got %q, %v, want v", item.Value, err)
		}
	}
	cancel()
	if err := <-written; storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("a write that never got the lock: got %v, want an error that says it was not applied", err)
	}
	frozen.file.freeLock()
	if err := b.Write(t.Context(), []storage.Op{storage.Delete("k")}); err != nil {
		t.Errorf("write once the lock is free: %v", err)
	}
}
