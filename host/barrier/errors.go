package barrier

import (
	"errors"
	"fmt"
)

// The errors of this package. Test for them with errors.Is.
var (
	// ErrSealed: the barrier was destroyed. A new one needs the root key again.
	ErrSealed = errors.New("barrier is sealed")
	// ErrUnknownTerm: the value was sealed under a key term that the keyring does not
	// hold. After a rotation by another node, reload the keyring and try again.
	ErrUnknownTerm = errors.New("unknown key term: reload the keyring")
	// ErrWrongKey: the keyring was sealed under another root key. After unsealing with
	// a wrong share this is what tells.
	ErrWrongKey = errors.New("wrong root key")
	// ErrKeyExhausted: the active key sealed MaxSeals values. Rotate the keyring.
	ErrKeyExhausted = errors.New("key is used up: rotate the keyring")
	// ErrKeyringMismatch: a keyring that lacks a key of the barrier, or contradicts one,
	// can not replace its keyring.
	ErrKeyringMismatch = errors.New("keyring does not continue the one in use")
)

// OpenError says that the value at Path can not be opened. Whoever reads it learns
// the path and never the value.
type OpenError struct {
	Path   string
	Reason string
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("open the value at %q: %s", e.Path, e.Reason)
}

// Reasons of an OpenError.
const (
	reasonShort  = "it is too short to be a sealed value"
	reasonFormat = "it is not in a format that this version of Holdfast reads"
	reasonForged = "it was altered, or moved there from another key"
)

// IsDamage reports whether err, of a Barrier's Open, means that the value in the store was
// altered, so that reading it again will not help.
func IsDamage(err error) bool {
	_, damaged := errors.AsType[*OpenError](err)
	return damaged || errors.Is(err, ErrUnknownTerm)
}
