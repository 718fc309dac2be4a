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

// TestContract runs the conformance suite: every call of opener is one more node.
func TestContract(t *testing.T) {
	dir := t.TempDir()
	opener := func(name string) func(context.Context) (storage.Backend, storage.Capabilities, error) {
		return func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			return open(ctx, Config{Path: filepath.Join(dir, name)}, sdk.Env{Logger: hclog.NewNullLogger()})
		}
	}
	storagetest.Run(t, storagetest.Harness{
		Expect:    []storagetest.Profile{storagetest.Core, storagetest.Txn},
		Open:      opener("data.json"),
		Elsewhere: opener("other.json"),
	})
}
