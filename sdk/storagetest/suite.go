// Package storagetest checks that a storage backend keeps the promises of package
// storage. A backend's contract test is one line:
//
//	func TestContract(t *testing.T) { storagetest.Run(t, open) }
package storagetest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// patience is how long a case waits for what must happen, and grace how long it
// looks for what must not.
const (
	patience = 20 * time.Second
	grace    = 50 * time.Millisecond
)

// Run runs every case as a subtest of t. open returns a new client of one and the same
// store, as another node would have; Run closes it. The cases work below a random
// directory of their own and remove it, so the store may hold other things. The
// cases of storage.HABackend run if the client implements it, unless it says otherwise by a
// method HA() bool, as a client across the wire does.
func Run(t *testing.T, open func(t *testing.T) storage.Backend) {
	t.Helper()
	s := suite{open: open}
	for _, c := range coreCases {
		t.Run(c.name, func(t *testing.T) { c.run(t, s.store(t)) })
	}
	if !isHA(s.store(t).Backend) {
		t.Log("not an HABackend: the cases of Commit and Watch do not apply")
		return
	}
	for _, c := range haCases {
		t.Run(c.name, func(t *testing.T) { c.run(t, haStore{s.store(t)}) })
	}
}

func isHA(b storage.Backend) bool {
	if says, ok := b.(interface{ HA() bool }); ok {
		return says.HA()
	}
	_, ok := b.(storage.HABackend)
	return ok
}

type suite struct {
	open func(t *testing.T) storage.Backend
}

// store is one client and the directory it works in.
type store struct {
	storage.Backend
	dir     string // ends in "/"
	another func() storage.Backend
}

func (s suite) client(t *testing.T) storage.Backend {
	t.Helper()
	b := s.open(t)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func (s suite) store(t *testing.T) store {
	t.Helper()
	st := store{
		Backend: s.client(t),
		dir:     "storagetest-" + strings.ToLower(rand.Text()) + "/",
		another: func() storage.Backend { return s.client(t) },
	}
	t.Cleanup(func() { // before the client is closed; t's own context is over by now
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		removeAll(ctx, t, st.Backend, st.dir)
	})
	return st
}

func removeAll(ctx context.Context, t *testing.T, b storage.Backend, dir string) {
	names, err := b.List(ctx, dir, "", 0)
	if err != nil {
		t.Errorf("clean up: list: %v", err)
		return
	}
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			removeAll(ctx, t, b, dir+name)
		} else if err := b.Write(ctx, []storage.Op{storage.Delete(dir + name)}); err != nil {
			t.Errorf("clean up: delete: %v", err)
		}
	}
}

// limits are what the client declares by a method Capabilities, else the least the
// host accepts.
func (s store) limits() storage.Limits {
	if d, ok := s.Backend.(interface{ Capabilities() storage.Capabilities }); ok {
		return d.Capabilities().Limits
	}
	return storage.Limits{
		MaxKeyBytes:   storage.MaxKeyBytes / 2,
		MaxValueBytes: storage.MinValueBytes,
		MaxOps:        storage.MinOps,
		MaxBatchBytes: storage.MinValueBytes,
	}
}

func (s store) write(t *testing.T, ops ...storage.Op) {
	t.Helper()
	if err := s.Write(t.Context(), ops); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func (s store) put(t *testing.T, name, value string) {
	t.Helper()
	s.write(t, storage.Put(s.dir+name, []byte(value)))
}

func (s store) wantValue(t *testing.T, name, want string) storage.Version {
	t.Helper()
	item, err := s.Get(t.Context(), s.dir+name)
	if err != nil || string(item.Value) != want {
		t.Fatalf("get %q: got %q, %v, want %q", name, item.Value, err, want)
	}
	return item.Version
}

func (s store) wantAbsent(t *testing.T, name string) {
	t.Helper()
	if item, err := s.Get(t.Context(), s.dir+name); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("get %q: got %q, %v, want ErrNotFound", name, item.Value, err)
	}
}

func (s store) wantNames(t *testing.T, sub, after string, limit int, want ...string) {
	t.Helper()
	got, err := s.List(t.Context(), s.dir+sub, after, limit)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("list %q after %q limit %d: got %q, %v, want %q", sub, after, limit, got, err, want)
	}
}
