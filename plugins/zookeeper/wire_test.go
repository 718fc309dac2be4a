package zookeeper

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/sdk/wire"
	"github.com/holdfast/holdfast/test/servers"
)

// The plugin as the host sees it: a stanza with Vault's option names, then the contract
// over gRPC.
func TestContractAcrossTheWire(t *testing.T) {
	t.Parallel()
	server := servers.ZooKeeper(t)
	client := wire.NewClient(servePlugin(t), "zookeeper")
	stanza, err := json.Marshal(map[string]any{
		"address": server.Address, "path": "vault/", "auth_info": "digest:vaultUser:vaultPassword",
		"znode_owner": "auth:vaultUser", "tls_enabled": "false", "tls_verify_ip": "true",
		"record_rotation": "20", // the suite commits more often than that to a guard
	})
	if err != nil {
		t.Fatal(err)
	}
	storagetest.Run(t, storagetest.Harness{
		Expect:  []storagetest.Profile{storagetest.Core, storagetest.Txn, storagetest.HA},
		Checked: true,
		Open: func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			b, err := client.Configure(ctx, stanza)
			if err != nil {
				return nil, storage.Capabilities{}, err
			}
			return b, b.Capabilities(), nil
		},
	})
}

// servePlugin serves Plugin on a unix socket until t ends and returns a connection.
func servePlugin(t *testing.T) *grpc.ClientConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	// Not t.Context, which ends before the cleanups that still use the plugin.
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var served sync.WaitGroup
	served.Go(func() {
		if err := sdk.Serve(ctx, listener, Plugin, hclog.NewNullLogger()); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	options := append(wire.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("unix://"+path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close the connection: %v", err)
		}
		stop()
		served.Wait()
	})
	return conn
}
