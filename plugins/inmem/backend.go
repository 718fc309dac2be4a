package inmem

import (
	"context"

	"github.com/holdfast/holdfast/sdk/storage"
)

var _ storage.HABackend = (*Backend)(nil)

// Backend is a client of a store in this process. It is safe for concurrent use.
type Backend struct {
	store  *store
	faults *faults
}

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, key string) (storage.Item, error) {
	if err := b.faults.read(ctx); err != nil {
		return storage.Item{}, err
	}
	return b.store.get(key)
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if err := b.faults.read(ctx); err != nil {
		return nil, err
	}
	return b.store.list(prefix, after, limit), nil
}

// Write implements storage.Backend. Its errors mean that nothing was applied, unless faults are
// injected.
func (b *Backend) Write(ctx context.Context, ops []storage.Op) error {
	return b.faults.write(ctx, func() error {
		b.store.write(ops)
		return nil
	})
}

// Commit implements storage.HABackend. Its errors mean that nothing was applied, unless faults
// are injected.
func (b *Backend) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	var version storage.Version
	err := b.faults.write(ctx, func() (err error) {
		version, err = b.store.commit(guard, ops)
		return err
	})
	if err != nil {
		return "", err
	}
	return version, nil
}

// Watch implements storage.HABackend.
func (b *Backend) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	if err := b.faults.read(ctx); err != nil {
		return storage.Item{}, err
	}
	return b.store.watch(ctx, key, seen)
}

// Close implements storage.Backend. The data stays for others that share it.
func (b *Backend) Close() error { return nil }
