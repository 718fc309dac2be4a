package zookeeper

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"
)

// tree is the part of ZooKeeper's tree that a batch concerns: as it was read, and as the
// batch would leave it. What was read may be old or change; every request made of it
// fails if that matters, see batch.
type tree struct {
	session *session
	root    string // the floor: it and the nodes above it are never removed
	nodes   map[string]*node
}

// node is one node of a tree.
type node struct {
	stat     zk.Stat
	exists   bool // when it was read
	made     bool // the batch creates it
	children int  // with the batch
}

func newTree(s *session, root string) *tree {
	return &tree{session: s, root: root, nodes: make(map[string]*node)}
}

// load reads those of the nodes that were not read yet, all at once.
func (t *tree) load(ctx context.Context, paths []string) error {
	type answer struct {
		path   string
		exists bool
		stat   *zk.Stat
		err    error
	}
	answers := make(chan answer, len(paths))
	asked := 0
	for _, path := range paths {
		if _, known := t.nodes[path]; known {
			continue
		}
		t.nodes[path] = nil // asked for
		asked++
		t.session.work.Go(func() {
			exists, stat, err := t.session.zc.Exists(path)
			t.session.note(err)
			answers <- answer{path, exists, stat, err}
		})
	}
	var failed error
	for range asked {
		select {
		case a := <-answers:
			if a.err != nil {
				failed = a.err
				continue
			}
			t.nodes[a.path] = &node{stat: *a.stat, exists: a.exists, children: int(a.stat.NumChildren)}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return failed
}

// loadUp reads the directories, and those above each that does not exist.
func (t *tree) loadUp(ctx context.Context, directories []string) error {
	for len(directories) > 0 {
		if err := t.load(ctx, directories); err != nil {
			return err
		}
		var above []string
		for _, path := range directories {
			if !t.nodes[path].exists {
				above = append(above, parentOf(path))
			}
		}
		slices.Sort(above)
		directories = slices.Compact(above)
	}
	return nil
}

// childrenOf returns the paths of the nodes below the one at path, which has few: the
// witnesses of a value.
func (t *tree) childrenOf(ctx context.Context, path string) ([]string, error) {
	names, err := call(ctx, t.session, func(zc *zk.Conn) ([]string, error) {
		names, _, err := zc.Children(path)
		return names, err
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil // it has gone since: the batch will fail, and be put together again
	}
	for i := range names {
		names[i] = path + "/" + names[i]
	}
	return names, err
}

// missing returns path and the directories above it that neither exist nor are made,
// from the top down.
func (t *tree) missing(path string) []string {
	var found []string
	for ; !t.nodes[path].exists && !t.nodes[path].made; path = parentOf(path) {
		found = append(found, path)
	}
	slices.Reverse(found)
	return found
}

// add counts the node at path, which the batch creates, as a child of its directory. The
// directories that have to be made for it are returned, from the top down. A directory
// that has most children takes no more.
func (t *tree) add(path string, most int) (made []string, err error) {
	made = t.missing(parentOf(path))
	for _, created := range slices.Concat(made, []string{path}) {
		directory := t.nodes[parentOf(created)]
		if directory.children >= most {
			return nil, overDirectory(directory.children+1, most)
		}
		directory.children++
	}
	for _, directory := range made {
		t.nodes[directory].made = true
	}
	return made, nil
}

// isFloor reports whether the directory at path stays when it is empty.
func (t *tree) isFloor(path string) bool { return len(path) <= max(len(t.root), 1) }

// prune returns what becomes of directories that lost a child: those that are empty
// now, to be removed, from the bottom up; and those that are not.
func (t *tree) prune(ctx context.Context, lost map[string]bool) (empty, kept []string, err error) {
	for len(lost) > 0 {
		path := deepest(lost)
		delete(lost, path)
		switch {
		case t.isFloor(path):
		case t.nodes[path].children > 0:
			kept = append(kept, path)
		default:
			empty = append(empty, path)
			parent := parentOf(path)
			if err := t.load(ctx, []string{parent}); err != nil {
				return nil, nil, err
			}
			t.nodes[parent].children--
			lost[parent] = true
		}
	}
	return empty, kept, nil
}

// deepest returns one of the paths that is above none of the others.
func deepest(paths map[string]bool) string {
	var found string
	for path := range paths {
		if strings.Count(path, "/") >= strings.Count(found, "/") {
			found = path
		}
	}
	return found
}
