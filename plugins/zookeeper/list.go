package zookeeper

import (
	"context"
	"errors"
	"slices"

	"github.com/go-zookeeper/zk"
)

// List returns the names directly below prefix. ZooKeeper has no pages: every call
// moves all names of the directory, so a page costs as much as the whole, and a directory
// with more than max_directory names is refused (ErrTooLarge) before its names are asked
// for. Nodes that something else has put there are returned too, as they are called.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	path := directoryNode(b.root, prefix)
	var children []string
	err := b.read(ctx, func(ctx context.Context, s *session) error {
		t := newTree(s, b.root)
		if err := t.load(ctx, []string{path}); err != nil {
			return err
		}
		// Twice as many as a write may leave: some may have been written at once.
		if n := t.nodes[path].children; n > 2*b.maxDirectory {
			return overDirectory(n, b.maxDirectory)
		}
		var err error
		children, err = call(ctx, s, func(zc *zk.Conn) ([]string, error) {
			names, _, err := zc.Children(path)
			return names, err
		})
		if errors.Is(err, zk.ErrNoNode) {
			children = nil
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(children))
	for _, child := range children {
		if path == "/" && child == "zookeeper" {
			continue // ZooKeeper's own
		}
		name, ours := listedName(child)
		if !ours {
			name = child
		}
		if name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if limit > 0 && len(names) > limit {
		names = names[:limit]
	}
	return names, nil
}
