package seal

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"sync"
)

// Attempt collects shares until there are enough. It is safe for concurrent use.
type Attempt struct {
	shares    int // how many the secret was split into
	threshold int

	mu    sync.Mutex // guards what follows
	given [][]byte
	nonce string
}

// NewAttempt returns an Attempt to collect threshold of that many shares.
func NewAttempt(shares, threshold int) (*Attempt, error) {
	if err := ValidateSplit(shares, threshold); err != nil {
		return nil, err
	}
	return &Attempt{shares: shares, threshold: threshold}, nil
}

// Add takes a copy of share. With the last one that was needed it returns them all,
// in the order given, for the caller to combine and to zero; the next share begins a
// new attempt. Until then complete is nil. A share that can not be right, or whose
// number was given already, is an ErrBadShare and changes nothing; ErrDuplicateShare if
// it is the very same share, which may be ignored.
func (a *Attempt) Add(share []byte) (complete [][]byte, err error) {
	if err := checkShare(share); err != nil {
		return nil, err
	}
	if int(share[0]) > a.shares {
		return nil, fmt.Errorf("%w: it has number %d, there are %d", ErrBadShare, share[0], a.shares)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, other := range a.given {
		if bytes.Equal(other, share) {
			return nil, ErrDuplicateShare
		}
		if other[0] == share[0] {
			return nil, fmt.Errorf("%w: another share with number %d was given; reset to begin again", ErrBadShare, share[0])
		}
	}
	if len(a.given) == 0 {
		a.nonce = newNonce()
	}
	a.given = append(a.given, bytes.Clone(share))
	if len(a.given) < a.threshold {
		return nil, nil
	}
	complete, a.given, a.nonce = a.given, nil, ""
	return complete, nil
}

// Progress returns how many shares were given in the attempt under way.
func (a *Attempt) Progress() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.given)
}

// Nonce identifies the attempt under way, so that several operators can see that
// they take part in the same one. It is a random UUID, or empty before the first share.
func (a *Attempt) Nonce() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nonce
}

// Reset forgets and zeroes the shares given so far.
func (a *Attempt) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, share := range a.given {
		clear(share)
	}
	a.given, a.nonce = nil, ""
}

// newNonce returns a random UUID (version 4).
func newNonce() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
