package storage

import (
	"errors"
	"fmt"
)

// The errors of the contract. Test for them with errors.Is.
var (
	// ErrNotFound: the key is absent. From Get and Watch only.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the guard was at another version. Nothing was applied.
	ErrConflict = errors.New("conflict: the guard is at another version")
	// ErrTooLarge: over a declared limit, see TooLargeError. Nothing was applied.
	ErrTooLarge = errors.New("too large")
	// ErrInvalidKey: see ValidateKey. Nothing was applied.
	ErrInvalidKey = errors.New("invalid key")
	// ErrUnavailable: the store or the plugin can not be reached, is overloaded or
	// lost its quorum. A write may have been applied unless wrapped in NotApplied.
	ErrUnavailable = errors.New("storage unavailable")
	// ErrUnsupported: the backend does not do this. Nothing was applied.
	ErrUnsupported = errors.New("unsupported")
)

// TooLargeError is an ErrTooLarge that names the limit.
type TooLargeError struct {
	What  string // "key", "value", "batch", ...
	Unit  string // "bytes" or "ops"
	Size  int    // what was asked for; 0 if not known
	Limit int    // what is allowed, in Unit
}

func (e *TooLargeError) Error() string {
	if e.Size == 0 {
		return fmt.Sprintf("too large: %s over the limit of %d %s", e.What, e.Limit, e.Unit)
	}
	return fmt.Sprintf("too large: %s has %d %s, the limit is %d", e.What, e.Size, e.Unit, e.Limit)
}

// Is reports whether target is ErrTooLarge.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// OpError says which op of a batch an error is about.
type OpError struct {
	Index int // position in ops
	Err   error
}

func (e *OpError) Error() string { return fmt.Sprintf("op %d: %v", e.Index, e.Err) }

// Unwrap returns the error about the op.
func (e *OpError) Unwrap() error { return e.Err }

// Outcome says what is known of a write after it returned.
type Outcome uint8

// The outcomes of a write. The zero Outcome claims least.
const (
	Unknown   Outcome = iota // it may have been applied, or may still be
	Applied                  // it was applied and is durable
	Unapplied                // it was not applied and never will be
)

func (o Outcome) String() string {
	switch o {
	case Applied:
		return "applied"
	case Unapplied:
		return "not applied"
	default:
		return "outcome unknown"
	}
}

// NotApplied wraps the error of a write that has provably not been applied and
// never will be: for example when the connection was refused before anything was
// sent. NotApplied(nil) is nil.
func NotApplied(err error) error {
	if err == nil {
		return nil
	}
	return &notAppliedError{err}
}

type notAppliedError struct{ err error }

func (e *notAppliedError) Error() string { return e.err.Error() }
func (e *notAppliedError) Unwrap() error { return e.err }

// OutcomeOf returns what err, returned by Write or Commit, says about the write.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Applied
	}
	if _, ok := errors.AsType[*notAppliedError](err); ok {
		return Unapplied
	}
	for _, sentinel := range []error{ErrConflict, ErrTooLarge, ErrInvalidKey, ErrUnsupported} {
		if errors.Is(err, sentinel) {
			return Unapplied
		}
	}
	return Unknown
}
