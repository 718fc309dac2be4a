package etcd

import (
	"context"
	"fmt"

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
	case err != nil:
		return "", err
	case !reply.Succeeded:
		return "", storage.ErrConflict
	}
	// Everything a transaction writes has the revision that the store has after it.
	b.history.committed(ctx, reply.Header.Revision)
	return formatVersion(reply.Header.Revision), nil
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
