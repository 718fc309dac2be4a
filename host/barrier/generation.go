package barrier

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"sync/atomic"
)

// generation is all that the barrier derives from one keyring. It does not change,
// but for the counters.
type generation struct {
	keyring *Keyring // the barrier's own copy
	keys    map[uint32]*termKey
	active  *termKey
}

// termKey is one key, ready for use.
type termKey struct {
	term  uint32
	aead  cipher.AEAD
	bound []byte // the associated data up to the path
	seals *atomic.Uint64
}

// newGeneration prepares a copy of k. A key that old holds too goes on counting.
func newGeneration(k *Keyring, old *generation) *generation {
	g := &generation{keyring: k.clone(), keys: make(map[uint32]*termKey, len(k.keys))}
	for term, key := range g.keyring.keys {
		t := &termKey{
			term:  term,
			aead:  newAEAD(key[:]),
			bound: boundPrefix(term, k.clusterID),
			seals: new(atomic.Uint64),
		}
		if old != nil && old.keys[term] != nil {
			t.seals = old.keys[term].seals
		}
		g.keys[term] = t
	}
	g.active = g.keys[k.active]
	return g
}

// seal returns header, nonce, ciphertext and tag. One allocation holds the result
// and, behind it, the associated data, which must not overlap.
func (k *termKey) seal(path string, plaintext []byte) []byte {
	size := Overhead + len(plaintext)
	buf := make([]byte, headerSize, size+len(k.bound)+len(path))
	buf[0] = format
	binary.BigEndian.PutUint32(buf[1:], k.term)
	return k.aead.Seal(buf, nil, plaintext, k.associated(buf[size:size], path))[:size:size]
}

// open returns the plaintext, and false if sealed is not what seal returned for path.
func (k *termKey) open(path string, sealed []byte) ([]byte, bool) {
	size := len(sealed) - Overhead
	buf := make([]byte, 0, size+len(k.bound)+len(path))
	plaintext, err := k.aead.Open(buf, nil, sealed[headerSize:], k.associated(buf[size:size], path))
	if err != nil {
		return nil, false
	}
	return plaintext[:size:size], true
}

// associated appends the associated data for path to buf.
func (k *termKey) associated(buf []byte, path string) []byte {
	return append(append(buf, k.bound...), path...)
}

// boundPrefix is the associated data without the path. The length in front of the
// cluster's id keeps it apart from the path that follows.
func boundPrefix(term uint32, clusterID string) []byte {
	var buf bytes.Buffer
	buf.WriteByte(format)
	buf.Write(binary.BigEndian.AppendUint32(nil, term))
	buf.Write(binary.BigEndian.AppendUint32(nil, uint32(len(clusterID))))
	buf.WriteString(clusterID)
	return buf.Bytes()
}

// newAEAD returns AES-256-GCM that puts a random nonce in front of what it seals.
func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // the block is AES
	}
	return aead
}
