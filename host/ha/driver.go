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
	Wanted() bool                       // somebody still waits for a write that was taken
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
	// SetLastWill leaves with the storage plugin what it is to put at key when this process is
	// killed, on top of this node's last Commit; nil takes that back, before the next
	// Commit is sent. It must not block.
	SetLastWill func(key string, sealed []byte)
	// AskOthers returns what the other nodes have seen of the record that can be reached
	// before ctx ends. Nil where there are none.
	AskOthers func(ctx context.Context) Sighting
}

// ErrRefused is returned by Run when this node must not run beside another.
var ErrRefused = errors.New("refused")

// ErrUnconfirmed means that what was asked for is under way, and may or may not be done.
var ErrUnconfirmed = errors.New("outcome unknown: the store has not confirmed it")

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
	damaged  []byte          // with State.Found: what is there, as it is
	term     Term            // the one that this node began last
	events   chan received
	work     chan struct{}
	check    chan struct{}
	ended    chan struct{} // closed when Run returns
	snapshot atomic.Pointer[Snapshot]
	tasks    sync.WaitGroup

	looking   bool // a read asked for by CheckRecord or the effect Look is under way
	lookAgain bool // it was asked for once more since that began

	accepting []chan<- acceptance // wait for the Accept in flight
}

// received is an event with what the state machine does not need.
type received struct {
	event  Event
	raw    []byte          // with Seen and Gone: what is in the store
	seen   storage.Version // what a watch or check compared with; compared with known on arrival
	looked bool            // from lookNow
	hint   bool            // from a watch or check: useless if known has changed since
	cause  error
	done   chan<- struct{}   // StepDown: closed when the node is no longer active
	answer chan<- acceptance // AcceptRestore; has room
	taken  chan<- struct{}   // Heard: closed when it was taken in
}

// NewDriver returns a Driver for a node that knows nothing yet.
func NewDriver(cfg Config) *Driver {
	d := &Driver{
		cfg:    cfg,
		state:  State{Self: cfg.Self, Timing: cfg.Timing, Solo: cfg.Solo, Careful: cfg.AskOthers != nil},
		events: make(chan received),
		work:   make(chan struct{}, 1),
		check:  make(chan struct{}, 1),
		ended:  make(chan struct{}),
	}
	d.snapshot.Store(&Snapshot{Since: time.Now(), Change: Change{At: time.Now(), Reason: "this node was unsealed"}})
	return d
}

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

// Heard says what another node has seen of the record. It returns when that has been taken
// in, so that Snapshot shows it, or ctx ends; nodes tell again while it matters.
func (d *Driver) Heard(ctx context.Context, s Sighting) {
	taken := make(chan struct{})
	select {
	case d.events <- received{event: Heard{Newest: s}, taken: taken}:
	case <-d.ended:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-taken:
	case <-d.ended:
	case <-ctx.Done():
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
		return fmt.Errorf("step down: %w: %w", ErrUnconfirmed, ctx.Err())
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
		if d.state.Role != Standby || d.state.Attempt.Kind != None {
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
		if r.answer != nil && !d.judge(r) {
			continue
		}
		if err := d.take(ctx, r); err != nil {
			return err
		}
		if r.taken != nil {
			close(r.taken)
		}
		if d.state.Role == Standby {
			for _, done := range leaving {
				close(done)
			}
			leaving = nil
		}
		d.settleAccept()
	}
}

// end leaves the Log shut and no will when Run returns.
func (d *Driver) end() {
	d.withdrawWill()
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
	if r.hint && (r.seen != d.known || d.state.Attempt.Kind != None) {
		// Overtaken by something newer, or about to be: the Commit in flight will tell. Nor is
		// it the answer to a Read that waits for one.
		return nil
	}
	if _, lost := r.event.(Lost); lost {
		r.event = Lost{Unwanted: !d.cfg.Log.Wanted()}
	}
	before := d.state
	var effects []Effect
	d.state, effects = d.state.Step(r.event, clock.Now())
	if d.state.Writes.Refused && !before.Writes.Refused {
		d.cfg.Logger.Warn("the store takes no writes: this node can not take over from a silent one", "error", r.cause)
	}
	d.remember(r, before)
	if before.Role == Active && d.state.Role == Active && before.Record.InForce() != d.state.Record.InForce() {
		d.leaveWill() // or it would lower what is in force (P10)
	}
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
		case Ask:
			d.tasks.Go(func() { d.deliver(ctx, d.ask(ctx, f.Gaps)) })
		case CheckWrites:
			version := d.state.Version
			d.tasks.Go(func() { d.deliver(ctx, d.checkWrites(ctx, version)) })
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
		d.known = e.Version
	}
	d.rememberDamage(r)
	if trouble := d.state.Trouble; trouble != "" && before.Trouble == "" {
		d.cfg.Logger.Error("the term record can not be used; nothing is served until an operator has repaired it",
			"damage", d.state.Found.Damage, "reason", trouble, "remedy", d.state.Found.Damage.Remedy())
	}
}

func (d *Driver) become(b Become) {
	d.reason = b.Reason
	if b.Role == Active {
		d.cfg.Log.Open()
		d.cfg.Log.SetLease(d.state.Lease)
		d.leaveWill()
		d.cfg.Logger.Info("became active", "epoch", d.state.Record.Epoch, "reason", b.Reason)
		return
	}
	d.cfg.Log.Shut()
	d.withdrawWill()
	d.cfg.Logger.Info("became standby", "epoch", d.state.Record.Epoch, "reason", b.Reason)
}

// deliver hands an answer to Run.
func (d *Driver) deliver(ctx context.Context, r received) {
	select {
	case d.events <- r:
	case <-ctx.Done():
	}
}
