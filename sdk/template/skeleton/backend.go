package main

import (
	"bytes"
	"context"
	"maps"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Backend keeps everything in one file. It is safe for concurrent use, and several
// processes may have backends on the same file.
type Backend struct{ file *file }

var _ storage.Backend = (*Backend)(nil)

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, key string) (storage.Item, error) {
	now, err := b.file.view(ctx)
	if err != nil {
		return storage.Item{}, err
	}
	item, ok := now.Items[key]
	if !ok {
		return storage.Item{}, storage.ErrNotFound
	}
	return storage.Item{Value: bytes.Clone(item.Value), Version: now.version(key)}, nil
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	now, err := b.file.view(ctx)
	if err != nil {
		return nil, err
	}
	return storage.OneLevel(maps.Keys(now.Items), prefix, after, limit), nil
}

// Write implements storage.Backend.
func (b *Backend) Write(ctx context.Context, ops []storage.Op) error {
	return b.file.update(ctx, func(next *document) error {
		next.apply(ops)
		return nil
	})
}

// Close implements storage.Backend.
func (b *Backend) Close() error { return b.file.close() }
