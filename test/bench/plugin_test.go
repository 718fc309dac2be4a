package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/plugins/inmem"
	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/harness"
)

// BenchmarkPlugin shows what the boundary of a process costs: the same backend, in a plugin
// and without one, below the whole read and write path. Reads miss the cache.
func BenchmarkPlugin(b *testing.B) {
	own := inmem.New()
	direct, capabilities, err := own.Open(b.Context(), own.Defaults, sdk.Env{})
	if err != nil {
		b.Fatal(err)
	}
	through, err := plugin.Open(b.Context(), plugin.Spec{
		Type: own.Name, Directory: filepath.Join(harness.Binaries(b), "plugins"),
	}, hclog.NewNullLogger())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(through.Close(), direct.Close()); err != nil {
			b.Error(err)
		}
	})
	baseline, subject := newStore(b, direct, capabilities.Limits), newStore(b, through, through.Capabilities().Limits)
	b.Run("writes", func(b *testing.B) {
		compare(b,
			&contestant{name: "direct", call: baseline.put},
			&contestant{name: "plugin", call: subject.put})
	})
	b.Run("reads", func(b *testing.B) {
		for n := range keys {
			if err := errors.Join(baseline.put(b.Context(), n), subject.put(b.Context(), n)); err != nil {
				b.Fatal(err)
			}
		}
		compare(b,
			&contestant{name: "direct", call: baseline.get},
			&contestant{name: "plugin", call: subject.get})
	})
}

// activeStore is the read and write path of an active node.
type activeStore struct {
	store *store.Store
	value []byte
}

func newStore(b *testing.B, backend storage.HABackend, limits storage.Limits) *activeStore {
	b.Helper()
	sealer := barrier.New(barrier.NewKeyring("bench"))
	var driver *ha.Driver
	s := store.New(store.Config{
		Reader: backend, Sealer: sealer, Limits: limits, Wake: func() { driver.Wake() },
		CacheBytes: 1, // holds nothing
	})
	record, err := ha.FirstRecord("bench").Encode()
	if err == nil {
		record, err = sealer.Seal(ha.RecordKey, record)
	}
	if err == nil {
		_, err = backend.Commit(b.Context(), storage.Guard{Key: ha.RecordKey, Value: record}, nil)
	}
	if err != nil {
		b.Fatalf("write the first term record: %v", err)
	}
	active := make(chan struct{})
	var once sync.Once
	driver = ha.NewDriver(ha.Config{
		Self: ha.Node{ID: "bench"}, Cluster: "bench", Timing: ha.DefaultTiming,
		Backend: backend, Sealer: sealer, Log: s, Logger: hclog.NewNullLogger(),
		Reload: func(context.Context) error { return nil },
		Changed: func(now ha.Snapshot) {
			if now.Role == ha.Active {
				once.Do(func() { close(active) })
			}
		},
	})
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := driver.Run(ctx); err != nil {
			b.Errorf("run the term record: %v", err)
		}
	})
	b.Cleanup(func() {
		cancel()
		running.Wait()
		s.Close()
	})
	select {
	case <-active:
	case <-time.After(harness.Patience):
		b.Fatal("the driver does not become active")
	}
	return &activeStore{store: s, value: make([]byte, valueSize)}
}

func (s *activeStore) put(ctx context.Context, n int) error {
	ctx, err := s.store.Begin(ctx)
	if err != nil {
		return err
	}
	return s.store.Put(ctx, fmt.Sprint("bench/", n%keys), s.value)
}

func (s *activeStore) get(ctx context.Context, n int) error {
	ctx, err := s.store.Begin(ctx)
	if err != nil {
		return err
	}
	value, err := s.store.Get(ctx, fmt.Sprint("bench/", n%keys))
	if err == nil && len(value) != valueSize {
		err = fmt.Errorf("key %d has %d bytes, want %d", n%keys, len(value), valueSize)
	}
	return errors.Join(err, s.store.Confirm(ctx, false))
}
