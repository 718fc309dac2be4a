package zookeeper

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
	netlink "github.com/holdfast/holdfast/test/link"
	"github.com/holdfast/holdfast/test/servers"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	server := servers.ZooKeeper(t)
	as := func(auth string) func(*Config) { return func(c *Config) { c.AuthInfo = auth } }
	owner := openAt(t, server.Address, as("digest:holdfast:right"))
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	guard.Version = mustCommit(t, owner, guard, storage.Put("a/b", []byte("x")))
	acl := raw(t, owner, func(zc *zk.Conn) ([]zk.ACL, error) {
		acl, _, err := zc.GetACL(valueNode(owner.root, "a/b"))
		return acl, err
	})
	if want := zk.DigestACL(zk.PermAll, "holdfast", "right"); len(acl) != 1 || acl[0] != want[0] {
		t.Errorf("the nodes are owned by %v, want %v alone", acl, want)
	}

	for name, auth := range map[string]string{"none": "", "another": "digest:holdfast:hunter2", "unknown scheme": "nonsense:hunter2"} {
		_, _, err := open(t.Context(), configAt(t, server.Address, as(auth)), environment())
		if err == nil || !strings.Contains(err.Error(), "auth_info") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("open with credentials %s: %v, want an error that names auth_info and not its value", name, err)
		}
		b := unprobed(t, server.Address, as(auth))
		_, err = b.Commit(t.Context(), storage.Guard{Key: "guard", Version: guard.Version, Value: []byte("2")}, []storage.Op{storage.Put("a/b", nil)})
		if storage.OutcomeOf(err) != storage.Unapplied || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("commit with credentials %s: %v (%v), want ErrUnavailable, not applied", name, err, storage.OutcomeOf(err))
		}
		if _, err := b.Get(t.Context(), "guard"); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("get with credentials %s: %v, want ErrUnavailable", name, err)
		}
		if _, err := b.List(t.Context(), "a/", "", 0); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("list with credentials %s: %v, want ErrUnavailable", name, err)
		}
	}

	// One node belongs to somebody else.
	path := valueNode(owner.root, "a/b")
	raw(t, owner, func(zc *zk.Conn) (*zk.Stat, error) {
		return zc.SetACL(path, zk.DigestACL(zk.PermAll, "somebody", "else"), -1)
	})
	_, err := owner.Commit(t.Context(), storage.Guard{Key: "guard", Version: guard.Version, Value: []byte("2")},
		[]storage.Op{storage.Put("c", nil), storage.Put("a/b", nil)})
	if op, ok := errors.AsType[*storage.OpError](err); !ok || op.Index != 1 || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("commit of a forbidden op: %v (%v), want op 1 not applied", err, storage.OutcomeOf(err))
	}
	if _, err := owner.Get(t.Context(), "c"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the refused commit applied an op: get gives %v", err)
	}
}

// unprobed opens a Backend without asking the servers for anything.
func unprobed(t *testing.T, address string, change ...func(*Config)) *Backend {
	t.Helper()
	b, err := newBackend(configAt(t, address, change...), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func TestSecretIsInNoLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	env := sdk.Env{Logger: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Trace}), MaxLimits: wire.MaxLimits()}
	config := configAt(t, "127.0.0.1:1", func(c *Config) { c.AuthInfo = "digest:user:hunter2" })
	b, _, err := open(t.Context(), config, env)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if text := log.String(); !strings.Contains(text, "does not answer") || strings.Contains(text, "hunter2") {
		t.Errorf("the log is %q, want it to say that there is no answer, and no secret", text)
	}
}

// A server behind TLS: ZooKeeper's own needs a Java keystore, so the TLS ends in a proxy.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := servers.ZooKeeper(t)
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS() // for its certificate of 127.0.0.1
	t.Cleanup(certified.Close)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	netlink.Relay(t, listener, server.Address, io.Discard)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	trusting := openAt(t, address, func(c *Config) { c.Enabled, c.CAFile = true, ca })
	mustWrite(t, trusting, storage.Put("k", []byte("v")))

	stranger := unprobed(t, address, func(c *Config) { c.Enabled = true })
	err = stranger.Write(t.Context(), []storage.Op{storage.Delete("k")})
	if storage.OutcomeOf(err) != storage.Unapplied || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("write without tls_ca_file: %v (%v), want an error about the certificate, not applied", err, storage.OutcomeOf(err))
	}
	config := configAt(t, address, func(c *Config) { c.Enabled, c.CAFile = true, ca+".missing" })
	if _, err := newBackend(config, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "tls_ca_file") {
		t.Errorf("a missing CA file: %v, want an error that names tls_ca_file", err)
	}
}

// Close leaves nothing behind, also after connections were lost and calls given up.
func TestCloseLeavesNothing(t *testing.T) {
	server := servers.ZooKeeper(t)
	before := goleak.IgnoreCurrent()
	b, _, err := open(t.Context(), configAt(t, server.Address, quick), environment())
	if err != nil {
		t.Fatal(err)
	}
	server.Pause()
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if _, err := b.Get(ctx, "k"); err == nil {
			t.Error("get succeeds on a frozen server")
		}
	}
	server.Resume()
	poll(t, "write", func(ctx context.Context) error { return b.Write(ctx, []storage.Op{storage.Put("k", nil)}) })
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}
