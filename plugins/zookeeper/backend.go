package zookeeper

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Backend stores the keys of one Holdfast cluster below a node of ZooKeeper. It holds a
// session and no other state, so any number of them may share a path.
type Backend struct {
	link         *link
	address      string // for messages
	root         string // path of the node below which the keys are; empty for the root
	acl          []zk.ACL
	timeout      time.Duration
	maxDirectory int
	rotation     int32 // changes of a value node after which it is made anew
	writing      chan struct{}
	work         *sync.WaitGroup // all goroutines
}

const (
	// readAttempts is how many sessions a read tries. Only a lost one is left for another.
	readAttempts = 3
	// buildAttempts is how often a batch is put together when others keep changing
	// what it was put together from.
	buildAttempts = 50
)

// Get returns the item at key. It costs a transaction that it shares with other reads,
// see confirmation, which makes it linearizable.
func (b *Backend) Get(ctx context.Context, key string) (storage.Item, error) {
	var item storage.Item
	err := b.read(ctx, func(ctx context.Context, s *session) (err error) {
		item, err = b.item(ctx, s, key)
		return err
	})
	return item, err
}

// item returns what the server of s has at key, or ErrNotFound.
func (b *Backend) item(ctx context.Context, s *session, key string) (storage.Item, error) {
	type content struct {
		data []byte
		stat *zk.Stat
	}
	path := valueNode(b.root, key)
	c, err := call(ctx, s, func(zc *zk.Conn) (content, error) {
		data, stat, err := zc.Get(path)
		return content{data, stat}, err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return storage.Item{}, storage.ErrNotFound
	}
	if err != nil {
		return storage.Item{}, err
	}
	witness, value, err := parseData(c.data)
	if errors.Is(err, errForeign) {
		// Somebody has overwritten it. That is a value like any other, as it is in other stores: the
		// host, which can tell that it is not its own, must not take the store for unavailable.
		value = c.data
	}
	return storage.Item{Value: value, Version: stateOf(witness, c.stat).version()}, nil
}

// read has f read from a server that has all that was committed before the call.
func (b *Backend) read(ctx context.Context, f func(context.Context, *session) error) error {
	within, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var err error
	for range readAttempts {
		var s *session
		if s, err = b.link.session(within); err != nil {
			break
		}
		if err = s.confirm(within); err == nil {
			err = f(within, s)
		}
		if err == nil || errors.Is(err, storage.ErrNotFound) {
			return err
		}
		if within.Err() != nil || serverSays(err) || s.alive() {
			break
		}
	}
	return b.failed(ctx, "read from", err)
}

// Write applies ops in one transaction. Writes of one Backend take turns; those of
// several that change the same directories may have to try more than once.
func (b *Backend) Write(ctx context.Context, ops []storage.Op) error {
	if len(ops) == 0 {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	select {
	case b.writing <- struct{}{}:
		defer func() { <-b.writing }()
	case <-within.Done():
		return storage.NotApplied(b.failed(ctx, "write to", within.Err()))
	}
	s, err := b.link.session(within)
	if err != nil {
		return storage.NotApplied(b.failed(ctx, "write to", err))
	}
	unguarded := func() (guarded, error) { return guarded{}, nil }
	_, err = b.apply(ctx, within, s, unguarded, ops)
	return err
}

// apply puts a batch together and sends it. It sends it again only if the first one
// certainly was not applied because the batch was put together from something old: the
// answer to it came through the majority, so the server has what is new. guard is asked
// each time.
func (b *Backend) apply(
	caller, within context.Context, s *session, guard func() (guarded, error), ops []storage.Op,
) ([]zk.MultiResponse, error) {
	for range buildAttempts {
		g, err := guard()
		var made batch
		if err == nil {
			made, err = b.build(within, s, g, ops)
		}
		if err != nil {
			return nil, storage.NotApplied(b.failed(caller, "prepare a write to", err))
		}
		results, err := b.send(caller, within, s, made)
		if !errors.Is(err, errStale) {
			return results, err
		}
	}
	return nil, storage.NotApplied(b.failed(caller, "write to", errStale))
}

// send sends one multi, once.
func (b *Backend) send(caller, within context.Context, s *session, made batch) ([]zk.MultiResponse, error) {
	if within.Err() != nil {
		return nil, storage.NotApplied(b.failed(caller, "write to", within.Err()))
	}
	ops := make([]any, len(made.requests))
	for i, r := range made.requests {
		ops[i] = r.op
	}
	results, err := call(within, s, func(zc *zk.Conn) ([]zk.MultiResponse, error) { return zc.Multi(ops...) })
	switch {
	case err == nil && len(results) == len(ops):
		return results, nil
	case err == nil:
		return nil, b.failed(caller, "write to", errors.New("the answer is not about the transaction sent"))
	case len(results) > 0:
		return nil, b.refusal(made.requests, results)
	case errors.Is(err, zk.ErrNoServer): // of link's making: it had not been sent when the connection was lost
		return nil, storage.NotApplied(b.failed(caller, "write to", err))
	}
	if tooLarge := b.refusedBySize(within, s, made.size); tooLarge != nil {
		return nil, tooLarge
	}
	return nil, b.failed(caller, "write to", err)
}

// Close ends the session.
func (b *Backend) Close() error {
	b.link.close()
	b.work.Wait()
	return nil
}
