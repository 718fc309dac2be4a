package zookeeper

import (
	"context"
	"errors"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

// watch is a watch of ZooKeeper on one node, set once and shared by all who wait for the
// node to change. ZooKeeper's protocol can take a watch back but the client library can
// not, so one that nobody waits for any more stays until the node changes or the session
// ends: at most one for each node that was ever watched in the session.
type watch struct {
	set   chan struct{}   // closed when it is set, or could not be
	fired <-chan zk.Event // closed after the event; read it after set
	err   error           // read it after set
}

// Watch waits until the server it talks to says that the key has changed, and then
// asks a majority. When the connection is lost it goes on with another server, and returns
// ErrUnavailable if there is none.
func (b *Backend) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	path := valueNode(b.root, key)
	for {
		item, fired, s, err := b.look(ctx, path, key)
		absent := errors.Is(err, storage.ErrNotFound)
		switch {
		case err != nil && !absent && s != nil && !s.alive():
			continue // look opens another session
		case err != nil && !absent:
			return storage.Item{}, b.failed(ctx, "watch a key in", err)
		case item.Version != seen: // the server may be behind what was seen
			item, err := b.Get(ctx, key)
			if err != nil && !errors.Is(err, storage.ErrNotFound) || item.Version != seen {
				return item, err
			}
		}
		select {
		case <-fired:
		case <-s.gone:
		case <-ctx.Done():
			return storage.Item{}, b.failed(ctx, "watch a key in", ctx.Err())
		}
	}
}

// look sets a watch and then reads: what is read, or something newer that fires the watch.
func (b *Backend) look(ctx context.Context, path, key string) (storage.Item, <-chan zk.Event, *session, error) {
	within, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	s, err := b.link.session(within)
	if err != nil {
		return storage.Item{}, nil, nil, err
	}
	fired, err := s.watch(within, path)
	if err != nil {
		return storage.Item{}, nil, s, err
	}
	item, err := b.item(within, s, key)
	return item, fired, s, err
}

// watch returns a channel that is readable once the node at path changes.
func (s *session) watch(ctx context.Context, path string) (<-chan zk.Event, error) {
	s.mu.Lock()
	w := s.watches[path]
	if w != nil && w.over() {
		w = nil
	}
	if w == nil {
		w = &watch{set: make(chan struct{})}
		s.watches[path] = w
		s.work.Go(func() {
			_, _, w.fired, w.err = s.zc.ExistsW(path)
			s.note(w.err)
			close(w.set)
		})
	}
	s.mu.Unlock()
	select {
	case <-w.set:
		return w.fired, w.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// over reports whether w will say nothing any more.
func (w *watch) over() bool {
	select {
	case <-w.set:
	default:
		return false
	}
	if w.err != nil {
		return true
	}
	select {
	case <-w.fired:
		return true
	default:
		return false
	}
}
