package etcd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	const password = "correct-horse"
	cluster := servers.EtcdCluster(t, 1)
	cluster.AddUser("writer", password, "readwrite", "holdfast/")
	cluster.AddUser("reader", password, "read", "holdfast/")
	cluster.AddUser("stranger", password, "readwrite", "elsewhere/")
	cluster.EnableAuth("root-" + password)
	as := func(user, password string) func(*Config) {
		return func(c *Config) { c.Username, c.Password = user, password }
	}

	for name, user := range map[string]func(*Config){
		"nobody": as("", ""), "unknown": as("who", password), "wrong password": as("writer", "wrong-horse"),
		"read only": as("reader", password), "another path": as("stranger", password),
	} {
		_, _, err := open(t.Context(), configured(cluster.Address(), user), hclog.NewNullLogger())
		if err == nil || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("open as %s: %v, want an error", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "horse") {
			t.Errorf("open as %s: the error shows the password: %v", name, err)
		}
		err = commitOne(t.Context(), backendAt(t, cluster.Address(), user))
		if storage.OutcomeOf(err) != storage.Unapplied || !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrConflict) {
			t.Errorf("commit as %s: %v (%v), want ErrUnavailable, not applied", name, err, storage.OutcomeOf(err))
		}
	}
	if _, err := backendAt(t, cluster.Address(), as("stranger", password)).List(t.Context(), "", "", 0); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("list of what the user may not read: %v, want ErrUnavailable", err)
	}

	b := openAt(t, cluster.Address(), as("writer", password), func(c *Config) { c.HistoryRetention = minRetention })
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	guard.Version = mustCommit(t, b, guard, storage.Put("d/k", nil))
	guard.Prev = guard.Value
	if names, err := b.List(t.Context(), "d/", "", 0); err != nil || len(names) != 1 {
		t.Errorf("list: %q, %v, want one name", names, err)
	}
	// A server that was restarted knows no tokens: the next request gets a new one, within
	// the same call.
	cluster.Restart()
	poll(t, "get when the server is back", func(ctx context.Context) error {
		_, err := b.Get(ctx, "guard")
		return err
	})
	stale := "invalid"
	b.members.login.token.Store(&stale)
	guard.Version = mustCommit(t, b, guard)
	// So does a change of the users.
	cluster.AddUser("late", password, "read", "x/")
	mustCommit(t, b, guard)
	watched := watch(t.Context(), b, "guard", guard.Version)
	if w := <-watched; w.err != nil {
		t.Errorf("watch as a user: %v, want the change", w.err)
	}
}

// A user is configured and the servers do not check users.
func TestUserWhereThereAreNone(t *testing.T) {
	t.Parallel()
	server := servers.Etcd(t)
	b := openAt(t, server.Address, func(c *Config) { c.Username, c.Password = "writer", "pw" })
	mustCommit(t, b, storage.Guard{Key: "guard"})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, cert, key := certificates(t)
	server := servers.Etcd(t, "--cert-file="+cert, "--key-file="+key, "--trusted-ca-file="+ca, "--client-cert-auth")
	b := openAt(t, server.Address, func(c *Config) { c.TLSCAFile, c.TLSCertFile, c.TLSKeyFile = ca, cert, key })
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")})
	if item, err := b.Get(t.Context(), "guard"); err != nil || item.Version != v {
		t.Errorf("get over TLS: at %q, %v, want %q", item.Version, err, v)
	}
	otherCA, _, _ := certificates(t)
	for name, change := range map[string]func(*Config){
		"no CA":          func(*Config) {},
		"another CA":     func(c *Config) { c.TLSCAFile = otherCA },
		"no certificate": func(c *Config) { c.TLSCAFile = ca },
		"no TLS": func(c *Config) {
			c.Address = []string{strings.Replace(server.Address, "https:", "http:", 1)}
		},
	} {
		err := commitOne(t.Context(), backendAt(t, server.Address, change, func(c *Config) { c.RequestTimeout = 2 * time.Second }))
		if got := storage.OutcomeOf(err); err == nil || got == storage.Applied || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s: %v (%v), want ErrUnavailable", name, err, got)
		}
	}
	for option, change := range map[string]func(*Config){
		"tls_ca_file":   func(c *Config) { c.TLSCAFile = ca + ".missing" },
		"tls_cert_file": func(c *Config) { c.TLSCertFile, c.TLSKeyFile = cert, ca },
	} {
		if _, err := newBackend(t.Context(), configured(server.Address, change), hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("a wrong %s: %v, want an error that names it", option, err)
		}
	}
}

// certificates writes a CA and a certificate for 127.0.0.1, as server and as client.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	must := func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "etcd"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	rootKey, leafKey := newKey(), newKey()
	ca = write("ca.pem", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)))
	cert = write("cert.pem", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, rootKey)))
	key = write("key.pem", "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(leafKey)))
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return ca, cert, key
}
