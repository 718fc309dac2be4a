// Package store is the one path by which the active node reads and writes: a
// bounded cache above the storage plugin, group commit into guarded batches, key
// locks for requests that read in order to write, and the confirmation that this
// node was still active when a read was answered.
package store

import "errors"

// The errors of a write that callers tell apart. Every other error of a write
// means that it has provably not run and never will.
var (
	// ErrNotActive: this node is not (or no longer) the active one, or the request's
	// time ran out before the write was sent. Nothing was applied; it may be sent again,
	// here or to another node.
	ErrNotActive = errors.New("not active")
	// ErrOutcomeUnknown: the write may have been applied, or may still be.
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

// Tx is what an Update reads and writes. Reads see the Tx's own writes. It is
// valid until the function it was passed to returns, for one goroutine.
type Tx interface {
	// Get returns the value at key, or storage.ErrNotFound. The caller may keep it.
	Get(key string) ([]byte, error)
	// Put sets key to value when the Update's function returns nil.
	Put(key string, value []byte)
	// Delete removes key when the Update's function returns nil.
	Delete(key string)
}
