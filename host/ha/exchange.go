package ha

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// watchTime is how long one Watch may last before it is begun anew.
const watchTime = 30 * time.Second

// watchPause is the pause after a Watch that failed.
const watchPause = 100 * time.Millisecond

// watch is the one Watch of the record that a standby keeps.
type watch struct {
	on     bool
	cancel context.CancelFunc
	result chan received
}

func (w *watch) start(ctx context.Context, d *Driver) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.on = true
	// Buffered: the result of a watch that was stopped is nobody's.
	result := make(chan received, 1)
	w.result = result
	seen := d.known
	cancel := w.cancel
	d.tasks.Go(func() {
		defer cancel()
		result <- d.watchOnce(ctx, seen)
	})
}

func (w *watch) stop() {
	if w.cancel != nil {
		w.cancel()
	}
	w.on, w.result = false, nil
}

// watchOnce returns what the record became after it was at version seen, or, when there
// is no telling, a Tick: that the store does not answer is for reads to say, because a
// Watch may fail, or be cut off, where they do not.
func (d *Driver) watchOnce(ctx context.Context, seen storage.Version) received {
	wctx, cancel := context.WithTimeout(ctx, watchTime)
	defer cancel()
	item, err := d.cfg.Backend.Watch(wctx, RecordKey, seen)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		if wctx.Err() == nil {
			pause(wctx, watchPause)
		}
		return received{event: Tick{}}
	}
	if err == nil && item.Version == seen {
		pause(wctx, watchPause) // nothing is new, whatever the plugin says: do not ask in a tight loop
	}
	r := d.interpret(ctx, item, err, Tick{})
	if r.event == (Tick{}) {
		pause(wctx, watchPause) // it can not be judged yet
	}
	r.hint, r.seen = true, seen
	return r
}

// lookNow reads the record in the background, one read at a time. A read under way may
// have begun before what there is to see, so another one follows it.
func (d *Driver) lookNow(ctx context.Context) {
	if d.looking {
		d.lookAgain = true
		return
	}
	d.looking, d.lookAgain = true, false
	seen := d.known
	d.tasks.Go(func() {
		r := d.read(ctx, ReadFailed{})
		r.hint, r.looked, r.seen = true, true, seen
		d.deliver(ctx, r)
	})
}

// read reads the record. Without an answer the event is none.
func (d *Driver) read(ctx context.Context, none Event) received {
	rctx, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	asked := clock.Now()
	item, err := d.cfg.Backend.Get(rctx, RecordKey)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return received{event: none}
	}
	r := d.interpret(ctx, item, err, none)
	if seen, ok := r.event.(Seen); ok {
		seen.Asked = asked
		r.event = seen
	}
	return r
}

// interpret makes an event of what a read or watch found. The event is none if the record
// can not be judged, because the store does not answer with the keyring.
func (d *Driver) interpret(ctx context.Context, item storage.Item, err error, none Event) received {
	if err != nil {
		return received{event: Gone{Damage: Missing, Reason: "the term record (" + RecordKey + ") is missing from the store"}}
	}
	record, err := d.open(item.Value)
	if err != nil {
		// The key it is sealed with may be newer than this node's keyring.
		reloadErr := d.cfg.Reload(ctx)
		switch {
		case unanswered(reloadErr):
			return received{event: none}
		case reloadErr != nil:
			err = fmt.Errorf("%w; reload the keyring: %w", err, reloadErr)
		default:
			record, err = d.open(item.Value)
		}
	}
	if err == nil {
		err = d.acceptedElsewhere(ctx, record)
	}
	if unanswered(err) {
		return received{event: none}
	}
	if err != nil {
		return received{event: Gone{Damage: damageOf(err), Reason: err.Error(), Version: item.Version}, raw: item.Value}
	}
	return received{event: Seen{Version: item.Version, Record: record}, raw: item.Value}
}

// unanswered reports whether a read failed in a way that says nothing about what is stored.
func unanswered(err error) bool {
	return errors.Is(err, storage.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func (d *Driver) open(sealed []byte) (Record, error) {
	plain, err := d.cfg.Sealer.Open(RecordKey, sealed)
	if err != nil {
		return Record{}, fmt.Errorf("the term record (%s) can not be read: %w", RecordKey, err)
	}
	record, err := DecodeRecord(plain)
	if err == nil && record.Cluster != d.cfg.Cluster {
		return Record{}, errForeign
	}
	return record, err
}

// timeout bounds one Commit or read of the record. Two fit into a lease.
func (d *Driver) timeout() time.Duration { return d.cfg.Timing.Lease / 2 }

// send sends the state's Attempt; with again, byte for byte what was sent before.
func (d *Driver) send(ctx context.Context, again bool) {
	a := d.state.Attempt
	if !again {
		d.ops = nil
		switch a.Kind {
		case Carry:
			d.ops = d.cfg.Log.Take()
		case TakeOver, GiveUp, Accept:
			d.ops = d.chronicle(a)
		}
	}
	if a.Kind == Settle {
		d.ops = nil
	}
	if a.Kind == GiveUp {
		d.withdrawWill()
	}
	if !again || a.Kind == Settle && a.Tries == 0 {
		sealed, err := d.seal(a.Record)
		if err != nil {
			d.cfg.Logger.Error("seal the term record", "error", err)
			d.tasks.Go(func() { d.deliver(ctx, received{event: Unapplied{}}) })
			return
		}
		d.bytes = sealed
	}
	guard := storage.Guard{Key: RecordKey, Version: a.Guard, Prev: d.raw, Value: d.bytes}
	if a.Kind == Accept {
		guard.Prev = d.damaged
	}
	ops := d.ops
	d.tasks.Go(func() {
		cctx, cancel := context.WithTimeout(ctx, d.timeout())
		defer cancel()
		version, err := d.cfg.Backend.Commit(cctx, guard, ops)
		r := classify(version, err, len(ops) == 0)
		if err != nil && ctx.Err() == nil {
			d.cfg.Logger.Debug("commit", "error", err, "outcome", storage.OutcomeOf(err))
		}
		d.deliver(ctx, r)
	})
}

// classify turns the answer to a Commit into an event.
func classify(version storage.Version, err error, empty bool) received {
	switch {
	case err == nil:
		return received{event: Done{Version: version}}
	case errors.Is(err, storage.ErrConflict):
		return received{event: Conflict{}}
	case storage.OutcomeOf(err) == storage.Unknown:
		return received{event: Lost{}, cause: err}
	case !empty && (errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrInvalidKey) || errors.Is(err, storage.ErrUnsupported)):
		return received{event: Rejected{}, cause: err}
	default:
		return received{event: Unapplied{}, cause: err}
	}
}

func (d *Driver) seal(r Record) ([]byte, error) {
	plain, err := r.Encode()
	if err != nil {
		return nil, err
	}
	return d.cfg.Sealer.Seal(RecordKey, plain)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
