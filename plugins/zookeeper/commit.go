package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Commit is one multi. It begins with a set of the guard's node that names the count of
// its changes, and a check of the witness, which together say that the guard is at
// guard.Version and at no other state it ever had. Before the count can overflow, the
// node is deleted and created in the same multi, with another witness.
func (b *Backend) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	path := valueNode(b.root, guard.Key)
	within, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	s, err := b.link.session(within)
	if err != nil {
		return "", storage.NotApplied(b.failed(ctx, "write to", err))
	}
	at, ok := parseVersion(guard.Version)
	if !ok && guard.Version != "" {
		return "", fmt.Errorf("%w: the version is not one of zookeeper's", storage.ErrConflict)
	}
	if err := b.recognise(ctx, within, s, guard); err != nil {
		return "", err
	}
	if ok && at.witness == "" {
		if at.witness, err = b.pin(ctx, within, s, path, at); err != nil {
			return "", err
		}
	}

	next := state{witness: newWitness()}
	step := func() (guarded, error) { return b.begin(path, next.witness, guard.Value), nil }
	switch {
	case ok && at.changes >= b.rotation:
		step = func() (guarded, error) { return b.renew(within, s, path, at, next.witness, guard.Value) }
	case ok:
		next = state{witness: at.witness, changes: at.changes + 1}
		step = func() (guarded, error) { return b.advance(path, at, guard.Value), nil }
	}
	if _, err := b.apply(ctx, within, s, step, ops); err != nil {
		return "", err
	}
	return next.version(), nil
}

// begin creates the guard.
func (b *Backend) begin(path, witness string, value []byte) guarded {
	return guarded{path: path, create: []request{
		{b.create(path, guardedData(witness, value)), aboutGuard},
		{b.create(path+"/"+witness, []byte{}), aboutGuard},
	}}
}

// advance gives the guard another value, if it is at the state at.
func (b *Backend) advance(path string, at state, value []byte) guarded {
	return guarded{first: []request{
		{&zk.SetDataRequest{Path: path, Data: guardedData(at.witness, value), Version: at.changes}, aboutGuard},
		{&zk.CheckVersionRequest{Path: path + "/" + at.witness, Version: -1}, aboutGuard},
	}}
}

// renew does the same, with a new node in place of the old one: ZooKeeper counts its
// changes from zero, and it has a new witness.
func (b *Backend) renew(ctx context.Context, s *session, path string, at state, witness string, value []byte) (guarded, error) {
	old, err := newTree(s, b.root).childrenOf(ctx, path)
	if err != nil {
		return guarded{}, err
	}
	g := guarded{first: []request{
		{&zk.CheckVersionRequest{Path: path, Version: at.changes}, aboutGuard},
		{&zk.CheckVersionRequest{Path: path + "/" + at.witness, Version: -1}, aboutGuard},
	}}
	for _, child := range old {
		g.first = append(g.first, request{&zk.DeleteRequest{Path: child, Version: -1}, aboutTree})
	}
	g.first = append(g.first,
		request{&zk.DeleteRequest{Path: path, Version: -1}, aboutTree},
		request{b.create(path, guardedData(witness, value)), aboutTree},
		request{b.create(path+"/"+witness, []byte{}), aboutTree})
	return g, nil
}

// pin gives the node of a key that was last written without a guard a witness, and says
// which. The key stays at the same version: what is read after the witness was created is
// the life of the node that has it.
func (b *Backend) pin(caller, within context.Context, s *session, path string, at state) (string, error) {
	witness := newWitness()
	child := path + "/" + witness
	_, err := call(within, s, func(zc *zk.Conn) ([]zk.MultiResponse, error) {
		return zc.Multi(b.create(child, []byte{}))
	})
	if errors.Is(err, zk.ErrNoNode) {
		return "", storage.ErrConflict
	}
	if err != nil {
		return "", storage.NotApplied(b.failed(caller, "prepare a write to", err))
	}
	t := newTree(s, b.root)
	if err := t.load(within, []string{path}); err != nil {
		return "", storage.NotApplied(b.failed(caller, "prepare a write to", err))
	}
	if n := t.nodes[path]; n.exists && n.stat.Czxid == at.created && n.stat.Version == at.changes {
		return witness, nil
	}
	_, err = call(within, s, func(zc *zk.Conn) ([]zk.MultiResponse, error) {
		return zc.Multi(&zk.DeleteRequest{Path: child, Version: -1})
	})
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		// It stays as long as the node does, and means nothing.
		return "", fmt.Errorf("%w; take back a preparation: %w", storage.ErrConflict, err)
	}
	return "", storage.ErrConflict
}

// recognise returns ErrConflict if the guard is at guard.Version and holds something else
// than guard.Prev: then the servers' data was put back to an older state and was changed
// since. That ends every session, so the guard is compared once in each.
func (b *Backend) recognise(caller, within context.Context, s *session, guard storage.Guard) error {
	if guard.Version == "" || len(guard.Prev) == 0 || s.recognises(guard.Key) {
		return nil
	}
	err := s.confirm(within)
	var item storage.Item
	if err == nil {
		item, err = b.item(within, s, guard.Key)
	}
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return storage.NotApplied(b.failed(caller, "prepare a write to", err))
	case item.Version == guard.Version && !bytes.Equal(item.Value, guard.Prev):
		return fmt.Errorf("%w: zookeeper at %s has another record at this version; was an older state put back?", storage.ErrConflict, b.address)
	}
	s.recognise(guard.Key)
	return nil
}
