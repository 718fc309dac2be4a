// Package seal splits the root key among key holders and puts it together again.
//
// A random scalar of the ristretto255 group is the secret that is shared, by Shamir's
// scheme over the group's prime field; the root key is derived from it. Any threshold
// of the shares gives the secret, fewer say nothing about it. A wrong share gives
// another secret and no error: whoever combines shares finds out by opening the
// keyring with the root key.
package seal

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"
)

const (
	// MaxShares is the largest number of shares: a share's number is one byte.
	MaxShares = 255
	// ShareSize is the length of a share in bytes: its number, then a scalar.
	ShareSize = 1 + scalarSize
	// RootKeySize is the length of the root key in bytes.
	RootKeySize = 32

	scalarSize = 32
	infoRoot   = "holdfast root key v1"
)

// The errors about one share. Test for them with errors.Is.
var (
	// ErrBadShare: this can not be a share of the secret, or not together with the
	// others. ErrDuplicateShare is one, too.
	ErrBadShare = errors.New("invalid key share")
	// ErrDuplicateShare: this very share was given before.
	ErrDuplicateShare = fmt.Errorf("%w: it was given already", ErrBadShare)
)

// ValidateSplit reports why a secret can not be split into that many shares, of which
// threshold are needed.
func ValidateSplit(shares, threshold int) error {
	switch {
	case shares < 1 || shares > MaxShares:
		return fmt.Errorf("number of key shares must be from 1 to %d, not %d", MaxShares, shares)
	case threshold < 1 || threshold > shares:
		return fmt.Errorf("key threshold must be from 1 to the number of shares, %d, not %d", shares, threshold)
	case threshold == 1 && shares > 1:
		return errors.New("key threshold must be at least 2 when there are several shares: with 1, each share is the whole key")
	default:
		return nil
	}
}

// Generate makes a new root key and splits it. The result is all there is of it:
// the caller hands out the shares and zeroes the key after use.
func Generate(shares, threshold int) (rootKey []byte, split [][]byte, err error) {
	if err := ValidateSplit(shares, threshold); err != nil {
		return nil, nil, err
	}
	secret := group.Ristretto255.RandomNonZeroScalar(rand.Reader)
	defer secret.SetUint64(0)
	if rootKey, err = deriveRootKey(secret); err != nil {
		return nil, nil, err
	}
	// The library counts the shares that do not suffice.
	sharing := secretsharing.New(rand.Reader, uint(threshold-1), secret)
	split = make([][]byte, 0, shares)
	for _, share := range sharing.Share(uint(shares)) {
		encoded, err := encodeShare(len(split)+1, share.Value)
		if err != nil {
			return nil, nil, err
		}
		split = append(split, encoded)
	}
	return rootKey, split, nil
}

// Combine puts the root key together from the first threshold of shares, which must
// be all valid and of different numbers; ErrBadShare otherwise. If one of them is of
// another secret the root key is a wrong one, and only its use will tell.
func Combine(shares [][]byte, threshold int) (rootKey []byte, err error) {
	if threshold < 1 || threshold > MaxShares {
		return nil, fmt.Errorf("key threshold must be from 1 to %d, not %d", MaxShares, threshold)
	}
	if len(shares) < threshold {
		return nil, fmt.Errorf("combine key shares: %d given, %d needed", len(shares), threshold)
	}
	points, err := decodeShares(shares)
	defer zero(points)
	if err != nil {
		return nil, err
	}
	secret, err := secretsharing.Recover(uint(threshold-1), points)
	if err != nil {
		return nil, fmt.Errorf("combine key shares: %w", err)
	}
	defer secret.SetUint64(0)
	return deriveRootKey(secret)
}

func deriveRootKey(secret group.Scalar) ([]byte, error) {
	raw, err := secret.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode the shared secret: %w", err)
	}
	defer clear(raw)
	key, err := hkdf.Key(sha256.New, raw, nil, infoRoot, RootKeySize)
	if err != nil {
		return nil, fmt.Errorf("derive the root key: %w", err)
	}
	return key, nil
}
