package barrier

import (
	"crypto/rand"
	"crypto/subtle"
	"maps"
	"slices"
)

// keySize is the length of a key, in bytes: AES-256.
const keySize = 32

// Keyring is the keys of a cluster by term: the newest seals, all of them open. A
// Keyring does not change until it is destroyed; but for Destroy it is safe for
// concurrent use.
type Keyring struct {
	clusterID string
	active    uint32
	keys      map[uint32]*[keySize]byte
}

// NewKeyring returns a keyring with one random key, of term 1, for the cluster with
// that id. Values sealed in one cluster do not open in another.
func NewKeyring(clusterID string) *Keyring {
	return (&Keyring{clusterID: clusterID}).Rotate()
}

// Rotate returns a new keyring with all the keys of k and one more, random, that is
// active from now on. Store it before sealing with it.
func (k *Keyring) Rotate() *Keyring {
	next := k.clone()
	next.active++
	key := new([keySize]byte)
	rand.Read(key[:]) // never fails
	next.keys[next.active] = key
	return next
}

// ClusterID returns the id that NewKeyring was given.
func (k *Keyring) ClusterID() string { return k.clusterID }

// ActiveTerm returns the term of the key that seals.
func (k *Keyring) ActiveTerm() uint32 { return k.active }

// Terms returns the terms of all keys in ascending order.
func (k *Keyring) Terms() []uint32 { return slices.Sorted(maps.Keys(k.keys)) }

// Destroy zeroes the keys. The keyring must not be used afterwards.
func (k *Keyring) Destroy() {
	for _, key := range k.keys {
		clear(key[:])
	}
	clear(k.keys)
}

func (k *Keyring) clone() *Keyring {
	c := &Keyring{clusterID: k.clusterID, active: k.active, keys: make(map[uint32]*[keySize]byte, len(k.keys)+1)}
	for term, key := range k.keys {
		c.keys[term] = new(*key)
	}
	return c
}

// continues reports whether k holds every key of old and is not older.
func (k *Keyring) continues(old *Keyring) bool {
	if k.clusterID != old.clusterID || k.active < old.active {
		return false
	}
	for term, key := range old.keys {
		kept, ok := k.keys[term]
		if !ok || subtle.ConstantTimeCompare(kept[:], key[:]) != 1 {
			return false
		}
	}
	return true
}
