package etcd

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Backend stores the keys of one Holdfast cluster below a path of an etcd cluster. All it
// remembers is which member answered last and how old the store's revisions are,
// so any number of them may share a path.
type Backend struct {
	members *members
	history *history
	path    string // in front of every key; ends in a slash
	limits  storage.Limits
	timeout time.Duration
	paged   atomic.Bool // the servers are older than 3.7 and can not stream keys
}

// name is where key lives in etcd. Keys are any bytes there, so it is one to one.
func (b *Backend) name(key string) string { return b.path + key }

// Get returns the item at key. The member asked confirms with the leader that it is up
// to date, which makes it linearizable.
func (b *Backend) Get(ctx context.Context, key string) (storage.Item, error) {
	item, _, err := b.read(ctx, key)
	return item, err
}

// read returns the item at key or ErrNotFound, and the revision of the store at which it
// was so.
func (b *Backend) read(ctx context.Context, key string) (storage.Item, int64, error) {
	var reply *clientv3.GetResponse
	err := b.ask(ctx, func(ctx context.Context, client *clientv3.Client) (err error) {
		reply, err = client.Get(ctx, b.name(key))
		return err
	})
	switch {
	case err != nil:
		return storage.Item{}, 0, err
	case len(reply.Kvs) == 0:
		return storage.Item{}, reply.Header.Revision, storage.ErrNotFound
	}
	return itemOf(reply.Kvs[0].Value, reply.Kvs[0].ModRevision), reply.Header.Revision, nil
}

// Write applies ops in one transaction.
func (b *Backend) Write(ctx context.Context, ops []storage.Op) error {
	if len(ops) == 0 {
		return nil
	}
	_, err := b.transact(ctx, nil, b.operations(ops))
	return err
}

// Close releases the connections and waits until nothing is under way.
func (b *Backend) Close() error {
	b.history.stop()
	err := b.members.close() // ends what history has under way
	b.history.wait()
	return err
}

// ask makes a request that changes nothing, of one member after the other.
func (b *Backend) ask(ctx context.Context, request request) error {
	rctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	if err := b.members.do(rctx, anywhere, request); err != nil {
		return b.readError(ctx, err)
	}
	return nil
}

// transact sends one transaction, once: to another member only if the one before
// certainly did not and will not apply it.
func (b *Backend) transact(ctx context.Context, conditions []clientv3.Cmp, ops []clientv3.Op) (*clientv3.TxnResponse, error) {
	rctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var reply *clientv3.TxnResponse
	err := b.members.do(rctx, once, func(ctx context.Context, client *clientv3.Client) (err error) {
		reply, err = client.Txn(ctx).If(conditions...).Then(ops...).Commit()
		return err
	})
	if err != nil {
		return nil, b.writeError(ctx, err)
	}
	return reply, nil
}

func itemOf(value []byte, revision int64) storage.Item {
	if value == nil {
		value = []byte{}
	}
	return storage.Item{Value: value, Version: formatVersion(revision)}
}

// formatVersion is the Version of a key at a ModRevision, which is never 0.
func formatVersion(revision int64) storage.Version {
	return storage.Version(strconv.FormatInt(revision, 10))
}

// parseVersion is the inverse of formatVersion. ok is false for a version that no key can
// be at.
func parseVersion(v storage.Version) (revision int64, ok bool) {
	revision, err := strconv.ParseInt(string(v), 10, 64)
	return revision, err == nil && revision > 0 && formatVersion(revision) == v
}
