package consul

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Commit is one Consul transaction whose first operation is a compare-and-swap of
// the guard by its ModifyIndex. It is sent once.
func (b *Backend) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	index, ok := parseVersion(guard.Version)
	if !ok {
		return "", fmt.Errorf("%w: the version is not one of consul's", storage.ErrConflict)
	}
	swap := &api.KVTxnOp{
		Verb:  api.KVCAS,
		Key:   b.name(guard.Key),
		Value: guard.Value,
		Index: index,
		// Consul does not move the index of an entry that is replaced by an equal one.
		// Flags make every state of the guard differ from the one before: they hold the
		// index that was replaced, and the flags replaced were a lower index still.
		Flags: index,
	}
	reply, err := b.transact(ctx, b.operations(swap, ops), b.recognise(ctx, guard))
	if err != nil {
		return "", err
	}
	if len(reply.Errors) > 0 {
		return "", b.rolledBack(ctx, guard, reply.Errors)
	}
	if len(reply.Results) == 0 || reply.Results[0].KV == nil {
		return "", fmt.Errorf("%w: consul at %s did not return the new index of the guard; may the token read it?",
			storage.ErrUnavailable, b.address)
	}
	return formatVersion(reply.Results[0].KV.ModifyIndex), nil
}

// rolledBack tells a conflict from a token that may not write. Consul reports both
// against an operation, in words only, so the guard itself is asked: versions never
// repeat, and one that is not at guard.Version now was not, or was moved since.
func (b *Backend) rolledBack(ctx context.Context, guard storage.Guard, errs api.TxnErrors) error {
	if errs[len(errs)-1].OpIndex > 0 { // a set or a delete fails for want of permission only
		return b.refused(errs, 1)
	}
	item, _, err := b.read(ctx, guard.Key, 0)
	switch {
	case err != nil && !errors.Is(err, storage.ErrNotFound):
		return storage.NotApplied(fmt.Errorf("find out why consul rolled back (%s): %w", errs[0].What, err))
	case item.Version != guard.Version:
		return storage.ErrConflict
	}
	return b.refused(errs, 1)
}

// recognised says that the record at key was compared with a guard after each of the
// connections up to a number had been made.
type recognised struct {
	key  string
	upTo uint64
}

// recognise returns what says whether a Commit may be sent over a connection: not, but
// ErrConflict, if the guard is at guard.Version and holds something else than
// guard.Prev. Then another cluster, with the state of a snapshot and later changes of
// its own, has taken this one's place. That breaks the connections there are, or fails
// requests on them, so the guard is compared again only after a request failed, or for
// a connection made since. Nil: there is nothing to compare with.
func (b *Backend) recognise(ctx context.Context, guard storage.Guard) func(number uint64) error {
	if guard.Version == "" || len(guard.Prev) == 0 {
		return nil
	}
	return func(number uint64) error {
		last := b.recognised.Load()
		if last != nil && last.key == guard.Key && number <= last.upTo {
			return nil
		}
		now := &recognised{key: guard.Key, upTo: b.dials.Load()} // not less than number
		item, _, err := b.read(ctx, guard.Key, 0)
		switch {
		case err != nil && !errors.Is(err, storage.ErrNotFound):
			return storage.NotApplied(err)
		case item.Version == guard.Version && !bytes.Equal(item.Value, guard.Prev):
			return fmt.Errorf("%w: consul at %s has another record at this version; was a snapshot restored?", storage.ErrConflict, b.address)
		}
		b.recognised.CompareAndSwap(last, now) // or a request failed meanwhile
		return nil
	}
}
