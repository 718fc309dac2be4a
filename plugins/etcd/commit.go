package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Commit is one etcd transaction on the condition that the guard is at its ModRevision
// and still has its value. It is sent once.
func (b *Backend) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	name := b.name(guard.Key)
	conditions, ok := unchanged(name, guard)
	if !ok {
		return "", fmt.Errorf("%w: the version is not one of etcd's", storage.ErrConflict)
	}
	reply, err := b.transact(ctx, conditions, b.operations(ops, clientv3.OpPut(name, string(guard.Value))))
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return "", b.settleFull(ctx, guard, err)
	case err != nil:
		return "", err
	case !reply.Succeeded:
		return "", storage.ErrConflict
	}
	// Everything a transaction writes has the revision that the store has after it.
	b.history.committed(ctx, reply.Header.Revision)
	return formatVersion(reply.Header.Revision), nil
}

// settleFull finds out what became of a Commit that was answered by refusal, that there is
// no space. A server that sees so before it proposes the transaction has done nothing; one
// that sees so when it applies it has applied it, and gives the same answer. The guard
// tells, for reads go on while the store is full: it is at its version only if the
// Commit was not applied, and the transaction is in no log then, so it never will be.
func (b *Backend) settleFull(ctx context.Context, guard storage.Guard, refusal error) error {
	item, _, err := b.read(ctx, guard.Key)
	if err != nil && !errors.Is(err, storage.ErrNotFound) || item.Version != guard.Version {
		return refusal // its outcome is unknown
	}
	return storage.NotApplied(refusal)
}

// unchanged is the condition of a Commit; ok is false if it can not be true. A store that
// was restored to an older state gives revisions a second time, which the comparison of
// the value notices.
func unchanged(name string, guard storage.Guard) (conditions []clientv3.Cmp, ok bool) {
	if guard.Version == "" {
		return []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(name), "=", 0)}, true
	}
	revision, ok := parseVersion(guard.Version)
	if !ok {
		return nil, false
	}
	conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(name), "=", revision))
	if len(guard.Prev) <= maxPrevBytes {
		conditions = append(conditions, clientv3.Compare(clientv3.Value(name), "=", string(guard.Prev)))
	}
	return conditions, true
}
