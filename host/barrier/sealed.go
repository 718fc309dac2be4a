package barrier

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A sealed keyring is
//
//	format (1 byte) | key check (16 bytes) | nonce (12 bytes) | ciphertext | tag (16 bytes)
//
// The key check is derived from the root key, and so is the key that encrypts,
// independently of each other. It tells a wrong root key, an operator's mistake,
// from a keyring that the store has damaged. The plaintext is
//
//	active term (4 bytes) | length of the cluster id (4) | cluster id | number of keys (4) | { term (4) | key (32) } ...
const (
	keyringFormat = 1
	checkSize     = 16
	rootKeySize   = 32
	entrySize     = 4 + keySize

	infoEncrypt = "holdfast keyring encryption v1"
	infoCheck   = "holdfast keyring key check v1"
)

// SealWith encrypts the keyring under a root key of 32 bytes, to be stored at path.
func (k *Keyring) SealWith(rootKey []byte, path string) ([]byte, error) {
	key, check, err := deriveKeys(rootKey)
	if err != nil {
		return nil, fmt.Errorf("seal the keyring: %w", err)
	}
	defer clear(key)
	plaintext := k.encode()
	defer clear(plaintext)

	sealed := append([]byte{keyringFormat}, check...)
	return newAEAD(key).Seal(sealed, nil, plaintext, keyringBound(path)), nil
}

// OpenKeyring decrypts what SealWith returned for the same root key and path. It
// fails with ErrWrongKey for another root key, and with an *OpenError if the value
// was damaged or comes from another path.
func OpenKeyring(rootKey []byte, path string, sealed []byte) (*Keyring, error) {
	key, check, err := deriveKeys(rootKey)
	if err != nil {
		return nil, fmt.Errorf("open the keyring: %w", err)
	}
	defer clear(key)
	if len(sealed) < 1+checkSize+nonceSize+tagSize {
		return nil, &OpenError{Path: path, Reason: reasonShort}
	}
	if sealed[0] != keyringFormat {
		return nil, &OpenError{Path: path, Reason: reasonFormat}
	}
	if subtle.ConstantTimeCompare(sealed[1:1+checkSize], check) != 1 {
		return nil, fmt.Errorf("open the keyring at %q: %w", path, ErrWrongKey)
	}
	plaintext, err := newAEAD(key).Open(nil, nil, sealed[1+checkSize:], keyringBound(path))
	if err != nil {
		return nil, &OpenError{Path: path, Reason: reasonForged}
	}
	defer clear(plaintext)
	k, err := decodeKeyring(plaintext)
	if err != nil {
		return nil, &OpenError{Path: path, Reason: err.Error()}
	}
	return k, nil
}

// deriveKeys returns the key that encrypts the keyring, and the key check.
func deriveKeys(rootKey []byte) (key, check []byte, err error) {
	if len(rootKey) != rootKeySize {
		return nil, nil, fmt.Errorf("root key has %d bytes, not %d", len(rootKey), rootKeySize)
	}
	if key, err = hkdf.Key(sha256.New, rootKey, nil, infoEncrypt, keySize); err != nil {
		return nil, nil, fmt.Errorf("derive the keyring's key: %w", err)
	}
	if check, err = hkdf.Key(sha256.New, rootKey, nil, infoCheck, checkSize); err != nil {
		clear(key)
		return nil, nil, fmt.Errorf("derive the key check: %w", err)
	}
	return key, check, nil
}

func keyringBound(path string) []byte {
	return append([]byte{keyringFormat}, path...)
}

// encode returns the plaintext form, in one exact allocation so that no part of a
// key stays behind in a buffer outgrown.
func (k *Keyring) encode() []byte {
	buf := make([]byte, 0, 4+4+len(k.clusterID)+4+entrySize*len(k.keys))
	buf = binary.BigEndian.AppendUint32(buf, k.active)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(k.clusterID)))
	buf = append(buf, k.clusterID...)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(k.keys)))
	for _, term := range slices.Sorted(maps.Keys(k.keys)) {
		buf = binary.BigEndian.AppendUint32(buf, term)
		buf = append(buf, k.keys[term][:]...)
	}
	return buf
}

var errKeyringEncoding = errors.New("the keyring in it is not well formed")

// decodeKeyring accepts exactly what encode returns.
func decodeKeyring(buf []byte) (*Keyring, error) {
	if len(buf) < 8 {
		return nil, errKeyringEncoding
	}
	k := &Keyring{active: binary.BigEndian.Uint32(buf)}
	idSize, buf := uint64(binary.BigEndian.Uint32(buf[4:])), buf[8:]
	if uint64(len(buf)) < idSize+4 {
		return nil, errKeyringEncoding
	}
	k.clusterID = string(buf[:idSize])
	count, buf := uint64(binary.BigEndian.Uint32(buf[idSize:])), buf[idSize+4:]
	if uint64(len(buf)) != count*entrySize {
		return nil, errKeyringEncoding
	}
	k.keys = make(map[uint32]*[keySize]byte, count)
	var last uint32 // terms begin at 1 and ascend
	for entry := range slices.Chunk(buf, entrySize) {
		term := binary.BigEndian.Uint32(entry)
		if term <= last {
			return nil, errKeyringEncoding
		}
		last = term
		k.keys[term] = (*[keySize]byte)(bytes.Clone(entry[4:]))
	}
	if k.active == 0 || k.active != last {
		return nil, errKeyringEncoding
	}
	return k, nil
}
