package rotation

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/internal/fakestore"
)

const (
	keyringKey = "hf/keyring"
	recordKey  = "hf/rotation"
)

// cluster is a store with a keyring and a record.
type cluster struct {
	t       *testing.T
	store   *fakestore.Store
	rootKey []byte
	now     time.Time
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, store: fakestore.New(), rootKey: make([]byte, 32), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	keyring := barrier.NewKeyring("cluster")
	c.putKeyring(keyring)
	record, err := FirstRecord(keyring.ActiveTerm(), c.now)
	if err != nil {
		t.Fatal(err)
	}
	c.put(recordKey, record)
	return c
}

func (c *cluster) put(key string, value []byte) {
	c.t.Helper()
	if err := c.store.Put(c.t.Context(), key, value); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) putKeyring(k *barrier.Keyring) {
	c.t.Helper()
	sealed, err := k.SealWith(c.rootKey, keyringKey)
	if err != nil {
		c.t.Fatal(err)
	}
	c.put(keyringKey, sealed)
}

// storedTerm returns the term of the keyring in the store.
func (c *cluster) storedTerm() uint32 {
	c.t.Helper()
	return c.storedKeyring().ActiveTerm()
}

func (c *cluster) storedKeyring() *barrier.Keyring {
	c.t.Helper()
	ctx, err := c.store.Begin(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	sealed, err := c.store.Get(ctx, keyringKey)
	if err != nil {
		c.t.Fatal(err)
	}
	k, err := barrier.OpenKeyring(c.rootKey, keyringKey, sealed)
	if err != nil {
		c.t.Fatal(err)
	}
	return k
}

// node is a node that was unsealed: a Rotator and its barrier.
type node struct {
	*Rotator
	barrier *barrier.Barrier
	t       *testing.T
}

// unseal returns a node with the keyring that is in the store now. s is what it reads and writes by.
func (c *cluster) unseal(s Store) *node {
	c.t.Helper()
	n := &node{barrier: barrier.New(c.storedKeyring()), t: c.t}
	n.Rotator = New(Config{
		Barrier: n.barrier, Store: s, Logger: hclog.NewNullLogger(), KeyringKey: keyringKey, RecordKey: recordKey,
		OpenKeyring: func(sealed []byte) (*barrier.Keyring, error) {
			return barrier.OpenKeyring(c.rootKey, keyringKey, sealed)
		},
		SealKeyring: func(k *barrier.Keyring) ([]byte, error) { return k.SealWith(c.rootKey, keyringKey) },
		Now:         func() time.Time { return c.now },
	})
	return n
}

// active returns a node that has become active.
func (c *cluster) active(s Store) *node {
	c.t.Helper()
	n := c.unseal(s)
	n.load()
	return n
}

func (n *node) load() {
	n.t.Helper()
	if err := n.Load(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

// run runs the Rotator until the test ends, or stop is called.
func (n *node) run() (stop func()) {
	ctx, cancel := context.WithCancel(n.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			n.t.Error(err)
		}
	})
	stop = func() {
		cancel()
		running.Wait()
	}
	n.t.Cleanup(stop)
	return stop
}

func (n *node) seal(value string) []byte {
	n.t.Helper()
	sealed, err := n.barrier.Seal("k", []byte(value))
	if err != nil {
		n.t.Fatal(err)
	}
	return sealed
}

func (n *node) wantOpen(sealed []byte, want string) {
	n.t.Helper()
	got, err := n.barrier.Open("k", sealed)
	if err != nil || string(got) != want {
		n.t.Errorf("open = %q, %v; want %q", got, err, want)
	}
}
