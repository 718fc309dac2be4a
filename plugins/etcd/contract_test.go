package etcd

import (
	"context"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/test/servers"
)

// promised are the profiles that etcd must keep.
func promised() []storagetest.Profile {
	return []storagetest.Profile{storagetest.Core, storagetest.Txn, storagetest.HA}
}

// direct opens Backends in this process.
func direct(address string, change ...func(*Config)) func(context.Context) (storage.Backend, storage.Capabilities, error) {
	return func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
		return open(ctx, configured(address, change...), hclog.NewNullLogger())
	}
}

// The suite counts goroutines, so it runs beside nothing else.

func TestContract(t *testing.T) {
	server := servers.Etcd(t)
	storagetest.Run(t, storagetest.Harness{Open: direct(server.Address), Expect: promised()})
}
