package sdk

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// answer is one answer of a get.
type answer struct {
	version storage.Version
	err     error
}

// answers returns a get that gives one answer after the other, then the last again.
func answers(list ...answer) func(context.Context, string) (storage.Item, error) {
	return func(context.Context, string) (storage.Item, error) {
		now := list[0]
		if len(list) > 1 {
			list = list[1:]
		}
		return storage.Item{Version: now.version}, now.err
	}
}

func TestPollWatch(t *testing.T) {
	down := errors.New("down")
	one, two := answer{version: "1"}, answer{version: "2"}
	absent, failed := answer{err: storage.ErrNotFound}, answer{err: down}
	tests := []struct {
		name     string
		get      func(context.Context, string) (storage.Item, error)
		seen     storage.Version
		want     storage.Version
		wantErr  error
		wantTook time.Duration
	}{
		{"other version at once", answers(two), "1", "2", nil, 0},
		{"changed", answers(one, one, two), "1", "2", nil, 2 * time.Second},
		{"deleted", answers(one, absent), "1", "", storage.ErrNotFound, time.Second},
		{"created", answers(absent, one), "", "1", nil, time.Second},
		{"error", answers(one, failed), "1", "", down, time.Second},
		{"never", answers(one), "1", "", context.DeadlineExceeded, 10500 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10500*time.Millisecond)
				defer cancel()
				start := time.Now()
				item, err := PollWatch(ctx, test.get, "k", test.seen, time.Second)
				if item.Version != test.want || !errors.Is(err, test.wantErr) || time.Since(start) != test.wantTook {
					t.Errorf("got %q, %v after %v, want %q, %v after %v",
						item.Version, err, time.Since(start), test.want, test.wantErr, test.wantTook)
				}
			})
		})
	}
}
