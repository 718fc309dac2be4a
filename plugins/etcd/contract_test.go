package etcd

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/sdk/wire"
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

func TestContractOnThreeMembers(t *testing.T) {
	cluster := servers.EtcdCluster(t, 3)
	storagetest.Run(t, storagetest.Harness{Open: direct(cluster.Address()), Expect: promised()})
}

// The store's leader is killed again and again while the suite runs.
func TestContractWhileLeadersDie(t *testing.T) {
	cluster := servers.EtcdCluster(t, 3, "--heartbeat-interval=50", "--election-timeout=300")
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.Run("suite", func(t *testing.T) {
			// What was sent to a leader that dies gets no answer: wait for it as long as the host does.
			waits := func(c *Config) { c.RequestTimeout = time.Second }
			storagetest.Run(t, storagetest.Harness{Open: direct(cluster.Address(), waits), Expect: promised(), Disturbed: true})
		})
	}()
	kills := 0
	for next := time.NewTicker(4 * time.Second); ; kills++ {
		select {
		case <-done:
			t.Logf("%d leaders were killed", kills)
			return
		case <-next.C:
		}
		leader := cluster.Leader()
		leader.Kill()
		cluster.Leader() // another one
		leader.Restart()
	}
}

// The plugin as the host sees it: a stanza with Vault's option names, then the contract
// over gRPC.
func TestContractAcrossTheWire(t *testing.T) {
	server := servers.Etcd(t)
	client := wire.NewClient(servePlugin(t), "etcd")
	stanza, err := json.Marshal(map[string]any{
		"address": server.Address, "path": "/vault/", "etcd_api": "v3", "sync": "true", "ha_enabled": "true",
		"request_timeout": "5s", "lock_timeout": "15s", "max_receive_size": "16777216",
	})
	if err != nil {
		t.Fatal(err)
	}
	storagetest.Run(t, storagetest.Harness{
		Open: func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			b, err := client.Configure(ctx, stanza)
			if err != nil {
				return nil, storage.Capabilities{}, err
			}
			return b, b.Capabilities(), nil
		},
		Expect:  promised(),
		Checked: true,
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
