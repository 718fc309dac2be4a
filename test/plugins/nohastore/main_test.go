package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

func TestContract(t *testing.T) {
	file := filepath.Join(t.TempDir(), "store.json")
	storagetest.Run(t, storagetest.Harness{
		Expect: []storagetest.Profile{storagetest.Core, storagetest.Txn},
		Open: func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			return plugin().Open(ctx, Config{File: file}, sdk.Env{Logger: hclog.NewNullLogger()})
		},
	})
}

func TestHasNoHighAvailability(t *testing.T) {
	if _, ok := any(&Backend{}).(storage.HABackend); ok {
		t.Error("it is there to have none")
	}
}
