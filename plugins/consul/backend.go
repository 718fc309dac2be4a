package consul

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Backend stores the keys of one Holdfast cluster below a path of Consul's KV
// store. It holds no state of the store, so any number of them may share a path.
type Backend struct {
	client       *api.Client
	idle         interface{ CloseIdleConnections() }
	address      string // for messages
	path         string // in front of every key; ends in a slash, or is empty
	limits       storage.Limits
	timeout      time.Duration
	maxDirectory int
	permits      chan struct{} // one for each Get, List and Write under way

	dials      *atomic.Uint64             // connections made so far
	recognised atomic.Pointer[recognised] // nil: no connection is known
}

// name is where key lives in Consul.
func (b *Backend) name(key string) string { return b.path + encodeKey(key) }

// Get returns the item at key. It costs a round of heartbeats among the servers,
// which makes it linearizable also while they change their leader.
func (b *Backend) Get(ctx context.Context, key string) (storage.Item, error) {
	release, err := b.permit(ctx)
	if err != nil {
		return storage.Item{}, err
	}
	defer release()
	item, _, err := b.read(ctx, key, 0)
	return item, err
}

// read returns the item at key or ErrNotFound, and the index to wait on for a
// change of it. With an index other than zero it blocks until the server has seen
// a later one, or for watchWait.
func (b *Backend) read(ctx context.Context, key string, index uint64) (storage.Item, uint64, error) {
	query := &api.QueryOptions{RequireConsistent: true, WaitIndex: index}
	timeout := b.timeout
	if index != 0 {
		query.WaitTime = blockFor(ctx)
		timeout += query.WaitTime + query.WaitTime/16 // the server adds up to a sixteenth
	}
	rctx, a, cancel := begin(ctx, timeout)
	defer cancel()
	pair, meta, err := b.client.KV().Get(b.name(key), query.WithContext(rctx))
	switch {
	case err != nil:
		return storage.Item{}, 0, b.readError(ctx, a, err)
	case meta.LastIndex == 0:
		return storage.Item{}, 0, b.readError(ctx, a, errNoIndex)
	case pair == nil:
		return storage.Item{}, meta.LastIndex, storage.ErrNotFound
	}
	value := pair.Value
	if value == nil {
		value = []byte{}
	}
	return storage.Item{Value: value, Version: formatVersion(pair.ModifyIndex)}, meta.LastIndex, nil
}

// errNoIndex keeps the "not found" of some other web server from being taken for
// an absent key.
var errNoIndex = errors.New("the answer has no X-Consul-Index")

// Write applies ops in one transaction.
func (b *Backend) Write(ctx context.Context, ops []storage.Op) error {
	if len(ops) == 0 {
		return nil
	}
	release, err := b.permit(ctx)
	if err != nil {
		return storage.NotApplied(err)
	}
	defer release()
	reply, err := b.transact(ctx, b.operations(nil, ops), nil)
	if err != nil {
		return err
	}
	if len(reply.Errors) > 0 {
		return b.refused(reply.Errors, 0)
	}
	return nil
}

// Close releases the idle connections.
func (b *Backend) Close() error {
	b.idle.CloseIdleConnections()
	return nil
}

// transact sends one transaction, once. A reply with Errors was rolled back. It sends
// nothing over a connection that may, unless it is nil, gives an error for, and returns
// that error.
func (b *Backend) transact(ctx context.Context, ops api.TxnOps, may func(number uint64) error) (*api.TxnResponse, error) {
	rctx, a, cancel := begin(ctx, b.timeout)
	defer cancel()
	a.may = may
	ok, reply, _, err := b.client.Txn().Txn(ops, new(api.QueryOptions).WithContext(rctx))
	if a.refused != nil {
		return nil, a.refused
	}
	if err != nil {
		return nil, b.writeError(ctx, a, err)
	}
	if !ok && len(reply.Errors) == 0 {
		return nil, b.writeError(ctx, a, errors.New("rolled back without a reason"))
	}
	return reply, nil
}

// refused explains the rollback of a transaction that no guard caused: the token
// may not write one of the keys. The first guards operations of the transaction
// are not ops of the batch.
func (b *Backend) refused(errs api.TxnErrors, guards int) error {
	first := errs[0]
	err := fmt.Errorf("%w: consul at %s refuses the transaction; check that the token has key_prefix %q policy write: %s",
		storage.ErrUnavailable, b.address, b.path, first.What)
	if first.OpIndex >= guards {
		err = &storage.OpError{Index: first.OpIndex - guards, Err: err}
	}
	return storage.NotApplied(err)
}

// permit waits for one of max_parallel places. Commit and Watch need none: the
// host sends one Commit at a time, and neither may queue behind reads.
func (b *Backend) permit(ctx context.Context) (release func(), err error) {
	select {
	case b.permits <- struct{}{}:
		return func() { <-b.permits }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for one of max_parallel requests to consul at %s: %w", b.address, ctx.Err())
	}
}

// formatVersion is the Version of a key at a ModifyIndex, which is never 0.
func formatVersion(index uint64) storage.Version {
	return storage.Version(strconv.FormatUint(index, 10))
}

// parseVersion is the inverse of formatVersion, and 0 for the zero Version. ok is
// false for a version that no key can be at.
func parseVersion(v storage.Version) (index uint64, ok bool) {
	if v == "" {
		return 0, true
	}
	index, err := strconv.ParseUint(string(v), 10, 64)
	return index, err == nil && index != 0 && formatVersion(index) == v
}
