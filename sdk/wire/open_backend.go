package wire

import (
	"context"
	"fmt"
	"sync"

	"github.com/holdfast/holdfast/sdk/storage"
)

// errShutdown: Configure came when the process was already ending.
var errShutdown = fmt.Errorf("%w: the plugin is shutting down", storage.ErrUnavailable)

// openBackend is a configured backend and the calls inside it.
type openBackend struct {
	backend storage.Backend

	limits storage.Limits
	inside sync.WaitGroup // one per call inside
	will   lastWill

	mu      sync.Mutex // guards the fields below
	cancels map[*context.CancelFunc]struct{}
	closed  bool // no call enters any more
}

func newOpenBackend(b storage.Backend, limits storage.Limits) *openBackend {
	return &openBackend{backend: b, limits: limits, cancels: make(map[*context.CancelFunc]struct{})}
}

// enter begins a call, whose context also ends when the backend is closed. The
// caller calls leave when it is out of the backend.
func (b *openBackend) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		cancel()
		return nil, nil, ErrUnconfigured
	}
	b.cancels[&cancel] = struct{}{}
	b.inside.Add(1)
	return ctx, func() {
		b.mu.Lock()
		delete(b.cancels, &cancel)
		b.mu.Unlock()
		cancel()
		b.inside.Done()
	}, nil
}

// close ends the calls inside, waits for them and closes the backend, once.
func (b *openBackend) close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	for cancel := range b.cancels {
		(*cancel)()
	}
	b.mu.Unlock()

	b.inside.Wait()
	return b.backend.Close()
}
