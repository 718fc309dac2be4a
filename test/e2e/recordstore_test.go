package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	consul "github.com/hashicorp/consul/api"
	etcd "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// rawRecord is the term record as the store's own client sees it. put(nil) deletes it.
type rawRecord struct {
	get func() []byte
	put func([]byte)
}

const (
	home    = "holdfast/" // the default path of the storage stanzas
	termKey = home + "hf/term"
)

func termRecord(t *testing.T, s store) rawRecord {
	t.Helper()
	switch s := s.(type) {
	case *servers.ConsulServer:
		return consulRecord(t, s)
	case etcdStore:
		return etcdRecord(t, s.Address)
	case *servers.ZooKeeperServer:
		return zookeeperRecord(t, s)
	}
	t.Fatalf("no client for %T", s)
	return rawRecord{}
}

func consulRecord(t *testing.T, s *servers.ConsulServer) rawRecord {
	t.Helper()
	kv := consulClient(t, s).KV()
	return rawRecord{
		get: func() []byte {
			pair, _, err := kv.Get(termKey, &consul.QueryOptions{RequireConsistent: true})
			must(t, err)
			if pair == nil {
				return nil
			}
			return pair.Value
		},
		put: func(value []byte) {
			if value == nil {
				_, err := kv.Delete(termKey, nil)
				must(t, err)
				return
			}
			_, err := kv.Put(&consul.KVPair{Key: termKey, Value: value}, nil)
			must(t, err)
		},
	}
}

func etcdRecord(t *testing.T, address string) rawRecord {
	t.Helper()
	client, err := etcd.New(etcd.Config{Endpoints: []string{address}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return rawRecord{
		get: func() []byte {
			resp, err := client.Get(t.Context(), termKey)
			must(t, err)
			if len(resp.Kvs) == 0 {
				return nil
			}
			return resp.Kvs[0].Value
		},
		put: func(value []byte) {
			if value == nil {
				_, err := client.Delete(t.Context(), termKey)
				must(t, err)
				return
			}
			_, err := client.Put(t.Context(), termKey, string(value))
			must(t, err)
		},
	}
}

// zookeeperRecord knows how the plugin lays its nodes out: a value is a node "=name", which
// somebody overwrites without regard to what is in it, and directories are nodes "+name".
func zookeeperRecord(t *testing.T, s *servers.ZooKeeperServer) rawRecord {
	t.Helper()
	const path = "/holdfast/+hf/=term"
	conn, events, err := zk.Connect([]string{s.Address}, 10*time.Second, zk.WithLogInfo(false))
	must(t, err)
	t.Cleanup(conn.Close)
	go func() {
		for range events { // until the connection is closed
			continue
		}
	}()
	remove := func() {
		children, _, err := conn.Children(path)
		must(t, err)
		for _, child := range children {
			must(t, conn.Delete(path+"/"+child, -1))
		}
		must(t, conn.Delete(path, -1))
	}
	return rawRecord{
		get: func() []byte {
			data, _, err := conn.Get(path)
			if errors.Is(err, zk.ErrNoNode) {
				return nil
			}
			must(t, err)
			return slices.Clone(data)
		},
		put: func(value []byte) {
			if value == nil {
				remove()
				return
			}
			_, err := conn.Set(path, value, -1)
			must(t, err)
		},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runClient runs a client command against a node.
func runClient(t *testing.T, n *harness.Node, token string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), holdfast(t), args...)
	cmd.Env = []string{"HOLDFAST_ADDR=http://" + n.Address, "HOLDFAST_TOKEN=" + token, "HOME=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// etcdStanza is the storage stanza for an etcd server.
func etcdStanza(s *servers.EtcdServer) string {
	return fmt.Sprintf("storage \"etcd\" {\n  address = %q\n}", s.Address)
}
