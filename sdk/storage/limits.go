package storage

import "fmt"

// Limits are the largest requests a backend accepts. A backend enforces them by
// [CheckBatch] (the SDK does so for Go authors) and answers [ErrTooLarge]; it
// never truncates and never drops a connection over size.
type Limits struct {
	MaxKeyBytes   int // longest key, at most MaxKeyBytes
	MaxValueBytes int // longest value of one key
	MaxOps        int // most ops in one Write or Commit, the guard not counted; at least MinOps
	MaxBatchBytes int // most bytes in one Write or Commit: keys and values of the ops and of the guard (Key, Value)
}

// MinOps is the smallest MaxOps the host accepts: the longest multi-step change
// it makes in one batch fits.
const MinOps = 16

// MinValueBytes is the smallest MaxValueBytes the host accepts: the mount table
// and the term record fit.
const MinValueBytes = 16 << 10

// Capabilities are what an opened backend can do with the configuration it was
// given. The zero value is the least capable backend and is refused by the host.
type Capabilities struct {
	Limits Limits

	// HADisabled says that the configuration switched high availability off
	// (ha_enabled = false). The host then runs no election, and still writes
	// by Commit if the backend has it.
	HADisabled bool
}

// Validate reports every limit that is too small for the host.
func (l Limits) Validate() error {
	switch {
	case l.MaxKeyBytes < MaxKeyBytes/2:
		return fmt.Errorf("limits: MaxKeyBytes is %d, want at least %d", l.MaxKeyBytes, MaxKeyBytes/2)
	case l.MaxValueBytes < MinValueBytes:
		return fmt.Errorf("limits: MaxValueBytes is %d, want at least %d", l.MaxValueBytes, MinValueBytes)
	case l.MaxOps < MinOps:
		return fmt.Errorf("limits: MaxOps is %d, want at least %d", l.MaxOps, MinOps)
	case l.MaxBatchBytes < l.MaxValueBytes:
		return fmt.Errorf("limits: MaxBatchBytes is %d, less than MaxValueBytes %d", l.MaxBatchBytes, l.MaxValueBytes)
	}
	return nil
}

// CheckBatch reports the first reason why a Write (guard nil) or Commit is not
// acceptable within l: ErrInvalidKey or ErrTooLarge, wrapped in an [OpError] where
// one op is to blame, or ErrUnsupported for an op of unknown kind or a
// key that occurs twice. Nothing is sent to the store in these cases.
func (l Limits) CheckBatch(guard *Guard, ops []Op) error {
	if len(ops) > l.MaxOps {
		return &TooLargeError{What: "batch", Unit: "ops", Size: len(ops), Limit: l.MaxOps}
	}
	total := 0
	seen := make(map[string]struct{}, len(ops)+1)
	if guard != nil {
		if err := l.CheckKey(guard.Key); err != nil {
			return fmt.Errorf("guard: %w", err)
		}
		if len(guard.Value) > l.MaxValueBytes {
			return &TooLargeError{What: "guard value", Unit: "bytes", Size: len(guard.Value), Limit: l.MaxValueBytes}
		}
		total = len(guard.Key) + len(guard.Value)
		seen[guard.Key] = struct{}{}
	}
	for i, op := range ops {
		if err := l.checkOp(op, seen); err != nil {
			return &OpError{Index: i, Err: err}
		}
		total += len(op.Key) + len(op.Value)
	}
	if total > l.MaxBatchBytes {
		return &TooLargeError{What: "batch", Unit: "bytes", Size: total, Limit: l.MaxBatchBytes}
	}
	return nil
}

func (l Limits) checkOp(op Op, seen map[string]struct{}) error {
	if op.Kind != OpPut && op.Kind != OpDelete {
		return fmt.Errorf("%w: op kind %d", ErrUnsupported, op.Kind)
	}
	if err := l.CheckKey(op.Key); err != nil {
		return err
	}
	if len(op.Value) > l.MaxValueBytes {
		return &TooLargeError{What: "value", Unit: "bytes", Size: len(op.Value), Limit: l.MaxValueBytes}
	}
	if _, dup := seen[op.Key]; dup {
		return fmt.Errorf("%w: key occurs twice in a batch", ErrUnsupported)
	}
	seen[op.Key] = struct{}{}
	return nil
}

// CheckKey is ValidateKey and the length limit of l.
func (l Limits) CheckKey(key string) error {
	if err := ValidateKey(key); err != nil {
		return err
	}
	if len(key) > l.MaxKeyBytes {
		return &TooLargeError{What: "key", Unit: "bytes", Size: len(key), Limit: l.MaxKeyBytes}
	}
	return nil
}
