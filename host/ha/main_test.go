package ha_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timing is short, so that tests are. A node that is dead is replaced after 360 ms.
var timing = ha.Timing{Lease: 300 * time.Millisecond, Beat: 50 * time.Millisecond}

// patiently gives a node a lease that outlasts what a busy machine does to it.
func patiently(_ *member, cfg *ha.Config) { cfg.Timing = patience }

var patience = ha.Timing{Lease: 3 * time.Second, Beat: 200 * time.Millisecond}

// cluster is a store with a first record in it.
type cluster struct {
	t       *testing.T
	storage *fakestorage.Store
	sealer  *sealer
	lives   atomic.Int32
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, storage: fakestorage.New(), sealer: &sealer{newest: 1, known: 1}}
	c.write(ha.FirstRecord("c"))
	t.Cleanup(c.storage.Wait)
	return c
}

// write puts r into the store, whatever is there.
func (c *cluster) write(r ha.Record) {
	c.t.Helper()
	plain, err := r.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	sealed, err := c.sealer.Seal(ha.RecordKey, plain)
	if err != nil {
		c.t.Fatal(err)
	}
	c.storage.Put(ha.RecordKey, sealed)
}

// member is one node: a Driver and a Store, as host/node wires them.
type member struct {
	*ha.Driver
	t      *testing.T
	id     string
	conn   *fakestorage.Node
	store  *store.Store
	sealer *sealer
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // of Run; set before ended is closed

	mu      sync.Mutex
	changes []ha.Snapshot // guarded by mu
}

// start starts a node. edit may change its Config before.
func (c *cluster) start(edit ...func(*member, *ha.Config)) *member {
	m := &member{
		t: c.t, id: fmt.Sprintf("node-%d", c.lives.Add(1)), conn: c.storage.Connect(), sealer: &sealer{newest: 1, known: 1},
		ended: make(chan struct{}),
	}
	m.store = store.New(store.Config{
		Reader: m.conn, Sealer: m.sealer, Limits: fakestorage.DefaultLimits,
		Wake: func() { m.Wake() }, Hold: 500 * time.Millisecond,
	})
	cfg := ha.Config{
		Self: ha.Node{ID: m.id, APIAddress: "https://" + m.id}, Cluster: "c", Timing: timing,
		Backend: m.conn, Sealer: m.sealer, Log: m.store, Logger: logger(c.t).Named(m.id),
		Reload: func(context.Context) error { return nil }, Changed: m.changed,
		SetLastWill: m.conn.SetLastWill,
	}
	for _, f := range edit {
		f(m, &cfg)
	}
	m.Driver = ha.NewDriver(cfg)
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(c.t.Context())
	go func() {
		defer close(m.ended)
		m.err = m.Run(ctx)
	}()
	c.t.Cleanup(m.kill)
	return m
}

// kill ends the node without a word.
func (m *member) kill() {
	m.cancel()
	<-m.ended
	m.store.Close()
}

func (m *member) changed(s ha.Snapshot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes = append(m.changes, s)
}

func (m *member) active() bool { return m.Snapshot().Role == ha.Active }

// put writes through the store of m; ErrNotActive if it is not active.
func (m *member) put(key, value string) error {
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
	defer cancel()
	ctx, err := m.store.Begin(ctx)
	if err != nil {
		return err
	}
	return m.store.Put(ctx, key, []byte(value))
}

// get reads through the store of m, confirmed.
func (m *member) get(key string) (string, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
	defer cancel()
	ctx, err := m.store.Begin(ctx)
	if err != nil {
		return "", err
	}
	value, err := m.store.Get(ctx, key)
	if err != nil {
		return "", err
	}
	return string(value), m.store.Confirm(ctx, false)
}

// await polls until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// logger shows the log of a test that fails, or of all with -v.
func logger(t *testing.T) hclog.Logger {
	if os.Getenv("HOLDFAST_TEST_LOG") == "" {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: t.Output()})
}

// sealer binds values to their keys. What is sealed under a newer key than it knows it can not open.
type sealer struct {
	mu     sync.Mutex
	newest byte // guarded by mu; seals with this key
	known  byte // guarded by mu; opens up to this key
}

func (s *sealer) set(newest, known byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest, s.known = newest, known
}

func (s *sealer) Seal(key string, plain []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]byte(string('0'+rune(s.newest))+key+"|"), plain...), nil
}

func (s *sealer) Open(key string, sealed []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(sealed) == 0 || sealed[0] > '0'+s.known {
		return nil, errors.New("sealed under a key that is not known here")
	}
	plain, ok := strings.CutPrefix(string(sealed[1:]), key+"|")
	if !ok {
		return nil, errors.New("the value was altered")
	}
	return []byte(plain), nil
}

var _ storage.HABackend = (*fakestorage.Node)(nil)
