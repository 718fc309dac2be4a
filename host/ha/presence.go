package ha

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
)

// InstanceKey is where a node on a store without high availability shows that it runs.
const InstanceKey = "hf/instance"

// presenceBeats is for how many beats CheckAlone looks: 2.4 s by default.
const presenceBeats = 6

// instance is the record at InstanceKey. It holds nothing secret and is stored in clear.
type instance struct {
	ID      string `json:"id"`
	Counter uint64 `json:"counter"`
}

// CheckAlone returns ErrRefused if the record at key changes within six beats: another
// node is running on the store. key is RecordKey where high availability is
// disabled, InstanceKey where there is none; the record need not be readable here. It
// is advice to the operator, not a guard: without HABackend nothing is fenced.
func CheckAlone(ctx context.Context, b storage.Backend, key string, beat time.Duration) error {
	before, err := present(ctx, b, key)
	if err != nil {
		return err
	}
	pause(ctx, presenceBeats*beat)
	after, err := present(ctx, b, key)
	if err != nil {
		return err
	}
	if !bytes.Equal(before, after) {
		return fmt.Errorf("%w: another node is running on this store (%s changes) and there is no high availability here: stop one of the two",
			ErrRefused, key)
	}
	return nil
}

// present returns what is at key, nil if nothing is.
func present(ctx context.Context, b storage.Backend, key string) ([]byte, error) {
	rctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	item, err := b.Get(rctx, key)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("look for another node at %s: %w", key, err)
	}
	return item.Value, nil
}

// KeepInstance rewrites the instance record every beat, so that CheckAlone of another
// node sees this one, until ctx ends.
func KeepInstance(ctx context.Context, b storage.Backend, beat time.Duration, logger hclog.Logger) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	self := instance{ID: rand.Text()}
	for {
		self.Counter++
		if err := show(ctx, b, self); err != nil && ctx.Err() == nil {
			logger.Warn("write the instance record", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func show(ctx context.Context, b storage.Backend, self instance) error {
	value, err := json.Marshal(self)
	if err != nil {
		return err
	}
	wctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return b.Write(wctx, []storage.Op{storage.Put(InstanceKey, value)})
}
