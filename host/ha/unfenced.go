package ha

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// forever is a lease that does not end: nobody can take over from an unfenced node.
const forever = clock.Instant(1<<63 - 1)

// Unfenced is to a store whose plugin has no HABackend what Driver is to one that
// has: this node is active from the start, and its writes are not guarded.
type Unfenced struct {
	backend storage.Backend
	log     Log
	logger  hclog.Logger
	changed func(Snapshot)
	work    chan struct{}
	since   time.Time
}

// NewUnfenced returns an Unfenced; changed is called once, from Run.
func NewUnfenced(b storage.Backend, log Log, logger hclog.Logger, changed func(Snapshot)) *Unfenced {
	return &Unfenced{backend: b, log: log, logger: logger, changed: changed, work: make(chan struct{}, 1), since: time.Now()}
}

// Wake says that the Log has something to write. It never blocks.
func (u *Unfenced) Wake() {
	select {
	case u.work <- struct{}{}:
	default:
	}
}

// Snapshot returns the state, which is always the same.
func (u *Unfenced) Snapshot() Snapshot {
	change := Change{At: u.since, Reason: "the storage plugin has no high availability"}
	return Snapshot{Role: Active, Since: u.since, Lease: forever, Change: change}
}

// CheckRecord does nothing: there is no record.
func (u *Unfenced) CheckRecord() {}

// Heard does nothing: there is no record.
func (u *Unfenced) Heard(context.Context, Sighting) {}

// AcceptRestore returns ErrNothingToAccept: there is no record.
func (u *Unfenced) AcceptRestore(context.Context, Sighting) error {
	return fmt.Errorf("%w: the storage plugin has no high availability, so nothing here can tell a restored store", ErrNothingToAccept)
}

// StepDown does nothing: there is nobody to hand over to.
func (u *Unfenced) StepDown(context.Context, string, string) error { return nil }

// Run writes what the Log has until ctx ends.
func (u *Unfenced) Run(ctx context.Context) error {
	u.log.Open()
	u.log.SetLease(forever)
	defer u.log.Shut()
	s := u.Snapshot()
	u.logger.Info("became active", "reason", s.Change.Reason)
	u.changed(s)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.work:
			u.write(ctx, u.log.Take())
		}
	}
}

// write applies one batch. There is no way to settle an unknown outcome without a
// guard, so it is told as it is.
func (u *Unfenced) write(ctx context.Context, ops []storage.Op) {
	if len(ops) == 0 {
		u.log.Resolve(Applied, nil)
		return
	}
	// A write that has begun is not given up because the node is asked to stop.
	wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := u.backend.Write(wctx, ops)
	switch {
	case err == nil:
		u.log.Resolve(Applied, nil)
	case storage.OutcomeOf(err) == storage.Unknown:
		u.logger.Warn("a write has an unknown outcome", "error", err)
		u.log.Resolve(Doubtful, err)
	case errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrInvalidKey) || errors.Is(err, storage.ErrUnsupported):
		u.log.Resolve(Refused, err)
	default:
		u.log.Resolve(Again, err)
		pause(ctx, retryPause)
	}
}
