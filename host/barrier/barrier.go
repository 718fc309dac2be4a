// Package barrier encrypts everything that leaves the host for the store. The store
// and its plugin are untrusted: they see names, sizes and times, never a value, and a
// value that they alter, or move to another key, does not open.
//
// A sealed value is
//
//	format (1 byte) | key term (4 bytes, big endian) | nonce (12 bytes, random) | ciphertext | tag (16 bytes)
//
// under AES-256-GCM. The associated data binds the format, the key term, the cluster's
// id and the full path. What is not detected is an older value of the same path put
// back in place.
package barrier

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
)

// MaxSeals is how many values one key may seal: with random nonces of 96 bits the
// chance that any two are equal stays below 2^-32 (NIST SP 800-38D, section 8.3, which
// counts what all nodes together seal).
const MaxSeals = 1 << 32

// Overhead is how much longer a sealed value is than its plaintext, in bytes.
const Overhead = headerSize + nonceSize + tagSize

const (
	format     = 1
	headerSize = 1 + 4
	nonceSize  = 12
	tagSize    = 16
)

// Barrier seals and opens values. It is safe for concurrent use.
type Barrier struct {
	current atomic.Pointer[generation] // nil once destroyed
	// replacing serialises Replace and Destroy.
	replacing sync.Mutex
}

// New returns a Barrier over a copy of k; k stays the caller's.
func New(k *Keyring) *Barrier {
	b := &Barrier{}
	b.current.Store(newGeneration(k, nil))
	return b
}

// Seal encrypts plaintext, with the active key, for the value at path. The result is
// the caller's. Seal fails with ErrSealed or, after MaxSeals values, ErrKeyExhausted.
func (b *Barrier) Seal(path string, plaintext []byte) ([]byte, error) {
	g := b.current.Load()
	if g == nil {
		return nil, ErrSealed
	}
	key := g.active
	if key.seals.Add(1) > MaxSeals {
		key.seals.Add(^uint64(0)) // this one does not count, however often it is asked
		return nil, fmt.Errorf("seal the value at %q with term %d: %w", path, key.term, ErrKeyExhausted)
	}
	return key.seal(path, plaintext), nil
}

// Open decrypts what Seal returned for the same path. The result is the caller's. It
// fails with ErrSealed, with ErrUnknownTerm, or with an *OpenError.
func (b *Barrier) Open(path string, ciphertext []byte) ([]byte, error) {
	g := b.current.Load()
	if g == nil {
		return nil, ErrSealed
	}
	if reason := malformed(ciphertext); reason != "" {
		return nil, &OpenError{Path: path, Reason: reason}
	}
	term := binary.BigEndian.Uint32(ciphertext[1:headerSize])
	key, ok := g.keys[term]
	if !ok {
		return nil, fmt.Errorf("open the value at %q: it was altered, or sealed under a key of term %d: %w", path, term, ErrUnknownTerm)
	}
	plaintext, ok := key.open(path, ciphertext)
	if !ok {
		return nil, &OpenError{Path: path, Reason: reasonForged}
	}
	return plaintext, nil
}

// KeyTerm returns the term of the key that Seal uses, or 0 once destroyed.
func (b *Barrier) KeyTerm() uint32 {
	g := b.current.Load()
	if g == nil {
		return 0
	}
	return g.active.term
}

// Seals returns how many values the active key sealed, in this Barrier and, as far as
// AddSeals told it, elsewhere. It is 0 once destroyed.
func (b *Barrier) Seals() uint64 {
	g := b.current.Load()
	if g == nil {
		return 0
	}
	return g.active.seals.Load()
}

// AddSeals counts n values that other nodes, or earlier runs, sealed with the key of term.
// A term that the keyring does not hold is passed over.
func (b *Barrier) AddSeals(term uint32, n uint64) {
	if g := b.current.Load(); g != nil && g.keys[term] != nil {
		g.keys[term].seals.Add(min(n, MaxSeals)) // far from where the counter would wrap around
	}
}

// Replace goes on with a copy of k, which must hold every key that the barrier has:
// an older keyring, or one of another cluster, is refused with ErrKeyringMismatch. Calls
// under way finish with the keyring they began with.
func (b *Barrier) Replace(k *Keyring) error {
	b.replacing.Lock()
	defer b.replacing.Unlock()
	old := b.current.Load()
	if old == nil {
		return ErrSealed
	}
	if !k.continues(old.keyring) {
		return ErrKeyringMismatch
	}
	b.current.Store(newGeneration(k, old))
	old.keyring.Destroy()
	return nil
}

// Keyring returns a copy of the keyring in use, for example to rotate it. It fails
// with ErrSealed.
func (b *Barrier) Keyring() (*Keyring, error) {
	b.replacing.Lock()
	defer b.replacing.Unlock()
	g := b.current.Load()
	if g == nil {
		return nil, ErrSealed
	}
	return g.keyring.clone(), nil
}

// Destroy forgets the keys; every later call returns ErrSealed. The keys are zeroed.
// What AES derived from them is left to the garbage collector, since the standard
// library gives no hold of it.
func (b *Barrier) Destroy() {
	b.replacing.Lock()
	defer b.replacing.Unlock()
	if old := b.current.Swap(nil); old != nil {
		old.keyring.Destroy()
	}
}

// TermOf returns the term of the key that ciphertext was sealed under. It does not
// prove that ciphertext is genuine. It fails with an *OpenError without a path.
func TermOf(ciphertext []byte) (uint32, error) {
	if reason := malformed(ciphertext); reason != "" {
		return 0, &OpenError{Reason: reason}
	}
	return binary.BigEndian.Uint32(ciphertext[1:headerSize]), nil
}

// malformed says why ciphertext can not be a sealed value, or returns "".
func malformed(ciphertext []byte) string {
	switch {
	case len(ciphertext) < Overhead:
		return reasonShort
	case ciphertext[0] != format:
		return reasonFormat
	default:
		return ""
	}
}
