package ha

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Log is the store layer above the term record: what the Commits carry. It is called
// from the Driver's goroutine only, and must not block. What was taken is resolved before
// the next Take and before Shut.
type Log interface {
	Open()                              // this node became active
	Shut()                              // it no longer is
	SetLease(until clock.Instant)       // answers from memory are allowed before until
	Take() []storage.Op                 // what the next Commit carries
	Resolve(result Result, cause error) // what became of it; cause with Refused
}

// Sealer encrypts and decrypts the record, bound to its key.
type Sealer interface {
	Seal(key string, plain []byte) ([]byte, error)
	Open(key string, sealed []byte) ([]byte, error)
}

// Config of a Driver. All fields are required.
type Config struct {
	Self    Node
	Cluster string // id; a record of another cluster is refused
	Timing  Timing
	Solo    bool // the plugin could, but configuration disabled high availability
	Backend storage.HABackend
	Sealer  Sealer
	Log     Log
	Logger  hclog.Logger

	// Reload fetches the keyring from the store, for a record that can not be opened:
	// its key may be newer than what this node knows.
	Reload func(ctx context.Context) error
	// Changed is called after every change of the Snapshot. It must not block.
	Changed func(Snapshot)
}

// Snapshot is what others may know of the protocol at a moment.
type Snapshot struct {
	Role       Role
	Suspended  bool
	Leaving    bool
	Known      bool          // there is a record
	Record     Record        // last seen
	Lease      clock.Instant // of this node
	Since      time.Time     // of the present role, wall clock, for people
	Reason     string        // of the last change of role
	RecordLost string        // why there is no record to work with; empty if there is one
}

// ErrRefused is returned by Run when this node must not run beside another.
var ErrRefused = errors.New("refused")

// errEnded: Run returned before the hand-over was confirmed.
var errEnded = errors.New("step down: this node stopped before the store confirmed it")

// Driver runs the protocol against a real store.
type Driver struct {
	cfg      Config
	state    State // owned by Run's goroutine, as everything up to events
	raw      []byte
	reason   string
	known    storage.Version // newest version heard of, whether its record could be opened or not
	ops      []storage.Op    // of the Carry in flight
	bytes    []byte          // the sealed record of the Commit in flight
	events   chan received
	work     chan struct{}
	check    chan struct{}
	ended    chan struct{} // closed when Run returns
	snapshot atomic.Pointer[Snapshot]
	tasks    sync.WaitGroup

	looking   bool // a read asked for by CheckRecord or the effect Look is under way
	lookAgain bool // it was asked for once more since that began
}

// received is an event with what the state machine does not need.
type received struct {
	event  Event
	raw    []byte          // with Seen: the sealed record
	seen   storage.Version // what a watch or check compared with; compared with known on arrival
	looked bool            // from lookNow
	hint   bool            // from a watch or check: useless if known has changed since
	found  storage.Version // the version of an unreadable record
	cause  error
	done   chan<- struct{} // StepDown: closed when the node is no longer active
}

// NewDriver returns a Driver for a node that knows nothing yet.
func NewDriver(cfg Config) *Driver {
	d := &Driver{
		cfg:    cfg,
		state:  State{Self: cfg.Self, Timing: cfg.Timing, Solo: cfg.Solo},
		events: make(chan received),
		work:   make(chan struct{}, 1),
		check:  make(chan struct{}, 1),
		ended:  make(chan struct{}),
	}
	d.snapshot.Store(&Snapshot{Since: time.Now()})
	return d
}

// Snapshot returns the present state. It never blocks.
func (d *Driver) Snapshot() Snapshot { return *d.snapshot.Load() }

// Wake says that the Log has something for the next Commit. It never blocks.
func (d *Driver) Wake() {
	select {
	case d.work <- struct{}{}:
	default: // it will be noticed anyway
	}
}

// CheckRecord says that the record may have changed. It never blocks.
func (d *Driver) CheckRecord() {
	select {
	case d.check <- struct{}{}:
	default:
	}
}

// StepDown hands over to the node with instance id target, or to anyone, and returns
// when this node is no longer active: at once if it is not.
func (d *Driver) StepDown(ctx context.Context, target, reason string) error {
	done := make(chan struct{})
	select {
	case d.events <- received{event: StepDown{Target: target, Reason: reason}, done: done}:
	case <-d.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-d.ended:
		return errEnded
	case <-ctx.Done():
		return fmt.Errorf("step down: the store has not confirmed it: %w", ctx.Err())
	}
}

// Run follows the record, takes over when it is this node's turn, and returns when
// ctx ends, without handing over (see StepDown), or with ErrRefused. It is called once.
func (d *Driver) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer close(d.ended)
	defer d.tasks.Wait()
	defer cancel()
	defer d.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var watch watch
	var leaving []chan<- struct{}
	for {
		if d.state.Role != Standby {
			watch.stop()
		} else if !watch.on {
			watch.start(ctx, d)
		}
		now := clock.Now()
		timer.Reset(max(d.state.WakeAt(now).Sub(now), 0))
		var r received
		select {
		case <-ctx.Done():
			return nil
		case r = <-d.events:
		case r = <-watch.result:
			watch.on = false
		case <-d.work:
			r.event = WorkReady{}
		case <-d.check:
			d.lookNow(ctx)
			continue
		case <-timer.C:
			r.event = Tick{}
		}
		if r.done != nil {
			leaving = append(leaving, r.done)
		}
		if err := d.take(ctx, r); err != nil {
			return err
		}
		if d.state.Role == Standby {
			for _, done := range leaving {
				close(done)
			}
			leaving = nil
		}
	}
}

// end leaves the Log shut when Run returns.
func (d *Driver) end() {
	if d.state.carrying() {
		d.cfg.Log.Resolve(Doubtful, nil)
	}
	d.cfg.Log.Shut()
}

// take runs one event through the protocol and carries the effects out.
func (d *Driver) take(ctx context.Context, r received) error {
	if r.looked {
		d.looking = false
		defer func() { // after this answer counts: the next one is compared with it
			if d.lookAgain && !d.looking {
				d.lookNow(ctx)
			}
		}()
	}
	if r.hint && r.seen != d.known {
		return nil // overtaken by something newer
	}
	before := d.state
	var effects []Effect
	d.state, effects = d.state.Step(r.event, clock.Now())
	d.remember(r, before)
	// The lease ends before the hand-over is sent, not after.
	d.cfg.Log.SetLease(d.state.Lease)
	for _, f := range effects {
		switch f := f.(type) {
		case Send:
			d.send(ctx, f.Again)
		case Read:
			d.tasks.Go(func() { d.deliver(ctx, d.read(ctx, ReadFailed{})) })
		case Look:
			d.lookNow(ctx)
		case Resolve:
			d.cfg.Log.Resolve(f.Result, r.cause)
		case Become:
			d.become(f)
		case Refuse:
			return fmt.Errorf("%w: %s", ErrRefused, f.Reason)
		}
	}
	d.publish(r)
	return nil
}

// remember keeps the sealed form of the record the state now holds.
func (d *Driver) remember(r received, before State) {
	switch e := r.event.(type) {
	case Done:
		d.raw, d.known = d.bytes, e.Version
	case Seen:
		d.known = e.Version
		if d.state.Version == e.Version {
			d.raw = r.raw
		}
	case Gone:
		d.known = r.found
	}
	if trouble := d.state.Trouble; trouble != "" && before.Trouble == "" {
		d.cfg.Logger.Error("the term record can not be used; nothing is served until an operator has repaired it", "reason", trouble)
	}
}

func (d *Driver) become(b Become) {
	d.reason = b.Reason
	if b.Role == Active {
		d.cfg.Log.Open()
		d.cfg.Log.SetLease(d.state.Lease)
		d.cfg.Logger.Info("became active", "epoch", d.state.Record.Epoch, "reason", b.Reason)
		return
	}
	d.cfg.Log.Shut()
	d.cfg.Logger.Info("became standby", "epoch", d.state.Record.Epoch, "reason", b.Reason)
}

// publish updates the snapshot, and tells of changes that matter to others.
func (d *Driver) publish(r received) {
	s := *d.snapshot.Load()
	old := s
	s.Role, s.Suspended, s.Leaving = d.state.Role, d.state.Suspended, d.state.Leaving
	s.Known, s.Record, s.Lease = d.state.Known, d.state.Record, d.state.Lease
	if (old.Role == Active) != (s.Role == Active) {
		s.Since, s.Reason = time.Now(), d.reason
	}
	s.RecordLost = d.state.Trouble
	d.snapshot.Store(&s)
	if s.Role == Active && s.Suspended && !old.Suspended {
		d.cfg.Logger.Warn("suspended: the store does not answer; requests wait", "epoch", s.Record.Epoch, "error", r.cause)
	}
	if s.Role == Active && !s.Suspended && old.Suspended {
		d.cfg.Logger.Info("resumed: the store answers again", "epoch", s.Record.Epoch)
	}
	if s.Role != old.Role || s.Suspended != old.Suspended || s.Leaving != old.Leaving || s.Known != old.Known ||
		s.Record.Epoch != old.Record.Epoch || s.Record.Phase != old.Record.Phase {
		d.cfg.Changed(s)
	}
}

// deliver hands an answer to Run.
func (d *Driver) deliver(ctx context.Context, r received) {
	select {
	case d.events <- r:
	case <-ctx.Done():
	}
}
