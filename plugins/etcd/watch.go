package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast/holdfast/sdk/storage"
)

const (
	// watchWait is how long a Watch believes in silence before it reads the key: a member
	// that stands still, is cut off or was restored to an older state is silent too.
	watchWait = time.Second
	// watchPace is the least time between two reads of one Watch.
	watchPace = 50 * time.Millisecond
)

// Watch reads the key, then follows it from that revision on. What comes is later than
// the read, so it is as linearizable. A revision that has been compacted meanwhile, a
// member that lost its leader or its connection lead back to a read, which is made of
// another member if need be.
func (b *Backend) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	for {
		started := time.Now()
		found, revision, err := b.read(ctx, key)
		item, err := absent(found, err)
		switch {
		case err != nil:
			return storage.Item{}, err
		case item.Version != seen:
			return present(item)
		}
		if item, changed := b.follow(ctx, key, seen, revision+1); changed {
			return present(item)
		}
		if err := pause(ctx, time.Until(started.Add(watchPace))); err != nil {
			return storage.Item{}, fmt.Errorf("watch a key in etcd at %s: %w", b.members.preferred().endpoint, err)
		}
	}
}

// follow waits up to watchWait for the first state of key from revision on that is not
// seen; the zero Item is an absent key.
func (b *Backend) follow(ctx context.Context, key string, seen storage.Version, revision int64) (now storage.Item, changed bool) {
	wctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), watchWait)
	defer cancel()
	member := b.members.preferred()
	for answer := range member.client.Watch(wctx, b.name(key), clientv3.WithRev(revision)) {
		if err := answer.Err(); err != nil {
			if newFailure(member.endpoint, err, new(passage)).elsewhere {
				b.members.avoid(member)
			}
			return storage.Item{}, false
		}
		if len(answer.Events) == 0 {
			continue
		}
		last := answer.Events[len(answer.Events)-1] // those before it are past already
		item := storage.Item{}
		if last.Type == mvccpb.PUT {
			item = itemOf(last.Kv.Value, last.Kv.ModRevision)
		}
		if item.Version != seen {
			return item, true
		}
	}
	return storage.Item{}, false
}

// present is the inverse of absent.
func present(item storage.Item) (storage.Item, error) {
	if item.Version == "" {
		return storage.Item{}, storage.ErrNotFound
	}
	return item, nil
}

// absent makes of ErrNotFound the zero Item.
func absent(item storage.Item, err error) (storage.Item, error) {
	if errors.Is(err, storage.ErrNotFound) {
		return storage.Item{}, nil
	}
	return item, err
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
