package inmem

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

var _ storage.HABackend = (*Backend)(nil)

// Backend is a client of a store in this process. It is safe for concurrent use.
type Backend struct {
	store   *store
	latency time.Duration
}

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, key string) (storage.Item, error) {
	if err := b.delay(ctx); err != nil {
		return storage.Item{}, err
	}
	return b.store.get(key)
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if err := b.delay(ctx); err != nil {
		return nil, err
	}
	return b.store.list(prefix, after, limit), nil
}

// Write implements storage.Backend. Its errors mean that nothing was applied.
func (b *Backend) Write(ctx context.Context, ops []storage.Op) error {
	if err := b.delay(ctx); err != nil {
		return storage.NotApplied(err)
	}
	b.store.write(ops)
	return nil
}

// Commit implements storage.HABackend. Its errors mean that nothing was applied.
func (b *Backend) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	if err := b.delay(ctx); err != nil {
		return "", storage.NotApplied(err)
	}
	return b.store.commit(guard, ops)
}

// Watch implements storage.HABackend.
func (b *Backend) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	if err := b.delay(ctx); err != nil {
		return storage.Item{}, err
	}
	return b.store.watch(ctx, key, seen)
}

// Close implements storage.Backend. The data stays for others that share it.
func (b *Backend) Close() error { return nil }

// delay takes as long as the configuration says, or until ctx ends.
func (b *Backend) delay(ctx context.Context) error {
	if b.latency == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(b.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
