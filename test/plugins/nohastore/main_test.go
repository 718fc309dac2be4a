package main

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

func TestContract(t *testing.T) {
	file := filepath.Join(t.TempDir(), "store.json")
	storagetest.Run(t, func(t *testing.T) storage.Backend {
		b, _, err := plugin().Open(t.Context(), Config{File: file}, sdk.Env{Logger: hclog.NewNullLogger()})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := any(b).(storage.HABackend); ok {
			t.Fatal("it is there to have no high availability")
		}
		return b
	})
}
