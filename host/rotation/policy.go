package rotation

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/barrier"
)

// Bounds of a Policy, which are Vault's.
const (
	// MaxOperations is nine tenths of what one key may seal. The rest is for what is
	// sealed while the count can not be stored, and until the rotation is done.
	MaxOperations = barrier.MaxSeals * 9 / 10
	// MinOperations keeps keyrings short.
	MinOperations = 1_000_000
	// MinInterval likewise.
	MinInterval = 24 * time.Hour
)

// ErrInvalid means that a Policy is outside its bounds.
var ErrInvalid = errors.New("invalid rotation policy")

// Policy says when the key is rotated without being asked. At MaxOperations that happens
// whatever it says: beyond barrier.MaxSeals nothing can be sealed, not even what brings
// the new key.
type Policy struct {
	Enabled    bool          `json:"enabled"`
	Operations uint64        `json:"max_operations"` // values sealed with one key
	Interval   time.Duration `json:"interval"`       // age of a key by the wall clock, nanoseconds; 0 = any
}

// DefaultPolicy is that of a new cluster.
func DefaultPolicy() Policy { return Policy{Enabled: true, Operations: MaxOperations} }

// Validate returns ErrInvalid, with the bound, if p is outside its bounds.
func (p Policy) Validate() error {
	if p.Operations < MinOperations || p.Operations > MaxOperations {
		return fmt.Errorf("%w: max_operations is %d, want %d to %d", ErrInvalid, p.Operations, MinOperations, uint64(MaxOperations))
	}
	if p.Interval != 0 && p.Interval < MinInterval {
		return fmt.Errorf("%w: interval is %v, want 0 (none) or at least %v", ErrInvalid, p.Interval, MinInterval)
	}
	return nil
}

// due says why a key of that age that sealed that many values is to be rotated, or returns "".
func (p Policy) due(seals uint64, age time.Duration) string {
	switch {
	case seals >= MaxOperations:
		return "the key sealed as much as one key may"
	case !p.Enabled:
		return ""
	case seals >= p.Operations:
		return "the key sealed max_operations values"
	case p.Interval != 0 && age >= p.Interval:
		return "the key reached its interval"
	}
	return ""
}
