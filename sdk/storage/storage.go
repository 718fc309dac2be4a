// Package storage is the contract between Holdfast and its storage backends.
//
// A backend is a Go type that implements [Backend]. When it implements
// [HABackend] as well, Holdfast becomes highly available on it: several servers
// share the store, one of them is active, and a server that is no longer active
// cannot write, because every write is conditional on one record.
//
// The package imports the standard library only.
package storage

import "context"

// Backend stores opaque values under slash-separated keys. It is safe for
// concurrent use. The host encrypts before it calls, so a Backend never sees a
// secret; it does see key names and sizes.
//
// Keys satisfy [ValidateKey] and values and batches are within the [Limits] the
// backend declared: the host and the SDK check both before a method is called.
// Slices handed to a method stay the caller's; slices returned become the
// caller's. Every method ends soon after its context does.
//
// Errors are, or wrap, the sentinels of this package; any other error is treated
// as [ErrUnavailable]. See [OutcomeOf] for what an error of a write means.
type Backend interface {
	// Get returns the item at key, or ErrNotFound. It is linearizable: it
	// returns the value of the last write that was acknowledged before Get was
	// called, or a later one.
	Get(ctx context.Context, key string) (Item, error)

	// List returns the names directly below prefix, which is empty (the root) or
	// ends in "/". A name with keys below it is returned as "name/"; a name that
	// is a key and has keys below it is returned in both forms. Names come
	// in ascending byte order, start after the name after (exclusive; it need not
	// exist; empty means from the start) and are at most limit; limit <= 0
	// means all. A prefix with nothing below it gives an empty list and no error.
	// One call is linearizable; a sequence of pages is not one snapshot.
	List(ctx context.Context, prefix, after string, limit int) ([]string, error)

	// Write applies ops in one atomic step, durable when it returns. The ops have
	// distinct keys. Deleting an absent key is not an error. It is used only
	// for backends that do not implement HABackend.
	Write(ctx context.Context, ops []Op) error

	// Close releases what the backend holds. No other method is called during or
	// after Close.
	Close() error
}

// HABackend is the optional capability that makes high availability possible.
// One primitive is enough for leader election, fencing and ordered hand-over: an
// atomic batch that is conditional on one record. Implementing it is all that
// switches high availability on.
type HABackend interface {
	Backend

	// Commit checks that guard.Key is at guard.Version (absent, for the zero
	// Version), moves it to guard.Value and applies ops, all in one atomic step,
	// durable when it returns. It returns the new version of guard.Key, which
	// was never returned for that key before, even if the value repeats.
	//
	// ErrConflict means that guard.Key was at another version, also when its
	// value already equals guard.Value. ErrConflict, ErrTooLarge, ErrInvalidKey
	// and ErrUnsupported mean that nothing was applied. After any other
	// error, ErrUnavailable and a done context among them, the outcome is unknown
	// unless the error is wrapped in [NotApplied]; the same call may be made again.
	// Commit never retries inside: a second attempt is the host's to make.
	Commit(ctx context.Context, guard Guard, ops []Op) (Version, error)

	// Watch blocks until key is no longer at version seen and returns what it is
	// now: the item, or ErrNotFound when it is gone. It may miss states in
	// between but never the last one. The zero seen means "absent". When ctx ends
	// first Watch returns the context's error.
	Watch(ctx context.Context, key string, seen Version) (Item, error)
}

// Version identifies one state of one key. It is opaque to the host, is at most
// [MaxVersionBytes] long, and is never used for two states of the same key, not
// even after the key was deleted. The zero Version means that the key is absent.
type Version string

// MaxVersionBytes is the longest Version the wire accepts.
const MaxVersionBytes = 4 << 10

// Item is what a key holds. An empty Value is a value; an absent key has no Item.
type Item struct {
	Value   []byte
	Version Version // of this state; may be zero for a backend that is not an HABackend
}

// OpKind says what an Op does.
type OpKind uint8

// The kinds of Op. The zero OpKind is invalid.
const (
	OpPut    OpKind = 1 // set Key to Value, creating it if absent
	OpDelete OpKind = 2 // remove Key; not an error if absent
)

// Op is one change of one key.
type Op struct {
	Kind  OpKind
	Key   string
	Value []byte // for OpPut
}

// Put returns the Op that sets key to value. It keeps value, not a copy.
func Put(key string, value []byte) Op { return Op{Kind: OpPut, Key: key, Value: value} }

// Delete returns the Op that removes key.
func Delete(key string) Op { return Op{Kind: OpDelete, Key: key} }

// Guard is the condition of a Commit and the change of the record it depends on.
type Guard struct {
	Key     string
	Version Version // the state Key must be in; zero = absent
	Prev    []byte  // the value at Version, for stores that can compare it too (their versions may repeat after a restore)
	Value   []byte  // the value Key gets
}
