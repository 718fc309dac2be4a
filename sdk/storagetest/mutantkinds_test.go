package storagetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// droppingWrites forgets every seventh batch.
type droppingWrites struct {
	modelClient

	mu    sync.Mutex // guards count
	count int
}

func (b *droppingWrites) Write(ctx context.Context, ops []storage.Op) error {
	b.mu.Lock()
	b.count++
	drop := b.count%7 == 0
	b.mu.Unlock()
	if drop {
		return ctx.Err()
	}
	return b.modelClient.Write(ctx, ops)
}

// caching answers Get from what it read before, and notices its own writes only.
type caching struct {
	modelClient

	mu   sync.Mutex // guards seen
	seen map[string]storage.Item
}

func (b *caching) Get(ctx context.Context, key string) (storage.Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if item, ok := b.seen[key]; ok {
		return item, nil
	}
	item, err := b.modelClient.Get(ctx, key)
	if err == nil {
		b.seen[key] = item
	}
	return item, err
}

func (b *caching) Write(ctx context.Context, ops []storage.Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.seen)
	return b.modelClient.Write(ctx, ops)
}

// lagging returns at every fifth read what it returned at the one before.
type lagging struct {
	modelClient

	mu     sync.Mutex // guards the following
	count  int
	before map[string]storage.Item
}

func (b *lagging) Get(ctx context.Context, key string) (storage.Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	if item, ok := b.before[key]; ok && b.count%5 == 0 {
		return item, nil
	}
	item, err := b.modelClient.Get(ctx, key)
	if err == nil {
		b.before[key] = item
	}
	return item, err
}

type strictDelete struct{ modelClient }

func (b strictDelete) Write(ctx context.Context, ops []storage.Op) error {
	for _, op := range ops {
		if _, err := b.Get(ctx, op.Key); op.Kind == storage.OpDelete && err != nil {
			return storage.NotApplied(err)
		}
	}
	return b.modelClient.Write(ctx, ops)
}

// emptyAbsent is a store where a node without data is a directory.
type emptyAbsent struct{ modelClient }

func (b emptyAbsent) Get(ctx context.Context, key string) (storage.Item, error) {
	item, err := b.modelClient.Get(ctx, key)
	if err == nil && len(item.Value) == 0 && strings.HasSuffix(key, "/a") {
		return storage.Item{}, storage.ErrNotFound
	}
	return item, err
}

type zeroEnds struct{ modelClient }

func (b zeroEnds) Get(ctx context.Context, key string) (storage.Item, error) {
	item, err := b.modelClient.Get(ctx, key)
	item.Value, _, _ = bytes.Cut(item.Value, []byte{0})
	return item, err
}

// smallValues takes half of what it declares, like a store behind a proxy.
type smallValues struct{ modelClient }

func (b smallValues) Write(ctx context.Context, ops []storage.Op) error {
	for _, op := range ops {
		if len(op.Value) > modelLimits.MaxValueBytes/2 {
			return &storage.TooLargeError{What: "value", Unit: "bytes", Size: len(op.Value), Limit: modelLimits.MaxValueBytes / 2}
		}
	}
	return b.modelClient.Write(ctx, ops)
}

type cutting struct{ modelClient }

func (b cutting) Write(ctx context.Context, ops []storage.Op) error {
	ops = slices.Clone(ops)
	for i := range ops {
		ops[i].Value = ops[i].Value[:min(len(ops[i].Value), modelLimits.MaxValueBytes/2)]
	}
	return b.modelClient.Write(ctx, ops)
}

// aliasing maps two keys to one.
type aliasing struct {
	modelClient

	alias func(string) string
}

func foldCase(key string) string { return strings.ToLower(key) }
func compose(key string) string  { return strings.ReplaceAll(key, "e\u0301", "\u00e9") }

func (b aliasing) Get(ctx context.Context, key string) (storage.Item, error) {
	return b.modelClient.Get(ctx, b.alias(key))
}

func (b aliasing) Write(ctx context.Context, ops []storage.Op) error {
	ops = slices.Clone(ops)
	for i := range ops {
		ops[i].Key = b.alias(ops[i].Key)
	}
	return b.modelClient.Write(ctx, ops)
}

type reversed struct{ modelClient }

func (b reversed) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	names, err := b.modelClient.List(ctx, prefix, after, limit)
	slices.Reverse(names)
	return names, err
}

// truncating returns at most 500 names, whatever is asked for.
type truncating struct{ modelClient }

func (b truncating) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	names, err := b.modelClient.List(ctx, prefix, after, limit)
	return names[:min(len(names), 500)], err
}

type startingOver struct{ modelClient }

func (b startingOver) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if _, err := b.Get(ctx, prefix+strings.TrimSuffix(after, "/")); errors.Is(err, storage.ErrNotFound) && !strings.HasSuffix(after, "/") {
		after = ""
	}
	return b.modelClient.List(ctx, prefix, after, limit)
}

// hoarding lists directories that were there once.
type hoarding struct {
	modelClient

	mu   sync.Mutex // guards dirs
	dirs map[string]bool
}

func (b *hoarding) Write(ctx context.Context, ops []storage.Op) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, op := range ops {
		for i, r := range op.Key {
			if r == '/' {
				b.dirs[op.Key[:i+1]] = true
			}
		}
	}
	return b.modelClient.Write(ctx, ops)
}

func (b *hoarding) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	names, err := b.modelClient.List(ctx, prefix, after, limit)
	b.mu.Lock()
	defer b.mu.Unlock()
	for dir := range b.dirs {
		name, below := strings.CutPrefix(dir, prefix)
		if below && name > after && strings.Count(name, "/") == 1 && limit <= 0 && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// deaf answers calls whose context is over.
type deaf struct{ modelClient }

func (b deaf) Get(ctx context.Context, key string) (storage.Item, error) {
	return b.modelClient.Get(context.WithoutCancel(ctx), key)
}

func (b deaf) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	return b.modelClient.List(context.WithoutCancel(ctx), prefix, after, limit)
}

// tearing writes the first half of a value when there is no time for all of it.
type tearing struct{ modelClient }

func (b tearing) Write(ctx context.Context, ops []storage.Op) error {
	deadline, ok := ctx.Deadline()
	if ok && time.Until(deadline) < 8*time.Millisecond && len(ops) == 1 {
		ops = []storage.Op{storage.Put(ops[0].Key, ops[0].Value[:len(ops[0].Value)/2])}
		return errors.Join(b.modelClient.Write(context.WithoutCancel(ctx), ops), context.DeadlineExceeded)
	}
	return b.modelClient.Write(ctx, ops)
}

// leaking leaves a goroutine behind at every call that it could not answer.
type leaking struct{ modelClient }

func (b leaking) Get(ctx context.Context, key string) (storage.Item, error) {
	gone := context.WithoutCancel(ctx)
	go func() { _, _ = b.Watch(gone, "never/made", "") }()
	return b.modelClient.Get(ctx, key)
}

type hanging struct{ modelClient }

func (b hanging) Close() error {
	_, err := b.Watch(context.Background(), "never/made", "")
	return err
}

type half struct{ modelClient }

func (b half) Write(ctx context.Context, ops []storage.Op) error {
	return b.modelClient.Write(ctx, ops[:(len(ops)+1)/2])
}

// opByOp lets others in between.
type opByOp struct{ modelClient }

func (b opByOp) Write(ctx context.Context, ops []storage.Op) error {
	for i := range ops {
		if err := b.modelClient.Write(ctx, ops[i:i+1]); err != nil {
			return err
		}
		waitAMoment(ctx)
	}
	return nil
}

func waitAMoment(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Microsecond)
	defer cancel()
	<-ctx.Done()
}

type smallBatches struct{ modelClient }

func (b smallBatches) Write(ctx context.Context, ops []storage.Op) error {
	if len(ops) > modelLimits.MaxOps/2 {
		return storage.NotApplied(fmt.Errorf("%w: too many for me", storage.ErrUnavailable))
	}
	return b.modelClient.Write(ctx, ops)
}
