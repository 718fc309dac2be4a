package zookeeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

// A batch is one multi: what ZooKeeper applies as a whole or not at all. ZooKeeper has no
// "set, created or not" and no directories that come and go by themselves, so what is sent
// depends on what exists. Each such thing is a condition of the multi: if it is otherwise
// when the multi is applied, the multi fails, nothing has happened, and the batch is put
// together again from what is there now.
//
//	put, the node exists       set             fails if it is gone
//	put, it does not           create          fails if it is there, or the directory is gone
//	delete, it exists          delete          fails if it is gone
//	delete, it does not        create, delete  fails if it is there
//	directory becomes empty    delete          fails if it is not empty
//	directory loses a child    set, at the version read with the count of its children:
//	                                           fails if it lost others since
type batch struct {
	requests []request
	size     int // in bytes, as sent
}

// request is one operation of a multi.
type request struct {
	op    any // *zk.CreateRequest, ...
	about int // the op of the caller's batch, or one of the following
}

const (
	aboutGuard = -1 // fails: the guard is at another version
	aboutTree  = -2 // fails: the batch was put together from something else
)

// guarded is what a batch depends on.
type guarded struct {
	first  []request // come before all others
	create []request // create the guard; none if it exists
	path   string    // the node that create creates
}

// builder puts a batch together.
type builder struct {
	*tree
	backend *Backend
	asserts []request // that something does not exist: before anything is created
	makes   []request // directories
	changes []request
	lost    map[string]bool // directories that lose a child
}

// build reads what the ops concern and puts the batch together.
func (b *Backend) build(ctx context.Context, s *session, g guarded, ops []storage.Op) (batch, error) {
	w := &builder{tree: newTree(s, b.root), backend: b, lost: make(map[string]bool)}
	nodes := make([]string, len(ops))
	for i, op := range ops {
		nodes[i] = valueNode(b.root, op.Key)
	}
	if err := w.read(ctx, g, ops, nodes); err != nil {
		return batch{}, err
	}
	if g.create != nil {
		if err := w.place(g.path); err != nil {
			return batch{}, err
		}
		w.changes = append(w.changes, g.create...)
	}
	for i, op := range ops {
		if op.Kind == storage.OpPut {
			if err := w.put(ctx, i, nodes[i], op.Value); err != nil {
				return batch{}, err
			}
		}
	}
	for i, op := range ops { // after the puts: a directory they make is one that does not exist
		if op.Kind == storage.OpDelete {
			if err := w.remove(ctx, i, nodes[i]); err != nil {
				return batch{}, err
			}
		}
	}
	empty, kept, err := w.prune(ctx, w.lost)
	if err != nil {
		return batch{}, err
	}
	for _, path := range kept {
		w.changes = append(w.changes, request{&zk.SetDataRequest{Path: path, Data: []byte{}, Version: w.nodes[path].stat.Version}, aboutTree})
	}
	for _, path := range empty {
		w.changes = append(w.changes, request{&zk.DeleteRequest{Path: path, Version: -1}, aboutTree})
	}
	return w.finish(g, s)
}

// read loads the nodes of the ops, and the directories that will gain or lose a child.
func (w *builder) read(ctx context.Context, g guarded, ops []storage.Op, nodes []string) error {
	if err := w.load(ctx, nodes); err != nil {
		return err
	}
	var directories []string
	if g.create != nil {
		directories = append(directories, parentOf(g.path))
	}
	for i, op := range ops {
		if op.Kind == storage.OpDelete || !w.nodes[nodes[i]].exists {
			directories = append(directories, parentOf(nodes[i]))
		}
	}
	return w.loadUp(ctx, directories)
}

// finish puts the requests in order.
func (w *builder) finish(g guarded, s *session) (batch, error) {
	out := batch{size: requestFraming}
	for _, part := range [][]request{g.first, w.asserts, w.makes, w.changes} {
		out.requests = append(out.requests, part...)
	}
	for _, r := range out.requests {
		out.size += requestSize(r.op)
	}
	if most := int(s.maxRequest.Load()); out.size > most {
		return batch{}, fmt.Errorf("%w; option jute_maxbuffer, and the servers' jute.maxbuffer, decide",
			&storage.TooLargeError{What: "request to zookeeper", Unit: "bytes", Size: out.size, Limit: most})
	}
	return out, nil
}

// place makes room for a node that is created.
func (w *builder) place(path string) error {
	made, err := w.add(path, w.backend.maxDirectory)
	for _, directory := range made {
		w.makes = append(w.makes, request{w.backend.create(directory, []byte{}), aboutTree})
	}
	return err
}

func (w *builder) put(ctx context.Context, i int, path string, value []byte) error {
	data := plainData(value)
	n := w.nodes[path]
	switch {
	case !n.exists:
		if err := w.place(path); err != nil {
			return &storage.OpError{Index: i, Err: err}
		}
		w.changes = append(w.changes, request{w.backend.create(path, data), i})
	case n.stat.Version < w.backend.rotation:
		if err := w.unguard(ctx, path); err != nil {
			return err
		}
		w.changes = append(w.changes, request{&zk.SetDataRequest{Path: path, Data: data, Version: -1}, i})
	default: // begin to count anew
		if err := w.cut(ctx, i, path); err != nil {
			return err
		}
		w.changes = append(w.changes, request{w.backend.create(path, data), i})
	}
	return nil
}

func (w *builder) remove(ctx context.Context, i int, path string) error {
	directory := parentOf(path)
	if w.nodes[path].exists {
		w.nodes[directory].children--
		w.lost[directory] = true
		return w.cut(ctx, i, path)
	}
	absent := path
	for ; !w.nodes[directory].exists; directory = parentOf(directory) {
		if w.nodes[directory].made {
			return nil // it is created, so it does not exist, nor does anything below it
		}
		absent = directory
	}
	w.nodes[absent].made = true // for other keys below it
	w.asserts = append(w.asserts,
		request{w.backend.create(absent, []byte{}), aboutTree},
		request{&zk.DeleteRequest{Path: absent, Version: -1}, aboutTree})
	return nil
}

// cut deletes a value node and its witnesses.
func (w *builder) cut(ctx context.Context, i int, path string) error {
	if err := w.unguard(ctx, path); err != nil {
		return err
	}
	w.changes = append(w.changes, request{&zk.DeleteRequest{Path: path, Version: -1}, i})
	return nil
}

// unguard deletes the witnesses of a value node.
func (w *builder) unguard(ctx context.Context, path string) error {
	if w.nodes[path].stat.NumChildren == 0 {
		return nil
	}
	witnesses, err := w.childrenOf(ctx, path)
	for _, witness := range witnesses {
		w.changes = append(w.changes, request{&zk.DeleteRequest{Path: witness, Version: -1}, aboutTree})
	}
	return err
}

func (b *Backend) create(path string, data []byte) *zk.CreateRequest {
	return &zk.CreateRequest{Path: path, Data: data, Acl: b.acl}
}

// errStale: the multi failed because the batch was put together from something that has
// changed. It was not applied.
var errStale = errors.New("keys next to those of the batch keep changing")

// refusal explains why ZooKeeper refused a multi. results are its answer.
func (b *Backend) refusal(requests []request, results []zk.MultiResponse) error {
	for i, r := range results {
		if r.Error == nil || i >= len(requests) {
			continue
		}
		_, creates := requests[i].op.(*zk.CreateRequest)
		stale := errors.Is(r.Error, zk.ErrNoNode) || errors.Is(r.Error, zk.ErrNodeExists) ||
			errors.Is(r.Error, zk.ErrBadVersion) || errors.Is(r.Error, zk.ErrNotEmpty)
		switch {
		case stale && requests[i].about == aboutGuard && (!creates || errors.Is(r.Error, zk.ErrNodeExists)):
			return storage.ErrConflict
		case stale:
			return errStale
		}
		return b.refused(requests[i].about, r.Error) // the first one counts: the others fail because it did
	}
	return b.refused(aboutTree, errors.New("the transaction is refused without a reason"))
}
