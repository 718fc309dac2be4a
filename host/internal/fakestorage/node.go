package fakestorage

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Failure is how a call fails.
type Failure uint8

// The failures of a call.
const (
	None       Failure = iota
	Refuse             // not carried out, and the caller is told so
	LoseCall           // not carried out; the caller is told nothing
	LoseAnswer         // carried out; the caller is told nothing
	Late               // the caller is told nothing at once; carried out after Fault.Delay
	Hang               // not carried out; the call lasts until its context ends
)

// Fault is what becomes of one call.
type Fault struct {
	Failure Failure
	Delay   time.Duration // before the call is carried out, or fails
}

// Call names a method of Node.
type Call string

// The calls.
const (
	Get    Call = "get"
	List   Call = "list"
	Write  Call = "write"
	Commit Call = "commit"
	Watch  Call = "watch"
)

// Node is one node's connection to a Store: a storage plugin as the host sees it. Set its
// fields before it is used.
type Node struct {
	Store      *Store
	Limits     storage.Limits // DefaultLimits if zero
	NoHA       bool           // Commit and Watch are not offered
	HADisabled bool           // by configuration
	failing    atomic.Pointer[func(Call) Fault]
	will       atomic.Pointer[lastWill]
}

type lastWill struct {
	key   string
	value []byte
}

// SetLastWill keeps what the plugin is to put at key when its host is killed; nil takes it back.
func (n *Node) SetLastWill(key string, value []byte) { n.will.Store(&lastWill{key, value}) }

// LastWill returns what SetLastWill was called with last; nil if there is no will.
func (n *Node) LastWill() (key string, value []byte) {
	if w := n.will.Load(); w != nil && w.value != nil {
		return w.key, w.value
	}
	return "", nil
}

// DefaultLimits are those of Node.
var DefaultLimits = storage.Limits{MaxKeyBytes: storage.MaxKeyBytes, MaxValueBytes: 64 << 10, MaxOps: 64, MaxBatchBytes: 256 << 10}

// Connect returns a Node on s.
func (s *Store) Connect() *Node { return &Node{Store: s} }

// Fail asks fault, which must be safe for concurrent use, what becomes of every call from now on.
func (n *Node) Fail(fault func(Call) Fault) { n.failing.Store(&fault) }

// FailAll makes every call from now on fail alike.
func (n *Node) FailAll(f Failure) { n.Fail(func(Call) Fault { return Fault{Failure: f} }) }

// Heal ends all faults.
func (n *Node) Heal() { n.Fail(func(Call) Fault { return Fault{} }) }

// Capabilities returns the limits, and whether high availability is disabled.
func (n *Node) Capabilities() storage.Capabilities {
	return storage.Capabilities{Limits: n.limits(), HADisabled: n.HADisabled}
}

// HA reports whether Commit and Watch are offered.
func (n *Node) HA() bool { return !n.NoHA }

// Close does nothing.
func (n *Node) Close() error { return nil }

func (n *Node) limits() storage.Limits {
	if n.Limits == (storage.Limits{}) {
		return DefaultLimits
	}
	return n.Limits
}

// Get implements storage.Backend.
func (n *Node) Get(ctx context.Context, key string) (storage.Item, error) {
	var item storage.Item
	var found bool
	err := n.call(ctx, Get, func() error {
		item, found = n.Store.Item(key)
		return nil
	})
	if err == nil && !found {
		err = storage.ErrNotFound
	}
	if err != nil {
		return storage.Item{}, err
	}
	return item, nil
}

// List implements storage.Backend.
func (n *Node) List(ctx context.Context, prefix, after string, limit int) (names []string, err error) {
	err = n.call(ctx, List, func() error {
		names = n.Store.list(prefix, after, limit)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}

// Write implements storage.Backend.
func (n *Node) Write(ctx context.Context, ops []storage.Op) error {
	if n.HA() {
		return fmt.Errorf("%w: a host with HABackend writes by Commit", storage.ErrUnsupported)
	}
	if err := n.limits().CheckBatch(nil, ops); err != nil {
		return err
	}
	ops = slices.Clone(ops)
	return n.call(ctx, Write, func() error {
		n.Store.mu.Lock()
		defer n.Store.mu.Unlock()
		n.Store.apply(ops)
		return nil
	})
}

// Commit implements storage.HABackend.
func (n *Node) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	if n.NoHA {
		return "", storage.ErrUnsupported
	}
	if err := n.limits().CheckBatch(&guard, ops); err != nil {
		return "", err
	}
	result := make(chan storage.Version, 1) // a late call has nobody to tell
	ops = slices.Clone(ops)
	err := n.call(ctx, Commit, func() error {
		v, err := n.Store.commit(guard, ops)
		result <- v
		return err
	})
	if err != nil {
		return "", err
	}
	return <-result, nil
}

// Watch implements storage.HABackend.
func (n *Node) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	if n.NoHA {
		return storage.Item{}, storage.ErrUnsupported
	}
	for {
		var item storage.Item
		var found bool
		var changed <-chan struct{}
		err := n.call(ctx, Watch, func() error {
			item, found, changed = n.Store.state(key)
			return nil
		})
		switch {
		case err != nil:
			return storage.Item{}, err
		case !found && seen != "":
			return storage.Item{}, storage.ErrNotFound
		case found && item.Version != seen:
			return item, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return storage.Item{}, ctx.Err()
		}
	}
}

// call carries do out, or fails as the node's fault says.
func (n *Node) call(ctx context.Context, c Call, do func() error) error {
	var f Fault
	if failing := n.failing.Load(); failing != nil {
		f = (*failing)(c)
	}
	lost := fmt.Errorf("%w: the connection was lost", storage.ErrUnavailable)
	if f.Failure == Late {
		n.Store.later(f.Delay, func() { _ = do() })
		return lost
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch f.Failure {
	case Refuse:
		return storage.NotApplied(fmt.Errorf("%w: the connection was refused", storage.ErrUnavailable))
	case LoseCall:
		return lost
	case LoseAnswer:
		_ = do()
		return lost
	case Hang:
		<-ctx.Done()
		return ctx.Err()
	}
	return do()
}
