package zookeeper

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/sdk/wire"
	"github.com/holdfast/holdfast/test/servers"
)

// declared is a Backend that says what Open said of it.
type declared struct {
	*Backend
	limits storage.Limits
}

func configAt(t *testing.T, address string, change ...func(*Config)) Config {
	t.Helper()
	c := defaults()
	c.Address = strings.Split(address, ",")
	for _, f := range change {
		f(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func environment() sdk.Env {
	return sdk.Env{Logger: hclog.NewNullLogger(), MaxLimits: wire.MaxLimits()}
}

// openAt opens a Backend for real servers. It is closed at the end of the test.
func openAt(t *testing.T, address string, change ...func(*Config)) declared {
	t.Helper()
	b, capabilities, err := open(t.Context(), configAt(t, address, change...), environment())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return declared{b, capabilities.Limits}
}

func TestContract(t *testing.T) {
	t.Parallel()
	config := configAt(t, servers.ZooKeeper(t).Address, func(c *Config) {
		c.RecordRotation = 20 // the suite commits more often than that to a guard
	})
	storagetest.Run(t, storagetest.Harness{
		Open: func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			return open(ctx, config, environment())
		},
		Expect: []storagetest.Profile{storagetest.Core, storagetest.Txn, storagetest.HA},
	})
}
