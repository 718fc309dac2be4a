package ha

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// unknownLease is how long a former holder may answer from memory whose record nobody has
// read: the longest lease that a configuration may set.
const unknownLease = time.Minute

// ErrNothingToAccept means that the record is not damaged, or can not be judged.
var ErrNothingToAccept = errors.New("nothing to accept")

// ErrNotYet means that an AcceptRestore was not carried out, and may be in a moment.
var ErrNotYet = errors.New("the store can not be accepted yet")

// AcceptRestore asks to go on from the store as it is, whatever it has lost: the word of an
// operator. See State.acceptable.
type AcceptRestore struct {
	Cluster string
	Others  Sighting // what the other nodes saw: the new generation goes on from the furthest
}

// acceptable returns how long to wait before an AcceptRestore. It must not be early: a former
// holder that has not noticed yet may answer from memory until its lease is out.
func (s *State) acceptable(now clock.Instant) (time.Duration, error) {
	switch {
	case s.Attempt.Kind == Accept:
		return 0, fmt.Errorf("%w: another one is under way; try again", ErrNotYet)
	case s.Role != Standby || s.Attempt.Kind != None || s.Known:
		return 0, fmt.Errorf("%w: the term record can be used", ErrNothingToAccept)
	case s.Found.Damage == "":
		return 0, fmt.Errorf("%w: the store has not said what the term record is; try again", ErrNotYet)
	case s.Found.Damage == TooNew:
		return 0, fmt.Errorf("%w: %s; %s", ErrNothingToAccept, s.Trouble, TooNew.Remedy())
	}
	lease := max(s.Newest.Lease, s.Found.Record.Lease)
	if s.Newest.Batch == "" && s.Found.Record.Batch == "" {
		lease = unknownLease
	}
	return s.Found.Since.Add(lease * patienceNum / patienceDen).Sub(now), nil
}

// accept starts the Commit that replaces the damaged record by one of a new generation,
// for anyone to take over.
func (s *State) accept(e AcceptRestore, now clock.Instant) []Effect {
	s.heard(Heard{Newest: e.Others}, now)
	if wait, err := s.acceptable(now); err != nil || wait > 0 {
		return nil
	}
	last := s.furthest()
	if last == void(last.Generation) {
		last = s.Newest.sighting() // of the generation that is to end, if not more
		last.Generation = s.Hearsay.Newest.Generation
	}
	last = last.Join(s.Found.Record.sighting())
	r := FirstRecord(e.Cluster)
	r.Generation, r.Epoch, r.Seq = last.Generation+1, last.Epoch+1, last.Seq
	r.Layout = max(s.Newest.Layout, s.Found.Record.Layout)
	r.Protocol = max(s.Newest.Protocol, s.Found.Record.Protocol)
	s.Version = s.Found.Version
	return s.send(Accept, r, now)
}

// AcceptRestore has the cluster go on from the store as it is when the term record was deleted,
// garbled or put back to an older state: the word of an operator, who knows what was lost.
// It replaces the record by one of a new generation, in a Commit guarded by what it found,
// and returns when the store has taken it. others is what the other nodes saw. It waits until no former holder can
// answer from memory any more, for as long as ctx allows. ErrNothingToAccept: the record is
// as it should be, or this node can not judge it. After ErrNotYet nothing was done, after
// ErrUnconfirmed it may still be.
func (d *Driver) AcceptRestore(ctx context.Context, others Sighting) error {
	for {
		answer := make(chan acceptance, 1)
		select {
		case d.events <- received{event: AcceptRestore{Cluster: d.cfg.Cluster, Others: others}, answer: answer}:
		case <-d.ended:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		}
		var v acceptance
		select {
		case v = <-answer:
		case <-d.ended:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("accept the restored store: %w: %w", ErrUnconfirmed, ctx.Err())
		}
		if v.err != nil || v.wait <= 0 {
			return v.err
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < v.wait {
			return fmt.Errorf("%w: a former active node may answer from memory for another %v; try again then",
				ErrNotYet, v.wait.Round(time.Second))
		}
		pause(ctx, v.wait)
	}
}

// acceptance is the answer to an AcceptRestore.
type acceptance struct {
	wait time.Duration // ask again after this
	err  error
}

// judge answers an AcceptRestore that can not be carried out now. It reports whether the
// event is to be passed on.
func (d *Driver) judge(r received) bool {
	v := acceptance{}
	if v.wait, v.err = d.state.acceptable(clock.Now()); v.err != nil || v.wait > 0 {
		r.answer <- v
		return false
	}
	d.accepting = append(d.accepting, r.answer)
	return true
}

// settleAccept answers an AcceptRestore when its Commit is over.
func (d *Driver) settleAccept() {
	if d.state.Attempt.Kind == Accept {
		return
	}
	var v acceptance
	if d.state.Trouble != "" {
		v.err = fmt.Errorf("accept the restored store: %w: it did not take the record; try again: %s", storage.ErrUnavailable, d.state.Trouble)
	}
	for _, answer := range d.accepting {
		answer <- v
	}
	d.accepting = nil
}
