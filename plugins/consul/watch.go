package consul

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

const (
	// watchWait is how long one blocking query may stay with the server.
	watchWait = 30 * time.Second
	// watchPace is the least time between two queries of one Watch. A query for an
	// absent key also returns when anything else in the store changes.
	watchPace = 50 * time.Millisecond
)

// Watch asks once and then by blocking queries, each of them consistent. It does
// not outlive the connection: after a server restart it returns ErrUnavailable
// and is to be called again with the same seen.
func (b *Backend) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	// The first query does not block: the key may be at a lower index than seen,
	// after a restore, and a query that waits for a higher one would not return.
	var index uint64
	for {
		started := time.Now()
		item, next, err := b.read(ctx, key, index)
		absent := errors.Is(err, storage.ErrNotFound)
		switch {
		case err != nil && !absent:
			return storage.Item{}, err
		case absent && seen != "", !absent && item.Version != seen:
			return item, err
		}
		if index != 0 {
			if err := pause(ctx, time.Until(started.Add(watchPace))); err != nil {
				return storage.Item{}, fmt.Errorf("watch a key in consul at %s: %w", b.address, err)
			}
		}
		index = nextIndex(index, next)
	}
}

// nextIndex is the index to wait on after an answer that was at next. An index that
// went backwards (the store was restored) is no basis for waiting: the next query
// does not block, and gives a new one.
func nextIndex(index, next uint64) uint64 {
	if next < index {
		return 0
	}
	return next
}

// blockFor returns how long a blocking query may take so that it ends with ctx: a
// query the client gave up stays with the server until then.
func blockFor(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return watchWait
	}
	return min(watchWait, max(time.Until(deadline), time.Millisecond))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
