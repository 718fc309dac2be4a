package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// retryPause is the time between two attempts while a disturbed store is unavailable.
const retryPause = 20 * time.Millisecond

// node is a client of a case, as one node of a cluster has, and what cases do with it. The
// methods without a context use the case's, and while the store is disturbed make
// calls again that found it unavailable.
type node struct {
	client

	dir       string // of the case
	elsewhere bool   // it is a client of another set of data than the others
}

// steady makes call until it finds the store available, if the harness disturbs it.
func (n *node) steady(call func(context.Context) error) error { return n.insist(n.t.ctx, call) }

// insist is steady until ctx ends.
func (n *node) insist(ctx context.Context, call func(context.Context) error) error {
	for {
		err := call(ctx)
		if !n.t.disturbed() || !outage(err) || ctx.Err() != nil {
			return err
		}
		pause(ctx, retryPause)
	}
}

func (n *node) get(name string) (item storage.Item, err error) {
	err = n.steady(func(ctx context.Context) error {
		item, err = n.Get(ctx, n.dir+name)
		return err
	})
	return item, err
}

func (n *node) names(prefix, after string, limit int) (names []string, err error) {
	err = n.steady(func(ctx context.Context) error {
		names, err = n.List(ctx, prefix, after, limit)
		return err
	})
	return names, err
}

// write applies ops, which are repeatable by nature, or ends the goroutine.
func (n *node) write(ops ...storage.Op) {
	if err := n.steady(func(ctx context.Context) error { return n.Write(ctx, ops) }); err != nil {
		n.t.Fatalf("write: %v", err)
	}
}

func (n *node) put(name, value string) { n.write(n.op(name, value)) }
func (n *node) remove(name string)     { n.write(storage.Delete(n.dir + name)) }

// op puts value at name, below the case's directory.
func (n *node) op(name, value string) storage.Op { return storage.Put(n.dir+name, []byte(value)) }

func (n *node) wantValue(name, want string) storage.Version {
	item, err := n.get(name)
	if err != nil || string(item.Value) != want {
		n.t.Fatalf("get %q: got %s, %v, want %s", name, short(item.Value), err, short([]byte(want)))
	}
	return item.Version
}

func (n *node) wantAbsent(name string) {
	if item, err := n.get(name); !errors.Is(err, storage.ErrNotFound) {
		n.t.Fatalf("get %q: got %s, %v, want ErrNotFound", name, short(item.Value), err)
	}
}

func (n *node) wantNames(sub, after string, limit int, want ...string) {
	got, err := n.names(n.dir+sub, after, limit)
	if err != nil || !slices.Equal(got, want) {
		n.t.Fatalf("list %q after %q limit %d: got %q, %v, want %q", sub, after, limit, got, err, want)
	}
}

// record is a guard and the last known state of it; the zero state is absent.
type record struct {
	name    string
	version storage.Version
	value   string
}

// guard moves r to value.
func (n *node) guard(r record, value string) storage.Guard {
	g := storage.Guard{Key: n.dir + r.name, Version: r.version, Value: []byte(value)}
	if r.version != "" {
		g.Prev = []byte(r.value)
	}
	return g
}

// move commits ops and the change of r to value, which must succeed. While the store is
// disturbed the same Commit is made again until it is known to be applied: nobody else
// moves r.
func (n *node) move(r record, value string, ops ...storage.Op) record {
	version, err := n.settle(n.guard(r, value), ops)
	switch {
	case err != nil:
		n.t.Fatalf("commit at version %q: %v", r.version, err)
	case version == "":
		n.t.Fatalf("commit at version %q: got the zero version", r.version)
	case version == r.version:
		n.t.Fatalf("commit at version %q: got the same version, want a new one", r.version)
	case len(version) > storage.MaxVersionBytes:
		n.t.Fatalf("commit: the version has %d bytes, the most is %d", len(version), storage.MaxVersionBytes)
	}
	return record{name: r.name, version: version, value: value}
}

// settle makes the same Commit until its outcome is known.
func (n *node) settle(g storage.Guard, ops []storage.Op) (version storage.Version, err error) {
	unknown := false
	err = n.steady(func(ctx context.Context) error {
		version, err = n.Commit(ctx, g, ops)
		unknown = unknown || err != nil && storage.OutcomeOf(err) == storage.Unknown
		return err
	})
	if !unknown || !errors.Is(err, storage.ErrConflict) {
		return version, err
	}
	var item storage.Item
	readErr := n.steady(func(ctx context.Context) error {
		item, err = n.Get(ctx, g.Key)
		return err
	})
	switch {
	case readErr != nil:
		return "", fmt.Errorf("find out whether it was applied: %w", readErr)
	case !bytes.Equal(item.Value, g.Value):
		return "", storage.ErrConflict
	}
	return item.Version, nil
}

// wantConflict makes a Commit at r, which must be refused.
func (n *node) wantConflict(r record, value string, ops ...storage.Op) {
	err := n.steady(func(ctx context.Context) error {
		_, err := n.Commit(ctx, n.guard(r, value), ops)
		return err
	})
	if !errors.Is(err, storage.ErrConflict) {
		n.t.Fatalf("commit at version %q: got %v, want ErrConflict", r.version, err)
	}
	if storage.OutcomeOf(err) != storage.Unapplied {
		n.t.Fatalf("commit at version %q: its outcome is %v, want not applied", r.version, storage.OutcomeOf(err))
	}
}

// watch waits for name to leave version seen.
func (n *node) watch(name string, seen storage.Version) (item storage.Item, err error) {
	err = n.steady(func(ctx context.Context) error {
		item, err = n.Watch(ctx, n.dir+name, seen)
		return err
	})
	return item, err
}

// batch is how many small ops the cases put into one batch.
func (n *node) batch() int { return min(n.limits.MaxOps, 100) }

// fill puts all names with the value, in batches.
func (n *node) fill(names []string, value string) {
	for chunk := range slices.Chunk(names, n.batch()) {
		ops := make([]storage.Op, len(chunk))
		for i, name := range chunk {
			ops[i] = n.op(name, value)
		}
		n.write(ops...)
	}
}

// largest is how large the value of name can be in a batch of its own.
func (n *node) largest(name string) int {
	return min(n.limits.MaxValueBytes, n.limits.MaxBatchBytes-len(n.dir)-len(name))
}

// short is value as a message shows it.
func short(value []byte) string {
	const most = 40
	if len(value) <= most {
		return fmt.Sprintf("%q", value)
	}
	return fmt.Sprintf("%q... (%d bytes)", value[:most], len(value))
}
