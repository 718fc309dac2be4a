package sdk

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// PollWatch is a Watch for stores that have none: it reads key by get, a backend's own Get,
// every interval until it is no longer at version seen. A stand-by notices a change
// after one interval at most, so 200 ms is a good one; an error of get is returned at once.
func PollWatch(
	ctx context.Context, get func(context.Context, string) (storage.Item, error),
	key string, seen storage.Version, interval time.Duration,
) (storage.Item, error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		item, err := get(ctx, key)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			if seen != "" {
				return storage.Item{}, err
			}
		case err != nil:
			return storage.Item{}, err
		case item.Version != seen:
			return item, nil
		}
		select {
		case <-ctx.Done():
			return storage.Item{}, ctx.Err()
		case <-ticker.C:
		}
	}
}
