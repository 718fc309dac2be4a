//go:build template_ha

package main

import (
	"bytes"
	"context"
	"time"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

var _ storage.HABackend = (*Backend)(nil)

// Commit implements storage.HABackend.
func (b *Backend) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	var version storage.Version
	err := b.file.update(ctx, func(next *document) error {
		// The value is compared too: after a restore of an old copy of the file its
		// revisions begin again where the copy ends.
		if next.version(guard.Key) != guard.Version || !bytes.Equal(next.Items[guard.Key].Value, guard.Prev) {
			return storage.ErrConflict
		}
		next.apply(ops)
		next.apply([]storage.Op{storage.Put(guard.Key, guard.Value)})
		version = next.version(guard.Key)
		return nil
	})
	return version, err
}

// watchEvery is how often Watch looks at the file: a change is noticed after so long.
const watchEvery = 100 * time.Millisecond

// Watch implements storage.HABackend.
func (b *Backend) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	return sdk.PollWatch(ctx, b.Get, key, seen, watchEvery)
}
