package storagetest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/sdk/storage"
)

// model is a correct store, as simple as can be: what the mutants are made from.
type model struct {
	id string // begins every version

	mu      sync.Mutex // guards the following
	items   map[string]storage.Item
	counter int
	changed chan struct{} // closed and replaced at every change
}

func newModel() *model {
	return &model{id: rand.Text(), items: map[string]storage.Item{}, changed: make(chan struct{})}
}

// modelLimits are small, so that batches at the limits are too.
var modelLimits = storage.Limits{MaxKeyBytes: storage.MaxKeyBytes, MaxValueBytes: 64 << 10, MaxOps: 64, MaxBatchBytes: 128 << 10}

// modelClient is one client of a model.
type modelClient struct {
	*model

	link *modelLink // its way to the model; nil if nothing disturbs it
}

var _ storage.HABackend = modelClient{}

func (c modelClient) Get(ctx context.Context, key string) (storage.Item, error) {
	if err := c.link.roundTrip(ctx, nil); err != nil {
		return storage.Item{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	item, ok := c.items[key]
	if err := ctx.Err(); err != nil || ok {
		return storage.Item{Value: bytes.Clone(item.Value), Version: item.Version}, err
	}
	return storage.Item{}, storage.ErrNotFound
}

func (c modelClient) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if err := c.link.roundTrip(ctx, nil); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	names := map[string]bool{}
	for key := range c.items {
		name, below := strings.CutPrefix(key, prefix)
		if dir, _, isDir := strings.Cut(name, "/"); isDir {
			name = dir + "/"
		}
		if below && name > after {
			names[name] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(names))
	if limit > 0 {
		sorted = sorted[:min(limit, len(sorted))]
	}
	return sorted, ctx.Err()
}

func (c modelClient) Write(ctx context.Context, ops []storage.Op) error {
	return c.link.roundTrip(ctx, func() error { return c.write(ctx, ops) })
}

func (c modelClient) write(ctx context.Context, ops []storage.Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return storage.NotApplied(err)
	}
	c.apply(ops)
	return nil
}

func (c modelClient) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (version storage.Version, err error) {
	err = c.link.roundTrip(ctx, func() error {
		version, err = c.commit(ctx, g, ops)
		return err
	})
	if err != nil {
		return "", err
	}
	return version, nil
}

func (c modelClient) commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", storage.NotApplied(err)
	}
	if c.items[g.Key].Version != g.Version {
		return "", storage.ErrConflict
	}
	c.apply(append(slices.Clone(ops), storage.Put(g.Key, g.Value)))
	return c.items[g.Key].Version, nil
}

func (c modelClient) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	for {
		c.mu.Lock()
		item, ok := c.items[key]
		changed := c.changed
		c.mu.Unlock()
		switch {
		case item.Version != seen && ok:
			return item, nil
		case item.Version != seen:
			return storage.Item{}, storage.ErrNotFound
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return storage.Item{}, ctx.Err()
		}
	}
}

func (c modelClient) Close() error { return nil }

// apply needs mu.
func (m *model) apply(ops []storage.Op) {
	for _, op := range ops {
		if op.Kind == storage.OpDelete {
			delete(m.items, op.Key)
			continue
		}
		m.counter++
		version := storage.Version(fmt.Sprintf("%s.%d", m.id, m.counter))
		m.items[op.Key] = storage.Item{Value: bytes.Clone(op.Value), Version: version}
	}
	close(m.changed)
	m.changed = make(chan struct{})
}
