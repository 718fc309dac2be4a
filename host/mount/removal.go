package mount

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// removalRetry is how long Run waits after the store refused it.
const removalRetry = time.Second

// Run deletes the data of removed mounts, those an earlier active node left behind
// first, until ctx ends. A node runs it for as long as it is active; what is
// left then, the next active node deletes.
func (t *Table) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := t.FinishRemovals(ctx)
		var retry <-chan time.Time
		if err != nil && ctx.Err() == nil {
			t.logger.Warn("can not delete the data of a removed mount yet", "retry_in", removalRetry, "error", err)
			retry = time.After(removalRetry)
		}
		select {
		case <-ctx.Done():
		case <-t.removed:
		case <-retry:
		}
	}
}

// FinishRemovals deletes the data of every removed mount, after the requests that
// still work on it have ended. It can be called again after an error.
func (t *Table) FinishRemovals(ctx context.Context) error {
	r, err := t.read(ctx)
	if err != nil {
		return err
	}
	for _, id := range r.Removing {
		if err := t.unused(ctx, id); err != nil {
			return err
		}
		if err := t.deleteBelow(ctx, dataDir(id)); err != nil {
			return err
		}
		err := t.change(ctx, func(r *record) error {
			r.Removing = slices.DeleteFunc(r.Removing, func(other string) bool { return other == id })
			return nil
		})
		if err != nil {
			return err
		}
		t.logger.Info("deleted the data of a removed mount", "id", id)
	}
	return nil
}

// deleteBelow deletes everything below dir, which ends in "/", one directory after
// the other and in batches that every store accepts.
func (t *Table) deleteBelow(ctx context.Context, dir string) error {
	names, err := t.store.List(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			if err := t.deleteBelow(ctx, dir+name); err != nil {
				return err
			}
		}
	}
	leaves := slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "/") })
	for batch := range slices.Chunk(leaves, storage.MinOps) {
		err := t.store.Update(ctx, []string{strings.TrimSuffix(dir, "/")}, func(tx store.Tx) error {
			for _, name := range batch {
				tx.Delete(dir + name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// use counts one more request in the mount, until the function returned is called.
func (t *Table) use(id string) (release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.uses[id]
	if u == nil {
		u = &use{done: make(chan struct{})}
		t.uses[id] = u
	}
	u.count++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if u.count--; u.count == 0 {
			delete(t.uses, id)
			close(u.done)
		}
	})
}

// unused waits until no request works on the mount. New ones do not begin: the
// mount has left the table.
func (t *Table) unused(ctx context.Context, id string) error {
	for {
		t.mu.Lock()
		u := t.uses[id]
		t.mu.Unlock()
		if u == nil {
			return nil
		}
		select {
		case <-u.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
