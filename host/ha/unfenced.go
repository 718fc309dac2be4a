package ha

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// InstanceKey is where a node on a store without high availability shows that it lives.
const InstanceKey = "hf/instance"

// instance is the record at InstanceKey. It holds nothing secret and is stored in clear.
type instance struct {
	ID      string `json:"id"`
	Counter uint64 `json:"counter"`
}

// forever is a lease that does not end: nobody can take over from an unfenced node.
const forever = clock.Instant(1<<63 - 1)

// Unfenced runs the one node of a store whose plugin has no HABackend. Nothing
// keeps a second node from writing; the instance record is only there to
// notice the mistake at the start.
type Unfenced struct {
	Backend storage.Backend
	Timing  Timing
	Log     Log
	Logger  hclog.Logger
	Changed func(Snapshot)

	work chan struct{}
}

// NewUnfenced returns an Unfenced; work is sent to, without blocking, when its Log has something.
func NewUnfenced(u Unfenced) *Unfenced {
	u.work = make(chan struct{}, 1)
	return &u
}

// Wake says that the Log has something to write. It never blocks.
func (u *Unfenced) Wake() {
	select {
	case u.work <- struct{}{}:
	default:
	}
}

// Run watches the instance record for six beats, refuses if it moves (ErrRefused), and is
// active from then until ctx ends.
func (u *Unfenced) Run(ctx context.Context) error {
	before, err := u.observe(ctx)
	if err != nil {
		return err
	}
	pause(ctx, 6*u.Timing.Beat)
	if ctx.Err() != nil {
		return nil
	}
	after, err := u.observe(ctx)
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("%w: another node is running on this store, and the storage plugin has no high availability: stop one of the two", ErrRefused)
	}
	u.Log.Open()
	u.Log.SetLease(forever)
	u.Logger.Info("became active", "reason", "the storage plugin has no high availability")
	u.Changed(Snapshot{Role: Active, Since: time.Now(), Lease: forever})
	u.serve(ctx, instance{ID: rand.Text(), Counter: after.Counter})
	u.Log.Shut()
	return nil
}

// observe reads the instance record. An unreadable one is another node's.
func (u *Unfenced) observe(ctx context.Context) (instance, error) {
	rctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	item, err := u.Backend.Get(rctx, InstanceKey)
	if errors.Is(err, storage.ErrNotFound) {
		return instance{}, nil
	}
	if err != nil {
		return instance{}, fmt.Errorf("read the instance record: %w", err)
	}
	var i instance
	if err := json.Unmarshal(item.Value, &i); err != nil {
		return instance{}, fmt.Errorf("%s in the store is not an instance record (%w): remove it if no other node runs", InstanceKey, err)
	}
	return i, nil
}

func (u *Unfenced) serve(ctx context.Context, self instance) {
	beat := time.NewTicker(u.Timing.Beat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.work:
			u.write(ctx, u.Log.Take())
		case <-beat.C:
			self.Counter++
			if err := u.show(ctx, self); err != nil && ctx.Err() == nil {
				u.Logger.Warn("write the instance record", "error", err)
			}
		}
	}
}

func (u *Unfenced) show(ctx context.Context, self instance) error {
	value, err := json.Marshal(self)
	if err != nil {
		return err
	}
	wctx, cancel := context.WithTimeout(ctx, u.Timing.Lease/2)
	defer cancel()
	return u.Backend.Write(wctx, []storage.Op{storage.Put(InstanceKey, value)})
}

// write applies one batch. There is no way to settle an unknown outcome without a
// guard, so it is told as it is.
func (u *Unfenced) write(ctx context.Context, ops []storage.Op) {
	if len(ops) == 0 {
		u.Log.Resolve(Applied, nil)
		return
	}
	// A write that has begun is not given up because the node is asked to stop.
	wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*u.Timing.Lease)
	defer cancel()
	err := u.Backend.Write(wctx, ops)
	switch {
	case err == nil:
		u.Log.Resolve(Applied, nil)
	case storage.OutcomeOf(err) == storage.Unknown:
		u.Logger.Warn("a write has an unknown outcome", "error", err)
		u.Log.Resolve(Doubtful, err)
	case errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrInvalidKey) || errors.Is(err, storage.ErrUnsupported):
		u.Log.Resolve(Refused, err)
	default:
		u.Log.Resolve(Again, err)
		pause(ctx, retryPause)
	}
}
