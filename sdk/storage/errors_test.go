package storage_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
)

func TestOutcomeOf(t *testing.T) {
	tests := []struct {
		err  error
		want storage.Outcome
	}{
		{nil, storage.Applied},
		{storage.ErrConflict, storage.Unapplied},
		{storage.ErrTooLarge, storage.Unapplied},
		{storage.ErrInvalidKey, storage.Unapplied},
		{storage.ErrUnsupported, storage.Unapplied},
		{&storage.TooLargeError{What: "value"}, storage.Unapplied},
		{&storage.OpError{Index: 1, Err: storage.ErrInvalidKey}, storage.Unapplied},
		{storage.ErrUnavailable, storage.Unknown},
		{storage.ErrNotFound, storage.Unknown},
		{context.DeadlineExceeded, storage.Unknown},
		{errors.New("anything else"), storage.Unknown},
		{storage.NotApplied(storage.ErrUnavailable), storage.Unapplied},
		{storage.NotApplied(context.Canceled), storage.Unapplied},
		{fmt.Errorf("txn: %w", &storage.OpError{Err: storage.NotApplied(storage.ErrUnavailable)}), storage.Unapplied},
		{errors.Join(errors.New("other"), storage.ErrConflict), storage.Unapplied},
	}
	for _, test := range tests {
		if got := storage.OutcomeOf(test.err); got != test.want {
			t.Errorf("%v: got %v, want %v", test.err, got, test.want)
		}
	}
}

func TestWrappersKeepWhatTheyWrap(t *testing.T) {
	if storage.NotApplied(nil) != nil {
		t.Error("NotApplied(nil) is an error")
	}
	err := storage.NotApplied(&storage.OpError{Index: 3, Err: &storage.TooLargeError{What: "value", Unit: "bytes", Size: 11, Limit: 10}})
	if want := "op 3: too large: value has 11 bytes, the limit is 10"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if !errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrConflict) {
		t.Errorf("%v: want it to be ErrTooLarge and nothing else", err)
	}
	sizeless := &storage.TooLargeError{What: "batch", Unit: "ops", Limit: 64}
	if want := "too large: batch over the limit of 64 ops"; sizeless.Error() != want {
		t.Errorf("got %q, want %q", sizeless, want)
	}
}
