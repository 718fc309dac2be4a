package storagetest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/sdk/storage"
)

type unguarded struct{ modelClient }

func (b unguarded) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	item, _ := b.Get(ctx, g.Key)
	g.Version = item.Version
	return b.modelClient.Commit(ctx, g, ops)
}

type applyFirst struct{ modelClient }

func (b applyFirst) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	if err := b.Write(ctx, ops); err != nil {
		return "", err
	}
	return b.modelClient.Commit(ctx, g, nil)
}

// contented finds nothing to do when the guard has the value already.
type contented struct{ modelClient }

func (b contented) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	item, err := b.Get(ctx, g.Key)
	if err == nil && item.Version != g.Version && bytes.Equal(item.Value, g.Value) {
		return item.Version, nil
	}
	return b.modelClient.Commit(ctx, g, ops)
}

type checkFirst struct{ modelClient }

func (b checkFirst) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	if item, _ := b.Get(ctx, g.Key); item.Version != g.Version {
		return "", storage.ErrConflict
	}
	waitAMoment(ctx) // others come in between
	return unguarded(b).Commit(ctx, g, ops)
}

type overwriting struct{ modelClient }

func (b overwriting) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	if g.Version == "" {
		return unguarded(b).Commit(ctx, g, ops)
	}
	return b.modelClient.Commit(ctx, g, ops)
}

// renaming gives versions names of its own.
type renaming struct {
	modelClient

	name func(key string, item storage.Item) storage.Version
}

func (b renaming) Get(ctx context.Context, key string) (storage.Item, error) {
	item, err := b.modelClient.Get(ctx, key)
	if err == nil {
		item.Version = b.name(key, item)
	}
	return item, err
}

func (b renaming) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	item, err := b.modelClient.Get(ctx, g.Key)
	if err == nil && b.name(g.Key, item) != g.Version {
		return "", storage.ErrConflict
	}
	if err != nil && g.Version != "" {
		return "", storage.ErrConflict
	}
	g.Version = item.Version
	version, err := b.modelClient.Commit(ctx, g, ops)
	if err != nil {
		return "", err
	}
	return b.name(g.Key, storage.Item{Value: g.Value, Version: version}), nil
}

// newEqual returns a backend that tells states apart by their value.
func newEqual(c modelClient) storage.Backend {
	return renaming{c, func(_ string, item storage.Item) storage.Version {
		return storage.Version(fmt.Sprintf("%x", sha256.Sum256(item.Value)))
	}}
}

// newRecount returns a backend that counts the states of each key, from one again after a
// delete, as a store without a history does.
func newRecount(c modelClient) storage.Backend {
	counts := &recount{names: map[storage.Version]storage.Version{}, next: map[string]int{}}
	return recounting{renaming{c, counts.name}, counts}
}

type recounting struct {
	renaming

	counts *recount
}

func (b recounting) Write(ctx context.Context, ops []storage.Op) error {
	for _, op := range ops {
		if op.Kind == storage.OpDelete {
			b.counts.forget(op.Key)
		}
	}
	return b.renaming.Write(ctx, ops)
}

type recount struct {
	mu    sync.Mutex // guards the following
	names map[storage.Version]storage.Version
	next  map[string]int
}

func (c *recount) name(key string, item storage.Item) storage.Version {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names[item.Version] == "" {
		c.next[key]++
		c.names[item.Version] = storage.Version(fmt.Sprint(c.next[key]))
	}
	return c.names[item.Version]
}

func (c *recount) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.next, key)
}

type smallCommits struct{ modelClient }

func (b smallCommits) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	if len(ops) == modelLimits.MaxOps { // the guard was forgotten
		return "", &storage.TooLargeError{What: "batch", Unit: "ops", Size: len(ops) + 1, Limit: modelLimits.MaxOps}
	}
	return b.modelClient.Commit(ctx, g, ops)
}

// picky takes a version that is not like its own for a failure.
type picky struct{ modelClient }

func (b picky) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	if g.Version != "" && !strings.Contains(string(g.Version), ".") {
		return "", fmt.Errorf("%w: parse version", storage.ErrUnavailable)
	}
	return b.modelClient.Commit(ctx, g, ops)
}

// denying says of some Commits that were applied that they were not.
type denying struct{ modelClient }

func (b denying) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	for range 10 { // as long as a store takes
		waitAMoment(context.WithoutCancel(ctx))
	}
	version, err := b.modelClient.Commit(context.WithoutCancel(ctx), g, ops)
	if ctxErr := ctx.Err(); ctxErr != nil && err == nil {
		return "", storage.NotApplied(ctxErr)
	}
	return version, err
}

// retrying makes every Commit twice, and takes the conflict with itself for another's.
type retrying struct{ modelClient }

func (b retrying) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	if _, err := b.modelClient.Commit(ctx, g, ops); err != nil {
		return "", err
	}
	return b.modelClient.Commit(ctx, g, ops)
}

// tardy applies a Commit that was given up, at whatever version the guard is by then.
type tardy struct{ modelClient }

func (b tardy) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	for range 10 { // as long as a store takes
		waitAMoment(ctx)
	}
	if ctx.Err() == nil {
		return b.modelClient.Commit(ctx, g, ops)
	}
	late := context.WithoutCancel(ctx)
	go func() {
		for range 100 {
			waitAMoment(late)
		}
		_, _ = unguarded(b).Commit(late, g, ops)
	}()
	return "", ctx.Err()
}

// restless returns from Watch for nothing.
type restless struct{ modelClient }

func (b restless) Watch(ctx context.Context, key string, _ storage.Version) (storage.Item, error) {
	return b.Get(ctx, key)
}

// losing looks for a change, then begins to wait for the next one: what comes in between is
// lost.
type losing struct{ modelClient }

func (b losing) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	item, err := b.Get(ctx, key)
	if (err == nil || errors.Is(err, storage.ErrNotFound)) && item.Version != seen {
		return item, err
	}
	for range 10 {
		waitAMoment(ctx)
	}
	item, err = b.Get(ctx, key)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return item, err
	}
	return b.modelClient.Watch(ctx, key, item.Version)
}

// stubborn takes the end of the context for a change.
type stubborn struct{ modelClient }

func (b stubborn) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	item, err := b.modelClient.Watch(ctx, key, seen)
	if ctx.Err() != nil {
		return b.Get(context.WithoutCancel(ctx), key)
	}
	return item, err
}

// locking has one connection, and Watch uses it.
type locking struct {
	modelClient

	connection sync.Mutex // held during a call
}

func (b *locking) Get(ctx context.Context, key string) (storage.Item, error) {
	b.connection.Lock()
	defer b.connection.Unlock()
	return b.modelClient.Get(ctx, key)
}

func (b *locking) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	b.connection.Lock()
	defer b.connection.Unlock()
	return b.modelClient.Watch(ctx, key, seen)
}
