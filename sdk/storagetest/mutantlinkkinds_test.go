package storagetest_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// resigning gives the store up for good when it was away once.
type resigning struct {
	modelClient

	mu   sync.Mutex // guards gone
	gone bool
}

func (b *resigning) Get(ctx context.Context, key string) (storage.Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return storage.Item{}, storage.ErrUnavailable
	}
	item, err := b.modelClient.Get(ctx, key)
	b.gone = errors.Is(err, storage.ErrUnavailable)
	return item, err
}

// queueing makes one call at a time.
type queueing struct {
	modelClient

	turn sync.Mutex // held during a call
}

func (b *queueing) Get(ctx context.Context, key string) (storage.Item, error) {
	b.turn.Lock()
	defer b.turn.Unlock()
	return b.modelClient.Get(ctx, key)
}

// optimistic says of every write without an answer that it was not applied.
type optimistic struct{ modelClient }

func (b optimistic) Write(ctx context.Context, ops []storage.Op) error {
	return storage.NotApplied(b.modelClient.Write(ctx, ops))
}

// collecting keeps all that it ever read.
type collecting struct {
	modelClient

	mu   sync.Mutex // guards kept
	kept [][]byte
}

func (b *collecting) Get(ctx context.Context, key string) (storage.Item, error) {
	item, err := b.modelClient.Get(ctx, key)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, item.Value)
	return item, err
}

// insisting sends a Commit again that had no answer, and believes the second answer.
type insisting struct{ modelClient }

func (b insisting) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	for {
		version, err := b.modelClient.Commit(ctx, g, ops)
		if !errors.Is(err, storage.ErrUnavailable) || ctx.Err() != nil {
			return version, err
		}
		waitAMoment(ctx)
	}
}

// refreshing believes that a Commit which took long deserves a newer version.
type refreshing struct{ modelClient }

func (b refreshing) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	began := time.Now()
	version, err := b.modelClient.Commit(ctx, g, ops)
	if errors.Is(err, storage.ErrConflict) && time.Since(began) > 20*time.Millisecond {
		return unguarded(b).Commit(ctx, g, ops)
	}
	return version, err
}
