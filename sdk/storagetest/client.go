package storagetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// errHangs: a call did not return long after its context had ended.
var errHangs = errors.New("call hangs")

// client calls a backend. It never waits longer than a call's context, or the harness's
// patience, and overrun, so that a backend that hangs fails one case and not the suite.
type client struct {
	backend storage.Backend
	ha      storage.HABackend // nil: Commit and Watch are not offered
	limits  storage.Limits
	checked bool // the backend checks keys and limits itself
	t       *T
	closed  bool
}

var _ storage.HABackend = (*client)(nil)

// call runs f in a goroutine of its own, which is left behind if it hangs.
func call[R any](ctx context.Context, c *client, name string, f func(context.Context) (R, error)) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, c.t.patience())
	defer cancel()
	type answer struct {
		result R
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		r, err := f(ctx)
		done <- answer{r, err}
	}()
	select {
	case a := <-done:
		return a.result, a.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(c.t.overrun())
	defer timer.Stop()
	select {
	case a := <-done:
		return a.result, a.err
	case <-timer.C:
		c.t.Errorf("%s has not returned %v after its context ended", name, c.t.overrun())
		var none R
		return none, fmt.Errorf("%s: %w", name, errHangs)
	}
}

func (c *client) Get(ctx context.Context, key string) (storage.Item, error) {
	if err := c.limits.CheckKey(key); err != nil && !c.checked {
		return storage.Item{}, err
	}
	return call(ctx, c, "get", func(ctx context.Context) (storage.Item, error) { return c.backend.Get(ctx, key) })
}

func (c *client) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if err := storage.ValidatePrefix(prefix); err != nil && !c.checked {
		return nil, err
	}
	return call(ctx, c, "list", func(ctx context.Context) ([]string, error) {
		return c.backend.List(ctx, prefix, after, limit)
	})
}

func (c *client) Write(ctx context.Context, ops []storage.Op) error {
	if err := c.limits.CheckBatch(nil, ops); err != nil && !c.checked {
		return err
	}
	_, err := call(ctx, c, "write", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.backend.Write(ctx, ops)
	})
	return err
}

func (c *client) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	if c.ha == nil {
		return "", storage.ErrUnsupported
	}
	if err := c.limits.CheckBatch(&guard, ops); err != nil && !c.checked {
		return "", err
	}
	return call(ctx, c, "commit", func(ctx context.Context) (storage.Version, error) {
		return c.ha.Commit(ctx, guard, ops)
	})
}

func (c *client) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	if c.ha == nil {
		return storage.Item{}, storage.ErrUnsupported
	}
	return call(ctx, c, "watch", func(ctx context.Context) (storage.Item, error) { return c.ha.Watch(ctx, key, seen) })
}

func (c *client) Close() error {
	c.closed = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.ctx), c.t.overrun())
	defer cancel()
	_, err := call(ctx, c, "close", func(context.Context) (struct{}, error) { return struct{}{}, c.backend.Close() })
	return err
}

// outage reports whether err says that the store, or the way to it, did not work. The
// contract treats every error that is not one of its own like this.
func outage(err error) bool {
	if err == nil || errors.Is(err, errHangs) {
		return false
	}
	for _, sentinel := range []error{
		storage.ErrNotFound, storage.ErrConflict, storage.ErrTooLarge, storage.ErrInvalidKey, storage.ErrUnsupported,
	} {
		if errors.Is(err, sentinel) {
			return false
		}
	}
	return true
}
